"""Encode frames as a video.

A video appears under its name complete or not at all: it is written to a temporary name in the same
folder, flushed to the disk and renamed. It is H.264 in mp4: 8-bit yuv420p, limited range, BT.709's
matrix and primaries with sRGB's transfer curve, and marked as such. Its index comes first, so that
it plays while it loads. Frames of odd size get one more row or column, a copy of the last one;
nothing is ever resized.
"""

import contextlib
import os
import re
import shlex
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path

import imageio.v3 as iio
import imageio_ffmpeg
import numpy as np
from jaxtyping import UInt8

from nerf.foundation.errors import UserError
from nerf.foundation.files import replacing

Frame = str | os.PathLike[str] | UInt8[np.ndarray, "h w 3"]


class VideoError(UserError, RuntimeError):
    """A video cannot be written; the message is one line that says what to do."""


# Frames.


def _pixels(frame: Frame) -> UInt8[np.ndarray, "h w 3"]:
    """Return the pixels of a frame. Raises VideoError if it is unreadable or not 8-bit RGB."""
    if isinstance(frame, np.ndarray):
        name, image = "frame", frame
    else:
        name, image = os.fspath(frame), _read(frame)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise VideoError(f"{name}: not an 8-bit RGB picture: write frames without alpha")
    return image


def _read(file: str | os.PathLike[str]) -> np.ndarray:
    """Return the pixels of a file. Raises VideoError."""
    try:
        return iio.imread(Path(file), plugin="pillow")
    except (OSError, SyntaxError, ValueError) as error:
        # Pillow raises SyntaxError for damaged PNGs.
        reason = f"cannot be read ({error})"
        raise VideoError(f"{os.fspath(file)}: {reason}: render this frame again") from error


# Video.


def check_encoder(path: str | os.PathLike[str]) -> None:
    """Check that a video can be written, before hours of rendering.

    Encodes two tiny frames beside `path` and removes them.

    Raises:
      VideoError: if the video could not be written, with how to fix it.
    """
    path = Path(path)
    if path.suffix.lower() != ".mp4":
        raise VideoError(f"{path}: not an .mp4: give the video a name that ends in .mp4")
    if not path.parent.is_dir():
        raise VideoError(f"{path}: no such folder: create {path.parent}")
    trial = path.with_name(f".{path.stem}.{os.getpid()}.tmp.mp4")
    try:
        _encode(iter(np.zeros((2, 16, 16, 3), np.uint8)), trial, fps=30.0, crf=18)
    except VideoError as error:
        fix = "pip install imageio-ffmpeg, or set IMAGEIO_FFMPEG_EXE to an ffmpeg with libx264"
        if (reason := _why_not_writable(trial)) is not None:
            raise VideoError(
                f"{path}: cannot write ({reason}): make room in its folder, or choose another"
            ) from error
        raise VideoError(f"{path}: cannot encode video ({error}): {fix}") from error
    finally:
        trial.unlink(missing_ok=True)


def _why_not_writable(trial: Path) -> str | None:
    """Return why a small file cannot be written; None if it can."""
    try:
        trial.write_bytes(bytes(4096))
    except OSError as error:
        return error.strerror or str(error)
    return None


def encode(
    frames: Iterable[Frame], path: str | os.PathLike[str], fps: int | float, crf: int = 18
) -> None:
    """Encode frames as an mp4, completely or not at all.

    Args:
      frames: PNG files or uint8 arrays (h, w, 3), sRGB, all of one size. They are read one at a
        time and never written to.
      path: "*.mp4"; an existing file is replaced.
      fps: frames per second.
      crf: x264's quality, 0 (lossless) ... 51; 18 is visually lossless.

    Raises:
      VideoError: with the ffmpeg command that encodes the frame files by hand.
    """
    path, iterator = Path(path), iter(frames)
    first = next(iterator, None)
    if first is None:
        raise VideoError(f"{path}: no frames to encode: render some first")
    by_hand = "" if isinstance(first, np.ndarray) else _by_hand(Path(first), path, fps, crf)
    try:
        with _plain_errors(), replacing(path) as temporary:
            _encode(chain([first], iterator), temporary, fps, crf)
    except VideoError as error:
        fix = by_hand or "fix this and encode again"
        raise VideoError(f"{path}: no video written ({error}): {fix}") from error


def _encode(frames: Iterator[Frame], path: Path, fps: int | float, crf: int) -> None:
    """Pipe `frames` through ffmpeg into a file. Raises VideoError with the reason only."""
    first = _pixels(next(frames))
    high, wide = first.shape[:2]
    raw = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-video_size", f"{wide}x{high}"]
    with _plain_errors(), tempfile.TemporaryFile() as log:
        exe = imageio_ffmpeg.get_ffmpeg_exe()
        source = [*raw, "-framerate", str(fps), "-i", "-"]
        command = [exe, "-loglevel", "error", "-y", *source, *_output(wide, high, crf), str(path)]
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=log
        )
        try:
            _feed(process, chain([first], frames), first.shape)
        except BaseException:
            process.kill()
            raise
        finally:
            code = process.wait()
        if code:
            log.seek(0)
            lines = log.read().decode(errors="replace").split("\n")
            reason = next((line.strip() for line in lines if line.strip()), "no message")
            raise VideoError(f"ffmpeg ended with code {code}: {reason}")


@contextlib.contextmanager
def _plain_errors() -> Iterator[None]:
    """Turn errors outside of ffmpeg (no program, space or permission) into VideoError."""
    try:
        yield
    except OSError as error:
        raise VideoError(str(error)) from error
    except RuntimeError as error:
        if isinstance(error, VideoError):
            raise
        raise VideoError(str(error).replace("\n", " ")) from error  # imageio_ffmpeg finds no ffmpeg


def _feed(
    process: subprocess.Popen[bytes], frames: Iterator[Frame], shape: tuple[int, ...]
) -> None:
    """Write frames to ffmpeg; if it ends early, return and let its exit code report why."""
    assert process.stdin is not None
    try:
        for i, frame in enumerate(frames):
            pixels = _pixels(frame)
            if pixels.shape != shape:
                size = f"{pixels.shape[1]}x{pixels.shape[0]}"
                first = f"{shape[1]}x{shape[0]}"
                raise VideoError(f"frame {i} is {size}, not {first} as the first")
            process.stdin.write(np.ascontiguousarray(pixels).data)
        process.stdin.close()
    except BrokenPipeError:
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()


def _output(wide: int, high: int, crf: int) -> list[str]:
    """Return ffmpeg's filter and output options for frames of this size."""
    filters = ["format=gbrp"]
    right, bottom = wide % 2, high % 2
    if right or bottom:
        filters.append(f"pad={wide + right}:{high + bottom}")
        filters.append(f"fillborders=right={right}:bottom={bottom}:mode=smear")
    # By default ffmpeg converts RGB with BT.601's matrix, but players assume BT.709 for HD: convert
    # and mark explicitly. Without the flags every colour is off by 0.1 of a level on average.
    filters.append("scale=out_color_matrix=bt709:out_range=tv:flags=accurate_rnd+full_chroma_int")
    filters.append("format=yuv420p")
    # The values are sRGB, so they are marked with sRGB's transfer curve, in the stream and in the
    # file's `colr` box. QuickTime and Safari would show values marked as BT.709 lighter, because
    # they use a curve of exponent 1.96 for it. Players without colour management ignore the mark.
    filters.append(
        "setparams=range=tv:colorspace=bt709:color_primaries=bt709:color_trc=iec61966-2-1"
    )
    video = ["-vf", ",".join(filters), "-c:v", "libx264", "-crf", str(crf)]
    return [*video, "-movflags", "+faststart", "-f", "mp4"]


def _by_hand(first: Path, path: Path, fps: int | float, crf: int) -> str:
    """Return the ffmpeg command that encodes the frame files beside `first`."""
    with contextlib.suppress(VideoError):
        high, wide = _pixels(first).shape[:2]
        name = first.name.replace("%", "%%")
        numbered = re.fullmatch(r"(.*?)(\d+)(\D*)", name)
        start, pattern = [], name
        if numbered:
            before, number, after = numbered.groups()
            start, pattern = ["-start_number", str(int(number))], f"{before}%0{len(number)}d{after}"
        source = os.path.join(str(first.parent).replace("%", "%%"), pattern)
        source_options = ["-framerate", str(fps), *start, "-i", source]
        command = ["ffmpeg", *source_options, *_output(wide, high, crf), str(path)]
        return f"the frames are kept, encode them by hand: {shlex.join(command)}"
    return ""
