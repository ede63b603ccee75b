"""Files damaged at random, for the tests of every scene format; a seed makes a failure repeatable.

@many_mutations
def test_a_mutated_file_is_a_scene_or_a_scene_error(seed): ...
"""

import copy
import inspect
import json
import math
from functools import partial, wraps
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.unchecked import unchecked

NUMBERS = [
    0,
    -1,
    1,
    2,
    1e-300,
    5e-324,
    1e300,
    -1e300,
    1e11,
    10**400,
    0.7,
    3.2,
    math.nan,
    math.inf,
    -math.inf,
]
TEXTS = [
    "",
    ".",
    "..",
    "/",
    "images",
    "OPENCV_FISHEYE",
    "equirectangular",
    "ORTHOGRAPHIC",
    "mask.png",
    "depth.npy",
    "images/000.png",
    "a\0b",
    "\ud800",
    "x" * 5000,
    "./train/r_1",
    "~",
    "\n",
    "é",
    "0.5",
    "images\\000.png",
    "/elsewhere/images/001.PNG",
    "FULL_OPENCV",
]
LEAVES = [*NUMBERS, *TEXTS, None, True, False]
KEYS = [
    *(
        "camera_angle_x",
        "fl_x",
        "fl_y",
        "cx",
        "cy",
        "w",
        "h",
        "k1",
        "k2",
        "p1",
        "p2",
        "k3",
        "k4",
        "k6",
        "camera_model",
    ),
    *(
        "is_fisheye",
        "mask_path",
        "depth_file_path",
        "depth_unit_scale_factor",
        "ply_file_path",
        "applied_transform",
    ),
    *(
        "camera_angle_y",
        "x_fov",
        "integer_depth_scale",
        "depth_path",
        "is_bad",
        "test_frames",
        "train_frames",
        "k5",
    ),
    *(
        "file_path",
        "transform_matrix",
        "train_filenames",
        "val_filenames",
        "test_filenames",
        "frames",
        "",
        "é",
    ),
]


def many_mutations(test, few: int = 200, many: int = 2000):
    """Run `test(..., seed)` for few seeds, or for many in a case marked slow.

    The seeds are new in each run. Shapes are not checked, which would take most of the time.
    """

    def each(fixtures, count):
        seeds = given(seed=st.integers(0, 2**63))
        checks = list(HealthCheck)
        once = unchecked()(partial(test, **fixtures))
        settings(max_examples=count, deadline=None, suppress_health_check=checks)(
            seeds(lambda seed: once(seed=seed))
        )()

    return _with_counts(test, each, few, many)


def many_seeds(test, few: int = 250, many: int = 2500):
    """The same for cheap tests, where hypothesis' own work would be most: seeds are 0, 1, 2, ..."""

    def each(fixtures, count):
        with unchecked():
            for seed in range(count):
                try:
                    test(**fixtures, seed=seed)
                except Exception as error:
                    error.add_note(f"with seed {seed}")
                    raise

    return _with_counts(test, each, few, many)


def _with_counts(test, each, few: int, many: int):
    """Return the test `each(fixtures, count)` with the fixtures of `test` and both counts."""

    @wraps(test)
    def counted(count, **fixtures):
        each(fixtures, count)

    wanted = inspect.signature(test)
    count = inspect.Parameter("count", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    fixtures = [p for p in wanted.parameters.values() if p.name != "seed"]
    counted.__signature__ = wanted.replace(parameters=[count, *fixtures])
    counts = [few, pytest.param(many, marks=pytest.mark.slow)]
    return pytest.mark.parametrize("count", counts)(counted)


def mutate_json(text: str, random: Random) -> str:
    """JSON with one to three changes; sometimes it is also cut or damaged.

    Entries are dropped, replaced, repeated, nested or added.
    """
    data = json.loads(text)
    for _ in range(random.choice([1, 1, 2, 3])):
        _change(data, random)
    changed = json.dumps(data)
    if random.random() < 0.1:
        changed = changed[: random.randint(0, len(changed))]
    if random.random() < 0.05:
        return mutate_bytes(changed.encode(), random).decode(errors="replace")
    return changed


def mutate_bytes(data: bytes, random: Random) -> bytes:
    """One to four changes: flip bits; replace, drop, repeat or add runs of bytes; cut the end."""
    changed = bytearray(data)
    for _ in range(random.randint(1, 4)):
        at, length = random.randint(0, len(changed)), random.choice([1, 1, 2, 4, 8, 64])
        kind = random.choice(["flip", "flip", "replace", "extreme", "drop", "repeat", "add", "cut"])
        if kind == "flip" and at < len(changed):
            changed[at] ^= 1 << random.randrange(8)
        elif kind == "replace":
            changed[at : at + length] = random.randbytes(min(length, len(changed) - at))
        elif kind == "extreme":
            changed[at : at + length] = bytes([random.choice([0x00, 0x7F, 0x80, 0xFF])]) * min(
                length, len(changed) - at
            )
        elif kind == "drop":
            del changed[at : at + length]
        elif kind in ("repeat", "add"):
            changed[at:at] = (
                changed[at : at + length] if kind == "repeat" else random.randbytes(length)
            )
        elif kind == "cut":
            del changed[at:]
    return bytes(changed)


def _places(data: Any) -> list[tuple[Any, Any]]:
    """Every container in the JSON with every key or index of it."""
    if isinstance(data, dict | list):
        items = list(
            data.items() if isinstance(data, dict) else enumerate(data)
        )  # gone through twice
        return [(data, key) for key, _ in items] + [
            place for _, inner in items for place in _places(inner)
        ]
    return []


def _value(random: Random, depth: int = 0) -> Any:
    kind = random.randrange(8 if depth < 3 else 6)
    if kind == 6:
        return [_value(random, depth + 1) for _ in range(random.randint(0, 4))]
    if kind == 7:
        return {random.choice(KEYS): _value(random, depth + 1) for _ in range(random.randint(0, 3))}
    return random.choice(
        [random.choice(LEAVES), random.uniform(-10, 10), random.randint(-(2**70), 2**70)]
    )


def _change(data: Any, random: Random) -> None:
    """One change at a random place."""
    options = _places(data)
    if not options:
        return
    container, key = random.choice(options)
    kind = random.choice(["drop", "replace", "replace", "repeat", "nest", "add"])
    if kind == "drop":
        del container[key]
    elif kind == "replace":
        container[key] = _value(random)
    elif kind == "nest":
        container[key] = [container[key]]
    elif isinstance(container, list):
        container.append(copy.deepcopy(container[key]) if kind == "repeat" else _value(random))
    else:
        container[random.choice(KEYS)] = _value(random)


def mutate_text(text: str, random: Random) -> str:
    """One or two changes of words in lines, or of lines.

    Numbers are moved a little; words are replaced, dropped or repeated; lines are dropped or
    repeated.
    """
    lines = [line.split(" ") for line in text.split("\n")]
    for _ in range(random.choice([1, 1, 1, 2])):
        row = random.randrange(len(lines))
        words, kind = (
            lines[row],
            random.choice(["near", "near", "number", "number", "word", "drop", "repeat", "line"]),
        )
        at = random.randrange(len(words))
        if kind in ("near", "number"):
            words[at] = _number(words[at], kind == "near", random)
        elif kind == "word":
            words[at] = str(_value(random, depth=3))
        elif kind == "drop":
            words[at : at + 1] = []
        elif kind == "repeat":
            words.insert(at, random.choice(words))
        elif kind == "line":
            lines[row : row + 1] = [list(words)] * random.choice([0, 2])
        lines = [words or [""] for words in lines] or [[""]]
    changed = "\n".join(" ".join(words) for words in lines).encode(errors="surrogatepass")
    return (mutate_bytes(changed, random) if random.random() < 0.1 else changed).decode(
        errors="replace"
    )


def _number(word: str, near: bool, random: Random) -> str:
    """A word of a text as another number, where it is one: one near it or any."""
    try:
        return (
            repr(float(word) * (1 + random.gauss(0, 1e-4))) if near else str(random.choice(NUMBERS))
        )
    except ValueError:
        return word


def mutate_numbers(array: np.ndarray, random: Random) -> np.ndarray:
    """A few numbers of an array moved a little or replaced.

    Sometimes rows are dropped or doubled, or its type or shape is another.
    """
    changed = np.array(array, np.float64)
    for _ in range(random.choice([1, 1, 2])):
        at = random.randrange(changed.size)
        anything = float(random.choice([x for x in NUMBERS if x != 10**400]))
        near = changed.flat[at] * (1 + random.gauss(0, 1e-4))
        changed.flat[at] = random.choice([near, near, random.uniform(-10, 10), anything])
    kind = random.choice([None] * 24 + ["drop", "double", "type", "flat", "text"])
    with np.errstate(all="ignore"):
        if kind == "drop":
            return changed[: random.randint(0, len(changed))]
        if kind == "double":
            return np.concatenate([changed, changed])
        if kind == "type":
            return changed.astype(
                random.choice([np.float32, np.float16, np.complex128, bool, ">f8"])
            )
        return {"flat": changed.reshape(-1), "text": changed.astype("S8")}.get(kind, changed)
