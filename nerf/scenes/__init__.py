"""Scenes on disk, one module a format. `load` finds out which."""

import importlib
import pkgutil
from pathlib import Path
from types import ModuleType

from nerf.scenes.base import Problem, Scene, SceneError, Similarity, to_unit

__all__ = ["Problem", "Scene", "SceneError", "Similarity", "load", "to_unit"]

SPLITS = ("train", "val", "test")


def formats() -> dict[str, ModuleType]:
    """Every module of this package that has `recognise` and `load`, by name."""
    modules = {m.name: importlib.import_module(f"{__name__}.{m.name}") for m in pkgutil.iter_modules(__path__)}
    return {name: module for name, module in modules.items() if hasattr(module, "recognise")}


def load(root: str | Path | None, split: str, max_side: int = 1024, validation: bool = False) -> Scene:
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
        raise SceneError([Problem(str(root), "", f"no split {split!r}", f"known: {', '.join(SPLITS)}")])
    if max_side < 1:
        raise SceneError([Problem("max_side", "", f"{max_side} leaves no pixel", "give 1 or more")])
    if not root.is_dir():
        raise SceneError([Problem(str(root), "", "no such folder", "give the folder of a scene with --scene")])
    found = [module for module in formats().values() if module.recognise(root)]
    if not found:
        expected = "transforms.json or transforms_train.json"
        raise SceneError([Problem(str(root), "", f"no scene in it ({expected})", f"known: {', '.join(formats())}")])
    return found[0].load(root, split, max_side=max_side, validation=validation)
