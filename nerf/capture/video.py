"""Sharp, well-spaced frames of a video.

The video is cut into windows of equal length and the sharpest frame of each is taken: where the variance of the
Laplacian of the grey picture is largest (Pech-Pacheco et al. 2000). Frames that show what the one before showed, as
from a camera that stands still, are left out.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import imageio_ffmpeg
import numpy as np
from jaxtyping import Float, UInt8
from scipy import ndimage

from nerf.capture.mapping import CaptureError

SIDE = 256  # of the small grey pictures that frames are judged by
MARGIN = 0.2  # of a window, at both ends, from which no frame is taken: neighbours stay apart
STILL = 0.2  # of the usual change from frame to frame; less is no new view


def sharpness(grey: Float[np.ndarray, "h w"] | UInt8[np.ndarray, "h w"]) -> float:
    """Variance of the Laplacian: falls where a picture is blurred."""
    return float(ndimage.laplace(grey.astype(np.float32)).var())


def pick(sharp: Sequence[float], count: int) -> list[int]:
    """Frames to take: of `count` windows of equal length, the sharpest of each, away from the window's ends."""
    count = min(count, len(sharp))
    edges = np.linspace(0, len(sharp), count + 1)
    picked = []
    for low, high in zip(edges[:-1], edges[1:], strict=True):
        margin = MARGIN * (high - low)
        first = min(int(np.ceil(low + margin)), int(np.ceil(high)) - 1)
        inner = sharp[first : max(int(np.floor(high - margin)), first + 1)]
        picked.append(first + int(np.argmax(inner)))
    return picked


def moving(small: Float[np.ndarray, "n h w"]) -> list[int]:
    """Which pictures of a sequence show something new: those that differ from the last one kept."""
    if len(small) < 2:
        return list(range(len(small)))
    least = STILL * float(np.median(np.abs(np.diff(small, axis=0)).mean((1, 2))))
    kept = [0]
    for i in range(1, len(small)):
        if np.abs(small[i] - small[kept[-1]]).mean() > least:
            kept.append(i)
    return kept


def extract_frames(video: Path, images: Path, count: int) -> list[str]:
    """Write at most `count` frames of a video into the folder `images` as JPEG; their names. Raises CaptureError."""
    sharp, thumbnails = [], []
    for grey in _small_frames(video):
        sharp.append(sharpness(grey))
        thumbnails.append(grey[::4, ::4])
    if not sharp:
        raise CaptureError(f"{video}: no frame can be read: is it a video? export it as H.264 MP4")
    picked = pick(sharp, count)
    picked = [picked[i] for i in moving(np.stack([thumbnails[i] for i in picked]).astype(np.float32))]
    return _write_frames(video, images, picked)


def _small_frames(video: Path) -> Iterator[np.ndarray]:
    """Every frame as a small grey picture, its sides stretched to be equal."""
    output = ["-vf", f"scale={SIDE}:{SIDE}:flags=area,format=gray", "-f", "rawvideo", "-"]
    command = [_ffmpeg(), *_reading(video), *output]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as run:
        try:
            while len(data := run.stdout.read(SIDE * SIDE)) == SIDE * SIDE:  # type: ignore[union-attr]
                yield np.frombuffer(data, np.uint8).reshape(SIDE, SIDE)
        finally:
            run.kill()


def _reading(video: Path) -> list[str]:
    """Every frame once, as stored: the numbers of frames are the same whenever it is read."""
    return ["-nostdin", "-loglevel", "error", "-i", os.path.abspath(video), "-map", "0:v:0", "-fps_mode", "passthrough"]


def _ffmpeg() -> str:
    try:
        return imageio_ffmpeg.get_ffmpeg_exe()
    except RuntimeError as error:
        raise CaptureError(f"ffmpeg: none found ({error}): pip install imageio-ffmpeg") from error


def _write_frames(video: Path, images: Path, picked: Sequence[int]) -> list[str]:
    """The frames with these numbers in full size; the folder has all of them, or is not there."""
    if strange := [file for file in images.glob("*") if not re.fullmatch(r"frame_\d+\.jpg", file.name)]:
        raise CaptureError(f"{strange[0]}: in the way of the video's frames: choose another --out")
    temporary = images.with_name(f".{images.name}.{os.getpid()}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        chosen = "+".join(f"eq(n\\,{number})" for number in picked)
        command = [_ffmpeg(), *_reading(video), "-vf", f"select={chosen}", "-q:v", "1", "-qmin", "1"]
        done = subprocess.run([*command, str(temporary / "%06d.jpg")], capture_output=True, text=True)
        written = sorted(temporary.iterdir())
        if done.returncode or len(written) != len(picked):
            reason = " ".join(done.stderr.split())[-200:] or f"{len(written)} of {len(picked)} came"
            raise CaptureError(f"{video}: its frames cannot be written ({reason}): export it as H.264 MP4")
        for file, number in zip(written, picked, strict=True):
            file.rename(temporary / f"frame_{number:06d}.jpg")
        shutil.rmtree(images, ignore_errors=True)
        temporary.rename(images)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return [f"frame_{number:06d}.jpg" for number in picked]
