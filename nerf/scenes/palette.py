"""The classes of a scene's label files: number, name and colour of each.

They are read from the first of these files in the scene folder:

  labels.json             {"0": "table", "1": "cup"}, or
                          {"classes": [{"id": 0, "name": "table", "color": [200, 150, 90]}, ...],
                          "ignore": [255]}
  panoptic_classes.json   nerfstudio's {"thing": [names], "thing_colors": [...], "stuff": ...}:
                          classes in the order of the file, from 0
  info_semantic.json      Replica's {"classes": [{"id": 1, "name": "book"}, ...]}; 0 is unknown

Numbers under "ignore" mean that a pixel's class is unknown. Without such a file, every number that
occurs is a class.
"""

import colorsys
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Integer, UInt16

from nerf.scenes.base import LabelClass, Problem, SceneError, read_bytes
from nerf.scenes.colour import ImageError

MAX_BYTES = 10_000_000
MAX_NUMBER = 2**16 - 2  # maps are of 16 bits, with 1 + the number
MAX_DIGITS = 5  # of a number
UNKNOWN = -1  # the number of a pixel whose class is unknown, in every file
REPLICA = "info_semantic.json"
FILES = ("labels.json", "panoptic_classes.json", REPLICA)
COLOUR_KEYS = ("color", "colour")


class Palette(NamedTuple):
    """The classes of a scene's label files.

    Attributes:
      file: name of the file that says them; empty without one.
      classes: by number.
      ignored: numbers of pixels whose class is unknown, besides -1.
      coloured: whether the file says the classes' colours.
    """

    file: str
    classes: tuple[LabelClass, ...]
    ignored: frozenset[int] = frozenset()
    coloured: bool = False

    def known(self, numbers: Integer[np.ndarray, "h w"]) -> UInt16[np.ndarray, "h w"]:
        """Return 1 + the number of each pixel's class, and 0 where it is unknown.

        Raises:
          ImageError: a number is none of the classes, or too large.
        """
        ignored = [UNKNOWN, *self.ignored]
        found = set(np.unique(numbers).tolist()) - set(ignored)
        if found and not 0 <= min(found) <= max(found) <= MAX_NUMBER:
            wrong = next(n for n in sorted(found) if not 0 <= n <= MAX_NUMBER)
            fix = (
                f"use numbers from 0 to {MAX_NUMBER}, and {UNKNOWN} or one under 'ignore' for none"
            )
            raise ImageError(f"number {wrong}", fix)
        names = {each.number for each in self.classes}
        if names and (unknown := sorted(found - names)):
            shown = ", ".join(map(str, unknown[:5])) + (", ..." if len(unknown) > 5 else "")
            reason = f"{_counted(len(unknown), 'number')} ({shown}) without a class in {self.file}"
            raise ImageError(reason, "name the class there, or list the number under 'ignore'")
        # The largest number of the file's type has a successor only in a larger type.
        return np.where(np.isin(numbers, ignored), 0, numbers.astype(np.int64) + 1).astype(
            np.uint16
        )

    def numbers_of(self, colours: Integer[np.ndarray, "h w 3"]) -> Integer[np.ndarray, "h w"]:
        """Return the number of the class of each colour.

        Raises:
          ImageError: a colour is none of the classes'.
        """
        if not self.coloured:
            # Many programs save grey pictures in three equal channels.
            if (colours == colours[..., :1]).all():
                return colours[..., 0]
            fix = f"save numbers as grey, or write the classes' colours into {FILES[0]}"
            raise ImageError("a picture in colour, and no file says what its colours mean", fix)
        codes, at = np.unique(_packed(colours), return_inverse=True)
        numbers = {int(_packed(np.array([each.colour]))[0]): each.number for each in self.classes}
        if len(numbers) < len(self.classes):
            raise ImageError(f"two classes in {self.file} have one colour", "give each its own")
        if missing := [int(code) for code in codes if int(code) not in numbers]:
            r, g, b = (missing[0] >> shift & 255 for shift in (16, 8, 0))
            reason = f"{_counted(len(missing), 'colour')}, as {r},{g},{b}, of no class"
            raise ImageError(f"{reason} in {self.file}", "give a class there this 'color'")
        return np.array([numbers[int(code)] for code in codes])[at].reshape(colours.shape[:2])


def _counted(count: int, what: str) -> str:
    return f"1 {what}" if count == 1 else f"{count} {what}s"


def _packed(colours: Integer[np.ndarray, "*b 3"]) -> Integer[np.ndarray, "*b"]:
    """Return colours of 8 bits per channel as one number each."""
    red, green, blue = (colours[..., i].astype(np.int32) for i in range(3))
    return red << 16 | green << 8 | blue


def colour_of(number: int) -> tuple[int, int, int]:
    """Return a colour for a class that has none; those of neighbouring numbers differ.

    0 is grey, since it is often the background.
    """
    if number == 0:
        return 96, 96, 96
    # The golden ratio spreads any number of hues evenly.
    hue, strong = number * 0.618033988749895 % 1.0, number % 2 == 0
    rgb = colorsys.hsv_to_rgb(hue, 0.75 if strong else 0.5, 0.95 if strong else 0.75)
    return tuple(round(255 * channel) for channel in rgb)  # type: ignore[return-value]


def union(*groups: Iterable[LabelClass]) -> tuple[LabelClass, ...]:
    """Return the classes of several scenes by number; the first with a number counts."""
    found = {each.number: each for group in reversed(groups) for each in group}
    return tuple(found[number] for number in sorted(found))


def classes_in(maps: Iterable[UInt16[np.ndarray, "h w"]]) -> tuple[LabelClass, ...]:
    """Return a class for each number that occurs in label maps, which have 1 + the number."""
    found = sorted({int(n) - 1 for labels in maps for n in np.unique(labels) if n})
    return tuple(LabelClass(n, f"class {n}", colour_of(n)) for n in found)


def read_palette(root: Path) -> Palette:
    """Read the classes of a scene folder; without a file every number is a class.

    Raises:
      SceneError: the file is not as described above; it lists every problem.
    """
    file = next((name for name in FILES if (root / name).is_file()), "")
    if not file:
        return Palette("", ())
    try:
        data = json.loads(read_bytes(root / file, MAX_BYTES).decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise SceneError([Problem(file, "", f"not JSON ({error})", "correct it")]) from error
    problems: list[Problem] = []
    if isinstance(data, Mapping):
        ignored = frozenset(_ignored(data, file, problems))
        classes = [each for entry in _entries(data) for each in _class(entry, file, problems)]
    if not isinstance(data, Mapping) or not (classes or problems):
        fix = 'write {"0": "table", "1": "cup"}, the name of each number'
        raise SceneError([Problem(file, "", "names no classes", fix)])
    problems += _repeated(classes, file)
    if problems:
        raise SceneError(problems)
    classes = [each for each in classes if each.number not in ignored]
    if file == REPLICA and all(each.number for each in classes):
        ignored |= {0}
    coloured = any(colour is not None for _, _, _, colour in _entries(data))
    return Palette(file, tuple(sorted(classes)), ignored, coloured)


def _entries(data: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any, Any]]:
    """Yield the key, number, name and colour of each class of a file, not checked yet."""
    if isinstance(listed := data.get("classes"), list):
        for i, entry in enumerate(listed):
            entry = entry if isinstance(entry, Mapping) else {"id": i, "name": entry}
            if entry.get("id") != UNKNOWN:
                yield f"classes[{i}]", entry.get("id"), entry.get("name"), _colour_in(entry)
    elif isinstance(data.get("thing"), list) or isinstance(data.get("stuff"), list):
        number = 0
        for kind in ("thing", "stuff"):
            names, colours = (
                x if isinstance(x := data.get(key), list) else []
                for key in (kind, f"{kind}_colors")
            )
            for i, name in enumerate(names):
                yield f"{kind}[{i}]", number, name, colours[i] if i < len(colours) else None
                number += 1
    else:
        for key, value in data.items():
            if key in ("ignore", str(UNKNOWN)):
                continue
            is_number = key.isascii() and key.isdecimal() and len(key) <= MAX_DIGITS
            given: Any = int(key) if is_number else key
            named = isinstance(value, Mapping)
            name, colour = (value.get("name"), _colour_in(value)) if named else (value, None)
            yield key, given, name, colour


def _colour_in(entry: Mapping[str, Any]) -> Any:
    """Return the colour of a class under either spelling of the key, or None."""
    return next((entry[key] for key in COLOUR_KEYS if key in entry), None)


def _class(
    entry: tuple[str, Any, Any, Any], file: str, problems: list[Problem]
) -> Iterator[LabelClass]:
    """Yield the class of an entry, or add what is wrong with it to the problems."""
    key, number, name, colour = entry
    if not _is_number(number):
        fix = f'write a number from 0 to {MAX_NUMBER} before its name, as "1": "chair"'
        problems.append(Problem(file, key, f"{number!r} is not a class's number", fix))
    elif not isinstance(name, str) or not name.strip():
        problems.append(Problem(file, key, f"{name!r} is not a name", "write one"))
    elif colour is None:
        yield LabelClass(number, name, colour_of(number))
    elif not _is_colour(colour):
        fix = "write three whole numbers from 0 to 255, as [200, 150, 90]"
        problems.append(Problem(file, key, f"{colour!r} is not a colour", fix))
    else:
        yield LabelClass(number, name, tuple(colour))


def _is_number(value: Any) -> bool:
    whole = isinstance(value, int) and not isinstance(value, bool)
    return whole and 0 <= value <= MAX_NUMBER


def _is_colour(value: Any) -> bool:
    three = isinstance(value, list) and len(value) == 3
    return three and all(_is_number(x) and x <= 255 for x in value)


def _ignored(data: Mapping[str, Any], file: str, problems: list[Problem]) -> Iterator[int]:
    """Yield the numbers under "ignore"."""
    given = data.get("ignore", [])
    for number in given if isinstance(given, list) else [given]:
        if isinstance(number, int) and not isinstance(number, bool):
            yield number
        else:
            fix = 'write a number or a list of them, as "ignore": [255]'
            problems.append(Problem(file, "ignore", f"{number!r} is not a number", fix))


def _repeated(classes: Iterable[LabelClass], file: str) -> Iterator[Problem]:
    """Yield a problem for each number or name that two classes share."""
    seen: dict[Any, LabelClass] = {}
    for each in classes:
        for what, value in (("number", each.number), ("name", each.name)):
            if value in seen:
                reason = f"two classes have the {what} {value}"
                yield Problem(file, "", reason, f"give each a {what} of its own")
            seen[value] = each
