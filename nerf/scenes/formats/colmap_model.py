"""Read and write COLMAP's sparse models: cameras, images and points, binary or text.

The format is described at colmap.github.io/format.html. Rotations and translations are
world-to-camera with OpenCV axes; the centre of the first pixel is at (0.5, 0.5), as everywhere in
this package. Files are not trusted: every length in a file is compared with the rest of the file
before it is used.
"""

import dataclasses
import struct
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NoReturn

import numpy as np
from jaxtyping import Float, Int, UInt8

from nerf.foundation.files import replacing
from nerf.scenes.base import Problem, SceneError, read_bytes

MAX_BYTES = 4_000_000_000
UNDISTORT = "undistort the images to PINHOLE (colmap image_undistorter)"
MIN_CAMERA_BYTES = 24  # of a record in cameras.bin
MIN_IMAGE_BYTES = 73  # of a record in images.bin
MIN_POINT_BYTES = 51  # of a record in points3D.bin
# By COLMAP's name of a camera model: its number in binary files, and the names of its parameters.
PARAMETERS = {
    "SIMPLE_PINHOLE": (0, "f cx cy"),
    "PINHOLE": (1, "fx fy cx cy"),
    "SIMPLE_RADIAL": (2, "f cx cy k1"),
    "RADIAL": (3, "f cx cy k1 k2"),
    "OPENCV": (4, "fx fy cx cy k1 k2 p1 p2"),
    "OPENCV_FISHEYE": (5, "fx fy cx cy k1 k2 k3 k4"),
    "FULL_OPENCV": (6, "fx fy cx cy k1 k2 p1 p2 k3 k4 k5 k6"),
    "FOV": (7, "fx fy cx cy omega"),
    "SIMPLE_RADIAL_FISHEYE": (8, "f cx cy k1"),
    "RADIAL_FISHEYE": (9, "f cx cy k1 k2"),
    "THIN_PRISM_FISHEYE": (10, "fx fy cx cy k1 k2 p1 p2 k3 k4 sx1 sy1"),
    "RAD_TAN_THIN_PRISM_FISHEYE": (11, "fx fy cx cy k0 k1 k2 k3 k4 k5 p0 p1 s0 s1 s2 s3"),
    "SIMPLE_DIVISION": (12, "f cx cy k"),
    "DIVISION": (13, "fx fy cx cy k"),
    "SIMPLE_FISHEYE": (14, "f cx cy"),
    "FISHEYE": (15, "fx fy cx cy"),
    "EUCM": (16, "fx fy cx cy alpha beta"),
    "EQUIRECTANGULAR": (17, "w h"),
}
NAMES = {number: name for name, (number, _) in PARAMETERS.items()}


@dataclasses.dataclass(frozen=True, eq=False)
class Lens:
    """A camera of a model.

    Attributes:
      kind: COLMAP's name of the camera model.
      size: width and height of its images in pixels.
      parameters: its parameters, in the order of `PARAMETERS`.
    """

    kind: str
    size: tuple[int, int]
    parameters: Float[np.ndarray, " p"]


@dataclasses.dataclass(frozen=True, eq=False)
class Photo:
    """An image of a model, with x_camera = R(quaternion) x_world + translation.

    Attributes:
      name: the file, relative to the folder of images.
      lens: number of its camera.
      quaternion: unit quaternion w, x, y, z.
      translation: in units of the model.
      xy: features in pixels.
      points: the 3D point of each feature, -1 for none.
    """

    name: str
    lens: int
    quaternion: Float[np.ndarray, "4"]
    translation: Float[np.ndarray, "3"]
    xy: Float[np.ndarray, "k 2"]
    points: Int[np.ndarray, " k"]


@dataclasses.dataclass(frozen=True, eq=False)
class Model:
    """A sparse model.

    Attributes:
      lenses: cameras by their number.
      photos: images by their number.
      ids: the number of each point.
      xyz: positions of the points.
      rgb: colours of the points.
    """

    lenses: dict[int, Lens]
    photos: dict[int, Photo]
    ids: Int[np.ndarray, " m"]
    xyz: Float[np.ndarray, "m 3"]
    rgb: UInt8[np.ndarray, "m 3"]


def has_model(folder: Path) -> bool:
    """Return whether a folder contains the cameras and images of a model, binary or text."""
    return any(
        all((folder / f"{part}.{kind}").is_file() for part in ("cameras", "images"))
        for kind in ("bin", "txt")
    )


def count_images(folder: Path) -> int:
    """Count the images of a model without reading it.

    The count of a damaged binary file is limited by the file's length; an unreadable model has 0
    images.
    """
    try:
        if (folder / "images.bin").is_file() and (folder / "cameras.bin").is_file():
            with (folder / "images.bin").open("rb") as file:
                count = int.from_bytes(file.read(8), "little")
            return min(count, (folder / "images.bin").stat().st_size // MIN_IMAGE_BYTES)
        with (folder / "images.txt").open("rb") as file:
            # Each image has two lines.
            return (sum(not line.startswith(b"#") for line in file) + 1) // 2
    except OSError:
        return 0


def read_model(folder: Path) -> Model:
    """Read a model, from its binary files if it has them; points may be missing.

    Raises:
      SceneError: for the first problem of a file.
    """
    binary = (folder / "images.bin").is_file() and (folder / "cameras.bin").is_file()
    source = _Binary if binary else _Text
    kind = "bin" if binary else "txt"
    lenses = _by_number(source(folder / f"cameras.{kind}").lenses(), f"cameras.{kind}")
    photos = _by_number(source(folder / f"images.{kind}").photos(), f"images.{kind}")
    points = folder / f"points3D.{kind}"
    found = list(source(points).points()) if points.is_file() else []
    numbers, positions, colours = zip(*found, strict=True) if found else ((), (), ())
    ids = np.array(numbers, np.int64)
    xyz = np.array(positions, np.float64).reshape(-1, 3)
    if not np.all(np.abs(xyz) < 1e12):
        _refuse(points.name, "", "points that are not finite", "export the model again")
    return Model(lenses, photos, ids, xyz, np.array(colours, np.uint8).reshape(-1, 3))


def _by_number(found: Iterator[tuple[int, object]], file: str) -> dict:
    """Return entries by their number, refusing duplicates."""
    entries: dict[int, object] = {}
    for number, entry in found:
        if number in entries:
            _refuse(file, f"number {number}", "is there twice", "export the model again")
        entries[number] = entry
    return entries


def _refuse(file: str, key: str, reason: str, fix: str) -> NoReturn:
    """Raise a SceneError with one problem."""
    raise SceneError([Problem(file, key, reason, fix)])


def _checked(file: str, number: int, photo: Photo) -> tuple[int, Photo]:
    """Return the image with its quaternion normalised, or refuse its pose."""
    length = float(np.linalg.norm(np.clip(photo.quaternion, -2.0, 2.0)))
    if not abs(length - 1.0) < 1e-2 or not (np.abs(photo.translation) < 1e12).all():
        reason = "its quaternion and translation are no pose"
        _refuse(file, photo.name, reason, "export the model again")
    return number, dataclasses.replace(photo, quaternion=photo.quaternion / length)


class _Binary:
    """Reader of a binary file: the number of records, then little-endian records."""

    def __init__(self, path: Path):
        self.file, self.data, self.at = path.name, read_bytes(path, MAX_BYTES), 0

    def lenses(self) -> Iterator[tuple[int, Lens]]:
        """Yield number and camera of each record of cameras.bin."""
        for _ in range(self._count(MIN_CAMERA_BYTES)):
            number, kind, width, height = self._take("<iiQQ")
            if kind not in NAMES:
                reason = f"unknown camera model {kind}"
                _refuse(self.file, f"camera {number}", reason, UNDISTORT)
            name = NAMES[kind]
            parameters = self._array(np.dtype("<f8"), len(PARAMETERS[name][1].split()))
            yield number, Lens(name, (width, height), parameters)

    def photos(self) -> Iterator[tuple[int, Photo]]:
        """Yield number and image of each record of images.bin."""
        for _ in range(self._count(MIN_IMAGE_BYTES)):
            # A record is a number, quaternion and translation, the camera's number, a name that
            # ends with a zero byte, and the features.
            number, *pose, lens = self._take("<i7di")
            name, (features,) = self._name(), self._take("<Q")
            seen = self._array(np.dtype([("xy", "<f8", 2), ("point", "<i8")]), features)
            quaternion, translation = np.array(pose[:4]), np.array(pose[4:])
            photo = Photo(name, lens, quaternion, translation, seen["xy"], seen["point"])
            yield _checked(self.file, number, photo)

    def points(self) -> Iterator[tuple[int, tuple, tuple]]:
        """Yield number, position and colour of each record of points3D.bin."""
        for _ in range(self._count(MIN_POINT_BYTES)):
            number, x, y, z, r, g, b, _, track = self._take("<Q3d3BdQ")
            self._skip(8 * track)
            yield number & (2**63 - 1), (x, y, z), (r, g, b)

    def _count(self, smallest: int) -> int:
        """Read the number of records, refusing one that does not fit into the file.

        `smallest` is the least number of bytes of a record.
        """
        (count,) = self._take("<Q")
        if count * smallest > len(self.data) - self.at:
            reason = f"too short for the {count} entries it promises"
            _refuse(self.file, "", reason, "copy or export it again")
        return count

    def _skip(self, size: int) -> int:
        """Advance by `size` bytes, and return their start."""
        start = self.at
        if size > len(self.data) - start:
            _refuse(self.file, "", "ends too early", "copy or export it again")
        self.at += size
        return start

    def _take(self, layout: str) -> tuple:
        """Read the values of a `struct` layout."""
        return struct.unpack_from(layout, self.data, self._skip(struct.calcsize(layout)))

    def _array(self, dtype: np.dtype, count: int) -> np.ndarray:
        """Read an array of `count` entries."""
        return np.frombuffer(self.data, dtype, count, self._skip(count * dtype.itemsize))

    def _name(self) -> str:
        """Read a string that ends with a zero byte."""
        end = self.data.find(b"\0", self.at)
        if end < 0:
            _refuse(self.file, "", "ends within a name", "copy or export it again")
        start = self._skip(end + 1 - self.at)
        return self.data[start:end].decode("utf-8", "surrogateescape")


class _Text:
    """Reader of a text file: words in lines; lines that begin with # are comments."""

    def __init__(self, path: Path):
        self.file = path.name
        text = read_bytes(path, MAX_BYTES).decode("utf-8-sig", "surrogateescape")
        self.lines = enumerate(text.split("\n"), start=1)

    def lenses(self) -> Iterator[tuple[int, Lens]]:
        """Yield number and camera of each line of cameras.txt."""
        for line, words in self._entries(4):
            number, width, height = self._numbers(line, int, [words[0], *words[2:4]])
            if words[1] not in PARAMETERS:
                _refuse(self.file, f"line {line}", f"unknown camera model {words[1]!r}", UNDISTORT)
            names = PARAMETERS[words[1]][1].split()
            if len(words) != 4 + len(names):
                reason = f"{words[1]} has {len(names)} parameters"
                _refuse(self.file, f"line {line}", reason, "export it again")
            parameters = np.array(self._numbers(line, float, words[4:]))
            yield number, Lens(words[1], (width, height), parameters)

    def photos(self) -> Iterator[tuple[int, Photo]]:
        """Yield number and image of each pair of lines of images.txt.

        The first line is the pose, the second the features.
        """
        for line, words in self._entries(10, 9):
            number, lens = self._numbers(line, int, [words[0], words[8]])
            pose = np.array(self._numbers(line, float, words[1:8]))
            line, seen = next(self.lines, (line + 1, ""))  # empty if there are no features
            # A line of nine numbers and a name is the next image: the line of features is missing.
            start = seen.split(maxsplit=9)
            if (
                len(start) == 10
                and self._are_numbers(start[:9])
                and not self._are_numbers(start[9].split())
            ):
                reason = "a pose where the features of the previous image are expected"
                fix = "write two lines for each image, the second may be empty"
                _refuse(self.file, f"line {line}", reason, fix)
            rows = self._numbers(line, float, seen.split())
            if len(rows) % 3:
                _refuse(self.file, f"line {line}", "not x, y, point in turn", "export it again")
            features = np.array(rows).reshape(-1, 3)
            # Point numbers are parsed again as integers: a float does not hold 64 bits exactly.
            points = np.array(self._numbers(line, int, seen.split()[2::3]), np.int64)
            photo = Photo(words[9], lens, pose[:4], pose[4:], features[:, :2], points)
            yield _checked(self.file, number, photo)

    def points(self) -> Iterator[tuple[int, tuple, tuple]]:
        """Yield number, position and colour of each line of points3D.txt."""
        for line, words in self._entries(8, 8):
            number, *rgb = self._numbers(line, int, [words[0], *words[4:7]])
            if not all(0 <= c < 256 for c in rgb):
                _refuse(self.file, f"line {line}", "a colour beyond 0 to 255", "export it again")
            yield number, tuple(self._numbers(line, float, words[1:4])), tuple(rgb)

    def _entries(self, fewest: int, splits: int = -1) -> Iterator[tuple[int, list[str]]]:
        """Yield line number and words of each line that is not empty or a comment.

        `fewest` is the least number of words; after `splits` words the rest of a line is one word.
        """
        for line, text in self.lines:
            words = text.split(maxsplit=splits)
            if words and not words[0].startswith("#"):
                if len(words) < fewest:
                    reason = f"{len(words)} words, at least {fewest} expected"
                    _refuse(self.file, f"line {line}", reason, "export it again")
                words[-1] = words[-1].rstrip()
                yield line, words

    @staticmethod
    def _are_numbers(words: Sequence[str]) -> bool:
        """Return whether all words are numbers other than NaN."""
        try:
            return all(float(word) == float(word) for word in words)
        except ValueError:
            return False

    def _numbers(self, line: int, kind: type, words: Sequence[str]) -> list:
        """Convert words to numbers of type `kind`, refusing anything else."""
        numbers = []
        for word in words:
            try:
                numbers.append(kind(word))
            except ValueError:
                expected = "a whole number" if kind is int else "a number"
                reason = f"{word!r} is not {expected}"
                _refuse(self.file, f"line {line}", reason, "correct it, or export it again")
            if kind is int and abs(numbers[-1]) >= 2**63:
                reason = f"{word} is a number beyond 64 bits"
                _refuse(self.file, f"line {line}", reason, "export it again")
        return numbers


def write_text(folder: Path, model: Model) -> None:
    """Write a model as cameras.txt, images.txt and points3D.txt.

    The track of a point is collected from the images. Numbers are written with the digits that
    restore them exactly.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lenses = [
        f"{number} {lens.kind} {lens.size[0]} {lens.size[1]} {_words(lens.parameters)}"
        for number, lens in model.lenses.items()
    ]
    photos, tracks = [], dict.fromkeys(model.ids.tolist(), "")
    for number, photo in model.photos.items():
        if "\n" in photo.name:
            _refuse("images.txt", photo.name, "a line break in the name", "rename the image")
        pose = _words([*photo.quaternion, *photo.translation])
        photos.append(f"{number} {pose} {photo.lens} {photo.name}")
        seen = zip(photo.xy.tolist(), photo.points.tolist(), strict=True)
        photos.append(" ".join(f"{x!r} {y!r} {point}" for (x, y), point in seen))
        for place, point in enumerate(photo.points.tolist()):
            if point in tracks:
                tracks[point] += f" {number} {place}"
    points = [
        f"{number} {_words(xyz)} {r} {g} {b} 0{tracks[number]}"
        for number, xyz, (r, g, b) in zip(
            model.ids.tolist(), model.xyz, model.rgb.tolist(), strict=True
        )
    ]
    for part, lines in (("cameras", lenses), ("images", photos), ("points3D", points)):
        with replacing(folder / f"{part}.txt") as temporary:
            text = "".join(f"{line}\n" for line in lines)
            temporary.write_text(text, "utf-8", "surrogateescape")


def _words(numbers: Iterable[float]) -> str:
    return " ".join(repr(float(number)) for number in numbers)
