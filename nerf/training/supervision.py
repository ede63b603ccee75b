"""What the losses need of the pixels: maps of the scene, and rays of few views."""

from collections.abc import Callable, Mapping

from nerf.foundation.instantiate import ConfigError
from nerf.scenes import Scene
from nerf.scenes.images import opaque


def check_supervision(losses: Mapping[str, Callable], scene: Scene) -> None:
    """Check that a scene has what the losses need, before anything is compiled.

    Args:
      losses: losses by name; the attribute `needs` of a loss names the maps that it needs.
      scene: the training views.

    Raises:
      ConfigError: one line for each map that is missing.
    """
    lines = []
    for name, loss in losses.items():
        for needed in getattr(loss, "needs", ()):
            if problem := _lacks_alpha(scene) if needed == "alpha" else _lacks(needed, scene):
                lines.append(f"losses.{name}: {type(loss).__name__} needs {problem}")
    if lines:
        raise ConfigError("\n".join(lines))


def _lacks(needed: str, scene: Scene) -> str | None:
    """Return why a map is missing and how to fix it, or None if it is there."""
    maps = scene.maps.get(needed, ())
    # Numbers of classes are 0 where they are unknown; other maps may be 0 everywhere.
    if any(part.any() or part.dtype.kind == "f" for part in maps):
        return None
    if maps:
        fix = "check its files, and which numbers they ignore, or use a config without this loss"
        return f"the map '{needed}', and nothing is known in any of its pixels: {fix}"
    known = ", ".join(scene.maps) or "no maps"
    fix = "give the scene this map, or use a config without this loss"
    return f"the map '{needed}', and the scene has {known}: {fix}"


def _lacks_alpha(scene: Scene) -> str | None:
    """Return why the photos' alpha teaches nothing and how to fix it, or None if it can."""
    if not scene.has_alpha:
        reason = "the photos have no alpha channel"
    elif all(image[..., 3].min() >= opaque(image.dtype) for image in scene.images):
        reason = "no photo has a transparent pixel"
    else:
        return None
    if "mask" in scene.maps:
        reason += " (masks only say which pixels to ignore)"
    fix = "make their background transparent and save them as RGBA PNG"
    return f"alpha, and {reason}: {fix}, or use a config without this loss, such as surface"


def views_per_step(losses: Mapping[str, Callable]) -> int | None:
    """Return how many images the rays of a step may come from; None if no loss asks.

    Args:
      losses: losses by name; the attribute `views_per_step` of a loss that compares rays of one
        view with each other says how many views it can have.
    """
    asked = [n for loss in losses.values() if (n := getattr(loss, "views_per_step", None))]
    return min(asked, default=None)
