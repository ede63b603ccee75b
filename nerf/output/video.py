"""Encode frames as a video.

A video appears under its name complete or not at all: it is written to a temporary name in the same
folder, flushed to the disk and renamed. Its ending chooses the codec: H.264 in .mp4, VP9 in .webm,
both 8-bit 4:2:0, ProRes 4444 in .mov, 10-bit 4:4:4 for editing, or a .gif with one palette of 256
colours. WebM and ProRes keep the alpha of RGBA frames, straight and not premultiplied. Except in
GIFs, colours have limited range, BT.709's matrix and primaries and sRGB's transfer curve, and are
marked as such, and frames of odd size get one more row or column, a copy of the last one. The index
of .mp4 and .mov comes first, so that they play while they load. Nothing is ever resized.
"""

import contextlib
import dataclasses
import os
import re
import shlex
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Literal

import imageio.v3 as iio
import imageio_ffmpeg
import numpy as np
from jaxtyping import UInt8

from nerf.foundation.errors import UserError
from nerf.foundation.files import replacing
from nerf.output.spherical import mark_spherical

# What a player should know: a flat picture, those of the left and the right eye, or all around.
Layout = Literal["flat", "stereo", "spherical"]
Frame = str | os.PathLike[str] | UInt8[np.ndarray, "h w c"]


@dataclasses.dataclass(frozen=True)
class Format:
    """A video format.

    Attributes:
      encoder: ffmpeg's encoder.
      pixels: ffmpeg's pixel format of frames without alpha.
      pixels_with_alpha: the same with alpha; None if the format has no alpha.
      options: further output options of ffmpeg.
      max_crf: the CRF of the lowest quality; None if the encoder has no CRF.
      stereo: options that mark frames as two pictures side by side.
      spherical: whether files can be marked as spherical, see `nerf.output.spherical`.
    """

    encoder: str
    pixels: str
    pixels_with_alpha: str | None
    options: tuple[str, ...]
    max_crf: int | None
    stereo: tuple[str, ...] = ()
    spherical: bool = False


PALETTE = "pal8"  # ffmpeg's pixel format of colours from a palette
# One palette for all frames, because colours would flicker with one for each.
PALETTE_FILTER = "split[a][b];[a]palettegen[palette];[b][palette]paletteuse"
FORMATS = {
    ".mp4": Format(
        "libx264",
        "yuv420p",
        None,
        ("-movflags", "+faststart", "-f", "mp4"),
        51,
        ("-x264-params", "frame-packing=3"),
        spherical=True,
    ),
    # A bit rate of 0 leaves the quality to the CRF. ffmpeg's encoder writes no alpha together with
    # alternate reference frames.
    ".webm": Format(
        "libvpx-vp9",
        "yuv420p",
        "yuva420p",
        ("-b:v", "0", "-row-mt", "1", "-auto-alt-ref", "0", "-f", "webm"),
        63,
        ("-metadata:s:v:0", "stereo_mode=left_right"),
    ),
    ".mov": Format(
        "prores_ks",
        "yuv444p10le",
        "yuva444p10le",
        ("-profile:v", "4444", "-movflags", "+faststart", "-f", "mov"),
        None,
        spherical=True,
    ),
    ".gif": Format("gif", PALETTE, None, ("-f", "gif"), None),
}
X264_MAX_CRF = 51  # CRFs are given in x264's range
DEFAULT_CRF = 18  # visually lossless
CRF_ENDINGS = tuple(ending for ending, kind in FORMATS.items() if kind.max_crf)
ALPHA_ENDINGS = tuple(ending for ending, kind in FORMATS.items() if kind.pixels_with_alpha)


class VideoError(UserError, RuntimeError):
    """A video cannot be written; the message is one line that says what to do."""


# Frames.


def read_frame(frame: Frame) -> UInt8[np.ndarray, "h w c"]:
    """Return the pixels of a frame. Raises VideoError if it is unreadable or no 8-bit RGB(A)."""
    if isinstance(frame, np.ndarray):
        name, image = "frame", frame
    else:
        name, image = os.fspath(frame), _read(frame)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] not in (3, 4):
        raise VideoError(f"{name}: not an 8-bit RGB or RGBA picture: render this frame again")
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
    kind = FORMATS.get(path.suffix.lower())
    if kind is None:
        raise VideoError(f"{path}: no video format: use a name that ends in {', '.join(FORMATS)}")
    if not path.parent.is_dir():
        raise VideoError(f"{path}: no such folder: create {path.parent}")
    trial = path.with_name(f".{path.stem}.{os.getpid()}.tmp{path.suffix}")
    try:
        _encode(iter(np.zeros((2, 16, 16, 3), np.uint8)), trial, kind, fps=30.0, crf=DEFAULT_CRF)
    except VideoError as error:
        known = f"an ffmpeg with {kind.encoder}"
        fix = f"pip install imageio-ffmpeg, or set IMAGEIO_FFMPEG_EXE to {known}"
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
    frames: Iterable[Frame],
    path: str | os.PathLike[str],
    fps: int | float,
    crf: int = DEFAULT_CRF,
    layout: Layout = "flat",
) -> None:
    """Encode frames as a video, completely or not at all.

    Args:
      frames: PNG files or uint8 arrays (h, w, 3) or (h, w, 4), sRGB with straight alpha, all of
        one size. They are read one at a time and never written to.
      path: its ending is a key of `FORMATS`; an existing file is replaced.
      fps: frames per second.
      crf: x264's quality, 0 (lossless) ... 51; 18 is visually lossless. VP9 gets the same fraction
        of its range; ProRes and GIF have a fixed quality.
      layout: what the frames are; the file is marked accordingly if its format has such a mark.

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
            kind, frames = FORMATS[path.suffix.lower()], chain([first], iterator)
            _encode(frames, temporary, kind, fps, crf, kind.stereo if layout == "stereo" else ())
            if layout == "spherical" and kind.spherical:
                with replacing(temporary) as marked:
                    mark_spherical(temporary, marked)
    except VideoError as error:
        fix = by_hand or "fix this and encode again"
        raise VideoError(f"{path}: no video written ({error}): {fix}") from error


def _encode(
    frames: Iterator[Frame],
    path: Path,
    kind: Format,
    fps: int | float,
    crf: int,
    more: Sequence[str] = (),
) -> None:
    """Pipe `frames` through ffmpeg into a file. Raises VideoError with the reason only.

    Args:
      frames: see `encode`.
      path: the file to write, with any ending.
      kind: its format.
      fps: frames per second.
      crf: see `encode`.
      more: further options of ffmpeg.
    """
    first = read_frame(next(frames))
    high, wide, channels = first.shape
    layout = "rgba" if channels == 4 else "rgb24"
    raw = ["-f", "rawvideo", "-pix_fmt", layout, "-video_size", f"{wide}x{high}"]
    output = _output(first.shape, kind, crf)
    with _plain_errors(), tempfile.TemporaryFile() as log:
        exe = imageio_ffmpeg.get_ffmpeg_exe()
        source = [*raw, "-framerate", str(fps), "-i", "-"]
        command = [exe, "-loglevel", "error", "-y", *source, *output, *more, str(path)]
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
            pixels = read_frame(frame)
            if pixels.shape != shape:
                size, first = _describe_size(pixels.shape), _describe_size(shape)
                raise VideoError(f"frame {i} is {size}, not {first} as the first")
            process.stdin.write(np.ascontiguousarray(pixels).data)
        process.stdin.close()
    except BrokenPipeError:
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()


def _describe_size(shape: tuple[int, ...]) -> str:
    """Return a frame's width and height, and whether it has alpha, for messages."""
    return f"{shape[1]}x{shape[0]}" + (" with alpha" if shape[2] == 4 else "")


def _output(shape: tuple[int, ...], kind: Format, crf: int) -> list[str]:
    """Return ffmpeg's filter and output options.

    Args:
      shape: height, width and channels of the frames.
      kind: the format.
      crf: see `encode`.

    Raises:
      VideoError: the frames have alpha and the format has none.
    """
    high, wide, channels = shape
    pixels = kind.pixels_with_alpha if channels == 4 else kind.pixels
    if pixels is None:
        fix = f"use a name that ends in {' or '.join(ALPHA_ENDINGS)}, or frames without alpha"
        raise VideoError(f"the format has no alpha: {fix}")
    if pixels == PALETTE:
        return ["-vf", PALETTE_FILTER, "-c:v", kind.encoder, *kind.options]
    filters = ["format=gbrap" if channels == 4 else "format=gbrp"]
    right, bottom = wide % 2, high % 2
    if right or bottom:
        filters.append(f"pad={wide + right}:{high + bottom}")
        filters.append(f"fillborders=right={right}:bottom={bottom}:mode=smear")
    # By default ffmpeg converts RGB with BT.601's matrix, but players assume BT.709 for HD: convert
    # and mark explicitly. Without the flags every colour is off by 0.1 of a level on average.
    filters.append("scale=out_color_matrix=bt709:out_range=tv:flags=accurate_rnd+full_chroma_int")
    filters.append(f"format={pixels}")
    # The values are sRGB, so they are marked with sRGB's transfer curve, in the stream and in the
    # file's `colr` box. QuickTime and Safari would show values marked as BT.709 lighter, because
    # they use a curve of exponent 1.96 for it. Players without colour management ignore the mark.
    filters.append(
        "setparams=range=tv:colorspace=bt709:color_primaries=bt709:color_trc=iec61966-2-1"
    )
    video = ["-vf", ",".join(filters), "-c:v", kind.encoder, *kind.options]
    if kind.max_crf is not None:
        video += ["-crf", str(round(crf * kind.max_crf / X264_MAX_CRF))]
    return video


def _by_hand(first: Path, path: Path, fps: int | float, crf: int) -> str:
    """Return the ffmpeg command that encodes the frame files beside `first`."""
    with contextlib.suppress(VideoError):
        output = _output(read_frame(first).shape, FORMATS[path.suffix.lower()], crf)
        name = first.name.replace("%", "%%")
        numbered = re.fullmatch(r"(.*?)(\d+)(\D*)", name)
        start, pattern = [], name
        if numbered:
            before, number, after = numbered.groups()
            start, pattern = ["-start_number", str(int(number))], f"{before}%0{len(number)}d{after}"
        source = os.path.join(str(first.parent).replace("%", "%%"), pattern)
        source_options = ["-framerate", str(fps), *start, "-i", source]
        command = ["ffmpeg", *source_options, *output, str(path)]
        return f"the frames are kept, encode them by hand: {shlex.join(command)}"
    return ""
