"""COLMAP's sparse models on disk: cameras, images and points, binary or text (colmap.github.io/format.html).

Rotations and translations are world-to-camera with OpenCV axes; the centre of the first pixel is (0.5, 0.5) as
everywhere in this package. A file is not trusted: every length in it is held against what is left of the file first.
"""

import dataclasses
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NoReturn

import numpy as np
from jaxtyping import Float, Int, UInt8

from nerf.foundation.files import replacing
from nerf.scenes.base import Problem, SceneError, read_bytes

MAX_BYTES = 4_000_000_000
UNDISTORT = "undistort the images to PINHOLE (colmap image_undistorter)"
SMALLEST_IMAGE = 73  # bytes, in images.bin
PARAMETERS = {  # by COLMAP's name: its number in binary files, and what its parameters are
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
    """A camera of a model: `kind` is COLMAP's name for it, `size` its images' width and height."""

    kind: str
    size: tuple[int, int]
    parameters: Float[np.ndarray, " p"]


@dataclasses.dataclass(frozen=True, eq=False)
class Photo:
    """An image of a model: x_camera = R(quaternion) x_world + translation; the quaternion is w, x, y, z.

    `xy` are its features in pixels, `points` the 3D points that they are of, -1 for none.
    """

    name: str
    lens: int
    quaternion: Float[np.ndarray, "4"]
    translation: Float[np.ndarray, "3"]
    xy: Float[np.ndarray, "k 2"]
    points: Int[np.ndarray, " k"]


@dataclasses.dataclass(frozen=True, eq=False)
class Model:
    """A sparse model; cameras and images by their numbers, points with theirs in `ids`."""

    lenses: dict[int, Lens]
    photos: dict[int, Photo]
    ids: Int[np.ndarray, " m"]
    xyz: Float[np.ndarray, "m 3"]
    rgb: UInt8[np.ndarray, "m 3"]


def has_model(folder: Path) -> bool:
    """Whether a folder holds cameras and images of a model, binary or text."""
    return any(
        all((folder / f"{part}.{kind}").is_file() for part in ("cameras", "images"))
        for kind in ("bin", "txt")
    )


def count_images(folder: Path) -> int:
    """Return how many images a model has, without reading it; what is damaged counts as far as it can be right."""
    try:
        if (folder / "images.bin").is_file() and (folder / "cameras.bin").is_file():
            with (folder / "images.bin").open("rb") as file:
                count = int.from_bytes(file.read(8), "little")
            return min(count, (folder / "images.bin").stat().st_size // SMALLEST_IMAGE)
        with (folder / "images.txt").open("rb") as file:
            return (
                sum(not line.startswith(b"#") for line in file) + 1
            ) // 2  # each image has two lines
    except OSError:
        return 0


def read_model(folder: Path) -> Model:
    """The model in a folder, from its binary files where it has them. Points may be absent. Raises SceneError."""
    binary = (folder / "images.bin").is_file() and (folder / "cameras.bin").is_file()
    source = _Binary if binary else _Text
    kind = "bin" if binary else "txt"
    lenses = _by_number(source(folder / f"cameras.{kind}").lenses(), f"cameras.{kind}")
    photos = _by_number(source(folder / f"images.{kind}").photos(), f"images.{kind}")
    points = folder / f"points3D.{kind}"
    found = list(source(points).points()) if points.is_file() else []
    ids, xyz, rgb = zip(*found, strict=True) if found else ((), (), ())
    places = np.array(xyz, np.float64).reshape(-1, 3)
    if not np.all(np.abs(places) < 1e12):
        _refuse(points.name, "", "points that are not finite", "export the model again")
    return Model(
        lenses, photos, np.array(ids, np.int64), places, np.array(rgb, np.uint8).reshape(-1, 3)
    )


def _by_number(found: Iterator[tuple[int, object]], file: str) -> dict:
    entries: dict[int, object] = {}
    for number, entry in found:
        if number in entries:
            _refuse(file, f"number {number}", "is there twice", "export the model again")
        entries[number] = entry
    return entries


def _refuse(file: str, key: str, reason: str, fix: str) -> NoReturn:
    raise SceneError([Problem(file, key, reason, fix)])


def _checked(file: str, number: int, photo: Photo) -> tuple[int, Photo]:
    """The image with its quaternion of length 1."""
    length = float(np.linalg.norm(np.clip(photo.quaternion, -2.0, 2.0)))
    if not abs(length - 1.0) < 1e-2 or not (np.abs(photo.translation) < 1e12).all():
        _refuse(
            file, photo.name, "its quaternion and translation are no pose", "export the model again"
        )
    return number, dataclasses.replace(photo, quaternion=photo.quaternion / length)


class _Binary:
    """Little-endian records, one after another, after their number."""

    def __init__(self, path: Path):
        self.file, self.data, self.at = path.name, read_bytes(path, MAX_BYTES), 0

    def lenses(self) -> Iterator[tuple[int, Lens]]:
        for _ in range(self._count(24)):
            number, kind, width, height = self._take("<iiQQ")
            if kind not in NAMES:
                _refuse(self.file, f"camera {number}", f"unknown camera model {kind}", UNDISTORT)
            name = NAMES[kind]
            yield (
                number,
                Lens(name, (width, height), self._array("<f8", len(PARAMETERS[name][1].split()))),
            )

    def photos(self) -> Iterator[tuple[int, Photo]]:
        for _ in range(self._count(SMALLEST_IMAGE)):
            number, *pose, lens = self._take("<i7di")
            name, (features,) = self._name(), self._take("<Q")
            seen = self._array(np.dtype([("xy", "<f8", 2), ("point", "<i8")]), features)
            photo = Photo(
                name, lens, np.array(pose[:4]), np.array(pose[4:]), seen["xy"], seen["point"]
            )
            yield _checked(self.file, number, photo)

    def points(self) -> Iterator[tuple[int, tuple, tuple]]:
        for _ in range(self._count(51)):
            number, x, y, z, r, g, b, _, track = self._take("<Q3d3BdQ")
            self._skip(8 * track)
            yield number & (2**63 - 1), (x, y, z), (r, g, b)

    def _count(self, smallest: int) -> int:
        """How many records follow, if there can be so many of at least `smallest` bytes."""
        (count,) = self._take("<Q")
        if count * smallest > len(self.data) - self.at:
            _refuse(
                self.file,
                "",
                f"too short for the {count} entries it promises",
                "copy or export it again",
            )
        return count

    def _skip(self, size: int) -> int:
        """Go on by `size` bytes; where they begin."""
        start = self.at
        if size > len(self.data) - start:
            _refuse(self.file, "", "ends too early", "copy or export it again")
        self.at += size
        return start

    def _take(self, layout: str) -> tuple:
        return struct.unpack_from(layout, self.data, self._skip(struct.calcsize(layout)))

    def _array(self, dtype, count: int) -> np.ndarray:
        dtype = np.dtype(dtype)
        return np.frombuffer(self.data, dtype, count, self._skip(count * dtype.itemsize))

    def _name(self) -> str:
        end = self.data.find(b"\0", self.at)
        if end < 0:
            _refuse(self.file, "", "ends within a name", "copy or export it again")
        start = self._skip(end + 1 - self.at)
        return self.data[start:end].decode("utf-8", "surrogateescape")


class _Text:
    """Words in lines; a line that begins with # says nothing."""

    def __init__(self, path: Path):
        self.file = path.name
        self.lines = enumerate(
            read_bytes(path, MAX_BYTES).decode("utf-8-sig", "surrogateescape").split("\n"), start=1
        )

    def lenses(self) -> Iterator[tuple[int, Lens]]:
        for line, words in self._entries(4):
            number, width, height = self._numbers(line, int, [words[0], *words[2:4]])
            if words[1] not in PARAMETERS:
                _refuse(self.file, f"line {line}", f"unknown camera model {words[1]!r}", UNDISTORT)
            names = PARAMETERS[words[1]][1].split()
            if len(words) != 4 + len(names):
                _refuse(
                    self.file,
                    f"line {line}",
                    f"{words[1]} has {len(names)} parameters",
                    "export it again",
                )
            yield (
                number,
                Lens(words[1], (width, height), np.array(self._numbers(line, float, words[4:]))),
            )

    def photos(self) -> Iterator[tuple[int, Photo]]:
        for line, words in self._entries(10, 9):
            number, lens = self._numbers(line, int, [words[0], words[8]])
            pose = np.array(self._numbers(line, float, words[1:8]))
            line, seen = next(self.lines, (line + 1, ""))  # empty where there are no features
            start = seen.split(maxsplit=9)
            if (
                len(start) == 10
                and self._are_numbers(start[:9])
                and not self._are_numbers(start[9].split())
            ):
                reason = "a pose where the features of the image before are expected"
                _refuse(
                    self.file,
                    f"line {line}",
                    reason,
                    "write two lines for each image, the second may be empty",
                )
            rows = self._numbers(line, float, seen.split())
            if len(rows) % 3:
                _refuse(self.file, f"line {line}", "not x, y, point in turn", "export it again")
            features = np.array(rows).reshape(-1, 3)
            points = np.array(self._numbers(line, int, seen.split()[2::3]), np.int64)
            yield _checked(
                self.file,
                number,
                Photo(words[9], lens, pose[:4], pose[4:], features[:, :2], points),
            )

    def points(self) -> Iterator[tuple[int, tuple, tuple]]:
        for line, words in self._entries(8, 8):
            number, *rgb = self._numbers(line, int, [words[0], *words[4:7]])
            if not all(0 <= c < 256 for c in rgb):
                _refuse(self.file, f"line {line}", "a colour beyond 0 to 255", "export it again")
            yield number, tuple(self._numbers(line, float, words[1:4])), tuple(rgb)

    def _entries(self, fewest: int, splits: int = -1) -> Iterator[tuple[int, list[str]]]:
        for line, text in self.lines:
            words = text.split(maxsplit=splits)
            if words and not words[0].startswith("#"):
                if len(words) < fewest:
                    _refuse(
                        self.file,
                        f"line {line}",
                        f"{len(words)} words, at least {fewest} expected",
                        "export it again",
                    )
                words[-1] = words[-1].rstrip()
                yield line, words

    @staticmethod
    def _are_numbers(words: Sequence[str]) -> bool:
        try:
            return all(float(word) == float(word) for word in words)
        except ValueError:
            return False

    def _numbers(self, line: int, kind: type, words: Sequence[str]) -> list:
        numbers = []
        for word in words:
            try:
                numbers.append(kind(word))
            except ValueError:
                expected = "a whole number" if kind is int else "a number"
                _refuse(
                    self.file,
                    f"line {line}",
                    f"{word!r} is not {expected}",
                    "correct it, or export it again",
                )
            if kind is int and abs(numbers[-1]) >= 2**63:
                _refuse(
                    self.file,
                    f"line {line}",
                    f"{word} is a number beyond 64 bits",
                    "export it again",
                )
        return numbers


def write_text(folder: Path, model: Model) -> None:
    """Write a model as cameras.txt, images.txt and points3D.txt, which COLMAP and others read.

    A point's track is what the images say of it; numbers are written so that they are read back exactly.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lenses = [
        f"{number} {lens.kind} {lens.size[0]} {lens.size[1]} {_words(lens.parameters)}"
        for number, lens in model.lenses.items()
    ]
    photos, tracks = [], dict.fromkeys(model.ids.tolist(), "")
    for number, photo in model.photos.items():
        if "\n" in photo.name:
            _refuse("images.txt", photo.name, "a name in two lines", "rename the image")
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
            temporary.write_text("".join(f"{line}\n" for line in lines), "utf-8", "surrogateescape")


def _words(numbers) -> str:
    return " ".join(repr(float(number)) for number in numbers)
