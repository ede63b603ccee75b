"""Sharp, well-spaced frames of a video.

The video is cut into windows of equal length and the sharpest frame of each is taken: where the variance of the
Laplacian of the grey picture is largest (Pech-Pacheco et al. 2000). Frames that show what the one before showed, as
from a camera that stands still, are left out.
"""

import dataclasses
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

import imageio_ffmpeg
import numpy as np
from jaxtyping import Float, UInt16
from PIL import Image

from nerf.capture.mapping import CaptureError
from nerf.check.looks import sharpness
from nerf.scenes.colour import UNSPECIFIED, ColourSpace, ImageError, from_cicp, to_srgb

SIDE = 256  # of the small grey pictures that frames are judged by
MARGIN = 0.2  # of a window, at both ends, from which no frame is taken: neighbours stay apart
NO_FRAME = "{video}: no frame can be read: is it a video? export it as H.264 MP4"
TO_SDR = "export it as H.264 MP4 with HDR off (BT.709)"
HD = (
    1280,
    576,
)  # a video that is wider or higher, and does not name its matrix, has BT.709's: players guess so
JPEG_QUALITY = 98  # with colours in full resolution: patches keep their edges
# ffmpeg's names: matrices as its `scale` filter takes them, and primaries and curves by their numbers in ITU-T H.273.
MATRICES = {
    "bt709": "bt709",
    "smpte170m": "smpte170m",
    "bt470bg": "bt470",
    "fcc": "fcc",
    "smpte240m": "smpte240m",
    "bt2020nc": "bt2020",
}
PRIMARIES = {
    "bt709": 1,
    "bt470m": 4,
    "bt470bg": 5,
    "smpte170m": 6,
    "smpte240m": 7,
    "film": 8,
    "bt2020": 9,
    "smpte431": 11,
    "smpte432": 12,
    "ebu3213": 22,
    "jedec-p22": 22,
}
CURVES = {
    "bt709": 1,
    "bt470m": 4,
    "gamma22": 4,
    "bt470bg": 5,
    "gamma28": 5,
    "smpte170m": 6,
    "smpte240m": 7,
    "linear": 8,
    "iec61966-2-4": 11,
    "bt1361e": 12,
    "iec61966-2-1": 13,
    "bt2020-10": 14,
    "bt2020-12": 15,
    "smpte2084": 16,
    "arib-std-b67": 18,
}
STILL = 0.2  # of the usual change from frame to frame; less is no new view


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
    coding = read_coding(video)
    sharp, thumbnails = [], []
    for grey in _small_frames(video):
        sharp.append(sharpness(grey))
        thumbnails.append(grey[::4, ::4])
    if not sharp:
        raise CaptureError(NO_FRAME.format(video=video))
    picked = pick(sharp, count)
    picked = [
        picked[i] for i in moving(np.stack([thumbnails[i] for i in picked]).astype(np.float32))
    ]
    return _write_frames(video, images, picked, coding)


def _small_frames(video: Path) -> Iterator[np.ndarray]:
    """Every frame as a small grey picture, its sides stretched to be equal."""
    output = ["-vf", f"scale={SIDE}:{SIDE}:flags=area,format=gray", "-f", "rawvideo", "-"]
    command = [_ffmpeg(), *_reading(video), *output]
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as run:
        try:
            while len(data := run.stdout.read(SIDE * SIDE)) == SIDE * SIDE:  # type: ignore[union-attr]
                yield np.frombuffer(data, np.uint8).reshape(SIDE, SIDE)
        finally:
            run.kill()


def _reading(video: Path, loglevel: str = "error") -> list[str]:
    """Every frame once, as stored: the numbers of frames are the same whenever it is read."""
    return [
        "-nostdin",
        "-loglevel",
        loglevel,
        "-i",
        os.path.abspath(video),
        "-map",
        "0:v:0",
        "-fps_mode",
        "passthrough",
    ]


def _ffmpeg() -> str:
    try:
        return imageio_ffmpeg.get_ffmpeg_exe()
    except RuntimeError as error:
        raise CaptureError(f"ffmpeg: none found ({error}): pip install imageio-ffmpeg") from error


@dataclasses.dataclass(frozen=True)
class Coding:
    """Describe how a video codes its colours.

    Attributes:
      matrix: of YCbCr, as ffmpeg's `scale` filter names it; empty for a video of RGB.
      space: what the RGB numbers behind the matrix stand for.
    """

    matrix: str
    space: ColourSpace


def read_coding(video: Path) -> Coding:
    """Read how a video codes its colours; what it does not say is guessed as players do.

    Raises: CaptureError, for colours that cannot be converted.
    """
    command = [
        _ffmpeg(),
        *_reading(video, "info"),
        "-frames:v",
        "1",
        "-vf",
        "showinfo",
        "-f",
        "null",
        "-",
    ]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace")
    try:
        coding = parse_coding(done.stderr)
    except ImageError as error:
        raise CaptureError(
            f"{video}: its colours cannot be converted ({error}): {error.fix}"
        ) from error
    if coding is None:
        raise CaptureError(NO_FRAME.format(video=video))
    return coding


def parse_coding(said: str) -> Coding | None:
    """Return the coding of the first frame that ffmpeg's filter `showinfo` described; None without a frame.

    Raises: ImageError, for colours that cannot be converted.
    """
    found = dict(re.findall(r"\bcolor_(space|primaries|trc):([\w-]+)", said))
    frame = re.search(r"showinfo.* fmt:(\S+) .*\bs:(\d+)x(\d+)", said)
    if frame is None:
        return None
    # The base picture of profile 5 is no YCbCr; that of profile 8, which iPhones write, is plain HLG or PQ.
    if re.search(r"DOVI configuration record:.*profile: 5\b", said):
        raise ImageError("HDR as Dolby Vision profile 5", TO_SDR)
    matrix = _matrix(found.get("space", "unknown"), frame[1], (int(frame[2]), int(frame[3])))
    primaries = _code(PRIMARIES, found.get("primaries", "unknown"), "the primaries")
    curve = _code(CURVES, found.get("trc", "unknown"), "the transfer curve")
    return Coding(matrix, from_cicp(primaries, curve))


def _matrix(name: str, pixel_format: str, size: tuple[int, int]) -> str:
    """Return the matrix of a video in the words of ffmpeg's `scale` filter. Raises ImageError."""
    if name == "gbr" or re.match(r"(gbr|rgb|bgr|argb|abgr|pal8|0rgb|0bgr)", pixel_format):
        return ""
    if name in MATRICES:
        return MATRICES[name]
    if name not in ("unknown", "reserved"):
        raise ImageError(f"the matrix {name} is not supported", TO_SDR)
    return "bt709" if max(size) >= HD[0] or min(size) > HD[1] else "bt470"


def _code(codes: dict[str, int], name: str, what: str) -> int:
    """Return the number of a name of ffmpeg's. Raises ImageError."""
    if name in ("unknown", "reserved"):
        return UNSPECIFIED
    if name not in codes:
        raise ImageError(f"{what} {name}: not supported", TO_SDR)
    return codes[name]


def _full_frames(
    video: Path, picked: Sequence[int], matrix: str, log: IO[bytes]
) -> Iterator[UInt16[np.ndarray, "h w 3"]]:
    """Decode the frames with these numbers, in full size and range, upright, as RGB of 16 bits."""
    chosen = "+".join(f"eq(n\\,{number})" for number in picked)
    # A frame says its range itself; its matrix is given, as versions of ffmpeg guess differently.
    scale = "scale=flags=bicubic+accurate_rnd+full_chroma_int+full_chroma_inp"
    scale += f":in_color_matrix={matrix}" if matrix else ""
    output = [
        "-vf",
        f"select={chosen},{scale},format=rgb48be",
        "-c:v",
        "ppm",
        "-f",
        "image2pipe",
        "-",
    ]
    command = [_ffmpeg(), *_reading(video), *output]
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log
    ) as run:
        assert run.stdout is not None
        try:
            while run.stdout.readline() == b"P6\n":
                wide, high = map(int, run.stdout.readline().split())
                run.stdout.readline()  # the largest number
                data = run.stdout.read(6 * wide * high)
                if len(data) == 6 * wide * high:
                    yield np.frombuffer(data, ">u2").astype(np.uint16).reshape(high, wide, 3)
        finally:
            run.kill()


def _write_frames(video: Path, images: Path, picked: Sequence[int], coding: Coding) -> list[str]:
    """The frames with these numbers in full size; the folder has all of them, or is not there."""
    if strange := [
        file for file in images.glob("*") if not re.fullmatch(r"frame_\d+\.jpg", file.name)
    ]:
        raise CaptureError(f"{strange[0]}: in the way of the video's frames: choose another --out")
    temporary = images.with_name(f".{images.name}.{os.getpid()}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    names = []
    try:
        with tempfile.TemporaryFile() as log:
            frames = _full_frames(video, picked, coding.matrix, log)
            for number, frame in zip(picked, frames, strict=False):
                names.append(f"frame_{number:06d}.jpg")
                _write_jpeg(to_srgb(frame, coding.space), temporary / names[-1])
            if len(names) != len(picked):
                log.seek(0)
                said = " ".join(log.read().decode(errors="replace").split())
                reason = said[-200:] or f"{len(names)} of {len(picked)} came"
                raise CaptureError(
                    f"{video}: its frames cannot be written ({reason}): export it as H.264 MP4"
                )
        shutil.rmtree(images, ignore_errors=True)
        temporary.rename(images)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return names


def _write_jpeg(srgb: UInt16[np.ndarray, "h w 3"], path: Path) -> None:
    """Write a picture of 16 bits as JPEG, whose readers take it for sRGB, with BT.601's matrix in full range."""
    picture = Image.fromarray(((srgb.astype(np.uint32) + 128) // 257).astype(np.uint8))
    picture.save(path, quality=JPEG_QUALITY, subsampling=0)
