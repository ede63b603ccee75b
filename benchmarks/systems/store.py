"""Keep the result of every run under a name made of all that decides it.

The name is a digest of the config, the seed, the learning rate, the steps, the pixels and cameras
of the scene, the device, the versions of the libraries that compute, and the code that trains and
scores: the syntax trees, without docstrings, of the modules that the config names and of everything
that they import. So an interrupted table goes on where it stopped, and after a change of the code
only the runs that use the changed files are done again.
"""

import ast
import functools
import hashlib
import importlib.util
import json
import re
from collections.abc import Callable, Iterable, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from nerf.foundation.files import write_json
from nerf.foundation.locks import exclusive
from nerf.scenes import Scene

ROOT = Path(__file__).parents[2]
PACKAGES = ("nerf", "benchmarks")
# What trains and scores every run.
ALWAYS = ("benchmarks.systems.training",)
IMPORT_PATH = re.compile(r"((?:nerf|benchmarks)(?:\.\w+)+):\w+")


class Store:
    """A folder with one JSON file for each run.

    Args:
      folder: the folder; made if it is missing.
    """

    def __init__(self, folder: Path):
        self.folder = folder

    def get(self, facts: Mapping[str, Any], make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Return the kept result of a run, or make and keep it.

        Processes that want the same run wait for the one that makes it.

        Args:
          facts: everything that decides the result, as JSON.
          make: does the run.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        name = digest(json.dumps(facts, sort_keys=True).encode())
        file = self.folder / f"{name}.json"
        with exclusive(self.folder / f"{name}.lock"):
            if not file.exists():
                write_json(file, {**make(), "facts": facts})
        result = json.loads(file.read_text(encoding="utf-8"))
        del result["facts"]
        return result


def digest(data: bytes) -> str:
    """Return a short digest of bytes."""
    return hashlib.sha256(data).hexdigest()[:20]


def digest_scenes(scenes: Mapping[str, Scene]) -> str:
    """Return a digest of the pixels and cameras of a scene by split."""
    parts: list[bytes] = []
    for split, scene in sorted(scenes.items()):
        parts.append(f"{split} {scene.transform} {scene.unbounded}".encode())
        cameras = scene.cameras
        posed = (cameras.c2w, cameras.K, cameras.distortion, cameras.size, cameras.model)
        for array in (*scene.images, *chain(*scene.maps.values()), *posed):
            values = np.ascontiguousarray(array)
            parts += [f"{values.shape} {values.dtype}".encode(), values.tobytes()]
    return digest(b"".join(parts))


def modules_of(config: Mapping[str, Any], more: Iterable[str] = ()) -> list[str]:
    """Return the names of all modules of this project that a run of a config uses.

    Args:
      config: the complete config.
      more: names of further modules.
    """
    found: set[str] = set()
    waiting = [*ALWAYS, *more, *IMPORT_PATH.findall(json.dumps(config))]
    while waiting:
        module = waiting.pop()
        if module not in found:
            found.add(module)
            waiting += imports_of(module)
    return sorted(found)


def digest_code(modules: Iterable[str]) -> str:
    """Return a digest of modules without their docstrings and comments."""
    return digest("\n".join(f"{module} {_tree(module)}" for module in modules).encode())


@functools.cache
def _path(module: str) -> Path | None:
    """Return the file of a module of this project; None for others and for names that are none."""
    base = ROOT.joinpath(*module.split("."))
    candidates = (base.with_suffix(".py"), base / "__init__.py")
    return next((path for path in candidates if path.is_file()), None)


@functools.cache
def _parsed(module: str) -> ast.Module:
    path = _path(module)
    assert path is not None, module
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                node.body = node.body[1:]
    return tree


@functools.cache
def _tree(module: str) -> str:
    return digest(ast.dump(_parsed(module)).encode())


@functools.cache
def imports_of(module: str) -> tuple[str, ...]:
    """Return the modules of this project that a module imports, wherever it does so."""
    names: list[str] = []
    for node in ast.walk(_parsed(module)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = importlib.util.resolve_name("." * node.level + (node.module or ""), module)
            names += [base, *(f"{base}.{alias.name}" for alias in node.names)]
    return tuple(name for name in names if name.split(".")[0] in PACKAGES and _path(name))
