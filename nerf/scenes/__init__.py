"""Scenes on disk: `load` detects the format of a folder and reads it."""

import dataclasses
import importlib
import pkgutil
from pathlib import Path

from nerf.scenes import cutting, formats
from nerf.scenes.base import Problem, Scene, SceneError, Similarity, to_unit
from nerf.scenes.hints import explain_file, explain_folder

__all__ = ["Problem", "Scene", "SceneError", "Similarity", "load", "to_unit"]

SPLITS = ("train", "val", "test")
# A folder may contain the cameras in several formats, one converted from another. These formats are
# tried first: they contain the most information, or are written last.
PREFERRED_FORMATS = ("nerfstudio", "blender", "colmap")


def all_formats() -> dict[str, formats.Format]:
    """Return all scene formats by name, in the order in which they are tried."""
    names = [module.name for module in pkgutil.iter_modules(formats.__path__)]
    modules = {name: importlib.import_module(f"{formats.__name__}.{name}") for name in names}

    def priority(name: str) -> tuple[int, str]:
        preferred = name in PREFERRED_FORMATS
        return PREFERRED_FORMATS.index(name) if preferred else len(PREFERRED_FORMATS), name

    # The other modules are shared code.
    found = {name: modules[name] for name in sorted(modules, key=priority)}
    return {name: module for name, module in found.items() if isinstance(module, formats.Format)}


def _is_scene(folder: Path) -> bool:
    return any(module.detect(folder) for module in all_formats().values())


def load(
    root: str | Path | None,
    split: str,
    max_side: int = 1024,
    validation: bool = False,
    cut_out: bool = False,
) -> Scene:
    """Load one split of a scene, in the first format that detects the folder.

    Args:
      root: the scene folder.
      split: "train", "val" or "test".
      max_side: maximum width and height in pixels; larger images are downscaled by an integer
        factor.
      validation: exclude the views of "val" from "train" if both come from the same list.
      cut_out: whether masks are silhouettes of an object, around which everything is empty; see
        `nerf.scenes.cutting`.

    Returns:
      The scene. Its notes name the other formats that also detect the folder.

    Raises:
      SceneError: the arguments or the scene cannot be used; it lists every problem.
    """
    if root is None:
        raise SceneError([Problem("--scene", "", "not given", "give the folder of a scene")])
    root = Path(root)
    if split not in SPLITS:
        known = f"known: {', '.join(SPLITS)}"
        raise SceneError([Problem(str(root), "", f"no split {split!r}", known)])
    if max_side < 1:
        reason = f"{max_side} pixels are too few"
        raise SceneError([Problem("--config.scene.max_side", "", reason, "give 1 or more")])
    if root.is_file():
        raise SceneError([explain_file(root)])
    if not root.is_dir():
        fix = "give the folder of a scene with --scene"
        raise SceneError([Problem(str(root), "", "no such folder", fix)])
    found = {name: module for name, module in all_formats().items() if module.detect(root)}
    if not found:
        raise SceneError([explain_folder(root, _is_scene, ", ".join(all_formats()))])
    (name, module), *others = found.items()
    scene = module.load(root, split, max_side=max_side, validation=validation)
    also = [
        f"read as {name}, but it is also {other}: "
        f"select that format with --config.scene.name=nerf.scenes.formats.{other}:load"
        for other, _ in others
    ]
    scene = cutting.cut_out(scene) if cut_out else scene
    return dataclasses.replace(scene, notes=[*also, *scene.notes])
