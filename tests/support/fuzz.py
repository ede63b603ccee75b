"""Bytes from libFuzzer in place of a file that strangers may have made, for as long as one likes.

    pip install atheris
    python -m tests.support.fuzz nerfstudio -max_total_time=600

The first argument is one of TARGETS; the others go to libFuzzer. A file is read or refused in
words; any other exception is a crash, whose input libFuzzer writes into the working directory. What
the test suite does at random and in seconds (see `tests.support.mutations`), this does for hours,
led by which lines are reached.
"""

import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import FunctionType

import numpy as np
from PIL import Image

from nerf import scenes
from nerf.foundation.errors import UserError
from nerf.paths.keyframes import read_keyframes
from nerf.runs.safetensors import DamagedFile, read_tensors, write_tensors
from nerf.scenes import SceneError
from nerf.scenes.images import check_image, undecodable
from tests.scenes.test_scenes import check_scene, ring, write_blender, write_nerfstudio

Reader = Callable[[], object]


def scene(root: Path, file: str) -> tuple[Path, Reader]:
    """The JSON of a scene that is otherwise whole."""
    return root / file, lambda: check_scene(scenes.load(root, "train", max_side=2))


def checkpoint(root: Path) -> tuple[Path, Reader]:
    file = root / "1.safetensors"
    write_tensors(
        file,
        {"a": np.arange(6.0, dtype=np.float32).reshape(2, 3), "b": np.zeros((), bool)},
        {"seconds": 1.0},
    )
    return file, lambda: read_tensors(file)


def image(root: Path) -> tuple[Path, Reader]:
    file = root / "a.png"
    Image.fromarray(np.arange(96, dtype=np.uint8).reshape(4, 8, 3)).save(file)

    def read() -> None:
        size, _, problem = check_image(file, file.name)
        if problem is not None:
            raise SceneError([problem])
        if size[0] * size[1] < 10_000 and (found := undecodable([file], root)):
            raise SceneError(found)

    return file, read


def keyframes(root: Path) -> tuple[Path, Reader]:
    file = root / "path.json"
    entries = [{"c2w": c2w[:3].tolist(), "fov": 50.0} for c2w in ring(3)]
    file.write_text(json.dumps({"keyframes": entries, "loop": True, "fps": 24, "seconds": 2}))
    return file, lambda: read_keyframes(str(file))


TARGETS: dict[str, Callable[[Path], tuple[Path, Reader]]] = {
    "blender": lambda root: scene(
        write_blender(root, poses=ring(2), size=(2, 2)), "transforms_train.json"
    ),
    "nerfstudio": lambda root: scene(
        write_nerfstudio(root, poses=ring(9), size=(4, 3)), "transforms.json"
    ),
    "checkpoint": checkpoint,
    "image": image,
    "keyframes": keyframes,
}


def try_bytes(file: Path, read: Reader, data: bytes) -> bool:
    """Whether the file is read with this in it; False where it is refused in words, as allowed."""
    file.write_bytes(data)
    try:
        read()
    except (UserError, DamagedFile):
        return False
    return True


def own_functions() -> list[FunctionType]:
    """The functions of this project and of the JSON reader that have been imported."""
    modules = [
        m for name, m in list(sys.modules.items()) if name.partition(".")[0] in ("nerf", "json")
    ]
    return [
        f
        for m in modules
        for f in vars(m).values()
        if isinstance(f, FunctionType) and f.__module__ == m.__name__
    ]


def main() -> None:
    if len(sys.argv) < 2 or sys.argv[1] not in TARGETS:
        sys.exit(f"say what to fuzz: {', '.join(TARGETS)}")
    try:
        import atheris
    except ImportError:
        sys.exit("atheris is not installed: pip install atheris")
    with tempfile.TemporaryDirectory() as home, tempfile.TemporaryDirectory() as corpus:
        file, read = TARGETS[sys.argv.pop(1)](Path(home))
        (Path(corpus) / "whole").write_bytes(file.read_bytes())
        for function in own_functions():  # all of Python's would take minutes
            atheris.instrument_func(function)
        atheris.Setup([*sys.argv, corpus], lambda data: try_bytes(file, read, data) and None)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
