"""Extract sharp, well-spaced frames from a video.

The video is cut into windows of equal length and the sharpest frame of each is used: the frame with
the largest variance of the Laplacian of the grey picture (Pech-Pacheco et al. 2000). Frames that
show the same as the previous one, as from a camera that stands still, are skipped.
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

import imageio.v3 as iio
import imageio_ffmpeg
import numpy as np
from jaxtyping import Float, UInt16

from nerf.capture.mapping import CaptureError
from nerf.check.looks import sharpness
from nerf.scenes.colour import UNSPECIFIED, ColourSpace, ImageError, from_cicp, to_srgb

THUMBNAIL_SIDE = 256  # pixels of the square grey pictures by which frames are judged
# Fraction of a window at both ends from which no frame is used, so that frames stay apart.
WINDOW_MARGIN = 0.2
# Fraction of the median change between frames; a smaller change is no new view.
MIN_CHANGE = 0.2
NO_FRAME = "{video}: no frame can be read: is it a video? export it as H.264 MP4"
TO_SDR = "export it as H.264 MP4 with HDR off (BT.709)"
# A video that does not name its matrix is BT.709 if its longer side is at least 1280 pixels or its
# shorter side more than 576, otherwise BT.601: players guess the same.
HD_SIZE = 1280, 576
JPEG_QUALITY = 98  # with full chroma resolution, so that patches keep their edges
# The keys are ffmpeg's names. Matrices have the names that its `scale` filter takes; primaries and
# transfer curves have their numbers in ITU-T H.273.
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


def pick(sharp: Sequence[float], count: int) -> list[int]:
    """Return the indices of the sharpest frame of each of `count` windows of equal length.

    Frames near the ends of a window are not used.

    Args:
      sharp: the sharpness of each frame.
      count: the number of windows; at most one per frame.
    """
    count = min(count, len(sharp))
    edges = np.linspace(0, len(sharp), count + 1)
    picked = []
    for low, high in zip(edges[:-1], edges[1:], strict=True):
        margin = WINDOW_MARGIN * (high - low)
        first = min(int(np.ceil(low + margin)), int(np.ceil(high)) - 1)
        inner = sharp[first : max(int(np.floor(high - margin)), first + 1)]
        picked.append(first + int(np.argmax(inner)))
    return picked


def moving(small: Float[np.ndarray, "n h w"]) -> list[int]:
    """Return the indices of the pictures that differ from the last one kept.

    The minimum difference is `MIN_CHANGE` times the median difference of consecutive pictures.
    """
    if len(small) < 2:
        return list(range(len(small)))
    least = MIN_CHANGE * float(np.median(np.abs(np.diff(small, axis=0)).mean((1, 2))))
    kept = [0]
    for i in range(1, len(small)):
        if np.abs(small[i] - small[kept[-1]]).mean() > least:
            kept.append(i)
    return kept


def extract_frames(video: Path, images: Path, count: int) -> list[str]:
    """Write sharp, well-spaced frames of a video as JPEG.

    Args:
      video: the video.
      images: the folder to write; its earlier frames are replaced.
      count: the maximum number of frames.

    Returns:
      The names of the files.

    Raises:
      CaptureError: the video cannot be read, or its colours cannot be converted.
    """
    coding = read_coding(video)
    sharp, thumbnails = [], []
    for grey in _small_frames(video):
        sharp.append(sharpness(grey))
        thumbnails.append(grey[::4, ::4])
    if not sharp:
        raise CaptureError(NO_FRAME.format(video=video))
    picked = pick(sharp, count)
    small = np.stack([thumbnails[i] for i in picked]).astype(np.float32)
    picked = [picked[i] for i in moving(small)]
    return _write_frames(video, images, picked, coding)


def _small_frames(video: Path) -> Iterator[np.ndarray]:
    """Yield every frame as a small square grey picture; the aspect ratio is not kept."""
    filters = f"scale={THUMBNAIL_SIDE}:{THUMBNAIL_SIDE}:flags=area,format=gray"
    command = [_ffmpeg(), *_reading(video), "-vf", filters, "-f", "rawvideo", "-"]
    size = THUMBNAIL_SIDE * THUMBNAIL_SIDE  # bytes of a frame
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as run:
        assert run.stdout is not None
        try:
            while len(data := run.stdout.read(size)) == size:
                yield np.frombuffer(data, np.uint8).reshape(THUMBNAIL_SIDE, THUMBNAIL_SIDE)
        finally:
            run.kill()


def _reading(video: Path, loglevel: str = "error") -> list[str]:
    """Return ffmpeg's options for reading every stored frame once.

    Frame numbers are then the same each time the video is read.
    """
    output = ["-map", "0:v:0", "-fps_mode", "passthrough"]
    return ["-nostdin", "-loglevel", loglevel, "-i", os.path.abspath(video), *output]


def _ffmpeg() -> str:
    """Return the path of ffmpeg; raise CaptureError if there is none."""
    try:
        return imageio_ffmpeg.get_ffmpeg_exe()
    except RuntimeError as error:
        raise CaptureError(f"ffmpeg: none found ({error}): pip install imageio-ffmpeg") from error


@dataclasses.dataclass(frozen=True)
class Coding:
    """The colour coding of a video.

    Attributes:
      matrix: the YCbCr matrix, with its name in ffmpeg's `scale` filter; empty for an RGB video.
      space: the colour space of the RGB values.
    """

    matrix: str
    space: ColourSpace


def read_coding(video: Path) -> Coding:
    """Read the colour coding of a video; missing values are guessed as players do.

    Raises:
      CaptureError: the colours cannot be converted, or no frame can be read.
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
    """Parse the output of ffmpeg's filter `showinfo` for the first frame.

    Returns:
      The colour coding, or None if the output has no frame.

    Raises:
      ImageError: the colours cannot be converted.
    """
    found = dict(re.findall(r"\bcolor_(space|primaries|trc):([\w-]+)", said))
    frame = re.search(r"showinfo.* fmt:(\S+) .*\bs:(\d+)x(\d+)", said)
    if frame is None:
        return None
    # The base layer of Dolby Vision profile 5 is not YCbCr. The base layer of profile 8, which
    # iPhones write, is plain HLG or PQ.
    if re.search(r"DOVI configuration record:.*profile: 5\b", said):
        raise ImageError("HDR as Dolby Vision profile 5", TO_SDR)
    matrix = _matrix(found.get("space", "unknown"), frame[1], (int(frame[2]), int(frame[3])))
    primaries = _code(PRIMARIES, found.get("primaries", "unknown"), "the primaries")
    curve = _code(CURVES, found.get("trc", "unknown"), "the transfer curve")
    return Coding(matrix, from_cicp(primaries, curve))


def _matrix(name: str, pixel_format: str, size: tuple[int, int]) -> str:
    """Return the YCbCr matrix of a video, with its name in ffmpeg's `scale` filter.

    Args:
      name: the matrix in ffmpeg's output; it may be "unknown".
      pixel_format: ffmpeg's name of the pixel format.
      size: width and height in pixels.

    Returns:
      The matrix; empty for an RGB video.

    Raises:
      ImageError: the matrix is not supported.
    """
    if name == "gbr" or re.match(r"(gbr|rgb|bgr|argb|abgr|pal8|0rgb|0bgr)", pixel_format):
        return ""
    if name in MATRICES:
        return MATRICES[name]
    if name not in ("unknown", "reserved"):
        raise ImageError(f"the matrix {name} is not supported", TO_SDR)
    return "bt709" if max(size) >= HD_SIZE[0] or min(size) > HD_SIZE[1] else "bt470"


def _code(codes: dict[str, int], name: str, what: str) -> int:
    """Return the H.273 number of one of ffmpeg's names.

    Args:
      codes: the numbers by ffmpeg's names.
      name: the name; it may be "unknown".
      what: the property, for messages.

    Raises:
      ImageError: the name is not supported.
    """
    if name in ("unknown", "reserved"):
        return UNSPECIFIED
    if name not in codes:
        raise ImageError(f"{what} {name}: not supported", TO_SDR)
    return codes[name]


def _full_frames(
    video: Path, picked: Sequence[int], matrix: str, log: IO[bytes]
) -> Iterator[UInt16[np.ndarray, "h w 3"]]:
    """Decode frames in full size and range, upright, as 16-bit RGB.

    Args:
      video: the video.
      picked: the indices of the frames, increasing.
      matrix: the YCbCr matrix, see `Coding`.
      log: file for ffmpeg's messages.
    """
    chosen = "+".join(f"eq(n\\,{number})" for number in picked)
    # ffmpeg reads the range from the frame. The matrix is passed explicitly, because versions of
    # ffmpeg guess a missing one differently.
    scale = "scale=flags=bicubic+accurate_rnd+full_chroma_int+full_chroma_inp"
    scale += f":in_color_matrix={matrix}" if matrix else ""
    filters = f"select={chosen},{scale},format=rgb48be"
    output = ["-vf", filters, "-c:v", "ppm", "-f", "image2pipe", "-"]
    command = [_ffmpeg(), *_reading(video), *output]
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log
    ) as run:
        assert run.stdout is not None
        try:
            while run.stdout.readline() == b"P6\n":
                wide, high = map(int, run.stdout.readline().split())
                run.stdout.readline()  # the maximum value
                data = run.stdout.read(6 * wide * high)
                if len(data) == 6 * wide * high:
                    yield np.frombuffer(data, ">u2").astype(np.uint16).reshape(high, wide, 3)
        finally:
            run.kill()


def _write_frames(video: Path, images: Path, picked: Sequence[int], coding: Coding) -> list[str]:
    """Write frames in full size; the folder never contains an incomplete set.

    Args:
      video: the video.
      images: the folder to write.
      picked: the indices of the frames, increasing.
      coding: the colour coding of the video.

    Returns:
      The names of the files.
    """
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
    """Write a 16-bit sRGB image as JPEG (BT.601 matrix, full range; readers assume sRGB)."""
    picture = ((srgb.astype(np.uint32) + 128) // 257).astype(np.uint8)
    iio.imwrite(path, picture, plugin="pillow", quality=JPEG_QUALITY, subsampling=0)
