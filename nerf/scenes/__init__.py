"""Scenes on disk, and `load`, which detects their format."""

import dataclasses
import importlib
import pkgutil
from pathlib import Path
from types import ModuleType

from nerf.scenes import formats
from nerf.scenes.base import Problem, Scene, SceneError, Similarity, to_unit
from nerf.scenes.hints import explain_file, explain_folder

__all__ = ["Problem", "Scene", "SceneError", "Similarity", "load", "to_unit"]

SPLITS = ("train", "val", "test")
# A folder may hold several files of cameras, one made from another: that is read which says most, or was written last.
FIRST = ("nerfstudio", "blender", "colmap")


def all_formats() -> dict[str, ModuleType]:
    """Return every module of `nerf.scenes.formats` that has `detect` and `load`, by name, in the order of trying."""
    names = [module.name for module in pkgutil.iter_modules(formats.__path__)]
    modules = {name: importlib.import_module(f"{formats.__name__}.{name}") for name in names}
    names = sorted(
        modules, key=lambda name: (FIRST.index(name) if name in FIRST else len(FIRST), name)
    )
    return {name: modules[name] for name in names if hasattr(modules[name], "detect")}


def _is_scene(folder: Path) -> bool:
    return any(module.detect(folder) for module in all_formats().values())


def load(
    root: str | Path | None, split: str, max_side: int = 1024, validation: bool = False
) -> Scene:
    """Load one split of a scene in whichever format recognises the folder. Raises SceneError.

    Args:
      root: the scene folder.
      split: "train", "val" or "test".
      max_side: images larger than this are reduced by an integer factor.
      validation: leave the views of "val" out of "train" where both come from the same list.
    """
    if root is None:
        raise SceneError([Problem("--scene", "", "not given", "give the folder of a scene")])
    root = Path(root)
    if split not in SPLITS:
        raise SceneError(
            [Problem(str(root), "", f"no split {split!r}", f"known: {', '.join(SPLITS)}")]
        )
    if max_side < 1:
        raise SceneError(
            [
                Problem(
                    "--config.scene.max_side", "", f"{max_side} leaves no pixel", "give 1 or more"
                )
            ]
        )
    if root.is_file():
        raise SceneError([explain_file(root)])
    if not root.is_dir():
        raise SceneError(
            [Problem(str(root), "", "no such folder", "give the folder of a scene with --scene")]
        )
    found = {name: module for name, module in all_formats().items() if module.detect(root)}
    if not found:
        raise SceneError([explain_folder(root, _is_scene, ", ".join(all_formats()))])
    (name, module), *others = found.items()
    scene = module.load(root, split, max_side=max_side, validation=validation)
    also = [
        f"read as {name}; it is {n} too: --config.scene.name=nerf.scenes.formats.{n}:load"
        for n, _ in others
    ]
    return dataclasses.replace(scene, notes=[*also, *scene.notes])
