"""Load the scene of a study and digest the splits that its runs use."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from nerf.comparing.studies import RunRequest
from nerf.scenes import Problem, Scene, SceneError
from nerf.scenes.base import NoViews
from nerf.scenes.splits import count_trained_on, load_scenes


def scene_digests(
    requests: Sequence[RunRequest], scene: str | None, plugins: tuple[str, ...] = ()
) -> dict[str, dict[str, str]]:
    """Load a scene as each run would, and return the digests of its splits.

    Args:
      requests: the requested runs.
      scene: folder of the scene; None: as each config says.
      plugins: packages outside `nerf` that configs may name.

    Returns: for each `scene_key`, the digest of each split by the split's name.

    Raises:
      SceneError: if the scene cannot be loaded or has no valid held-out views.
    """
    digests: dict[str, dict[str, str]] = {}
    for run in requests:
        key = scene_key(run)
        if key not in digests:
            train, held_out = load_comparable(run.config, scene, plugins)
            digests[key] = {"train": train.digest(), run.config["eval_split"]: held_out.digest()}
    return digests


def load_comparable(
    config: Mapping[str, Any], scene: str | None, plugins: tuple[str, ...] = ()
) -> tuple[Scene, Scene]:
    """Load the training views and the held-out views of a study.

    Args:
      config: a run's config, which names the scene and the evaluated split.
      scene: folder of the scene; None: as the config says.
      plugins: packages outside `nerf` that the config may name.

    Returns: the training scene and the held-out scene.

    Raises:
      SceneError: if no view is held out, or if held-out views are also training views.
    """
    split = config["eval_split"]
    try:
        train, held_out = load_scenes(config, scene, plugins)
    except NoViews as error:
        other = "test" if split == "val" else "val"
        reason = f"no held-out view in split '{split}' ({'; '.join(str(error).splitlines())})"
        raise SceneError([Problem(str(scene), "", reason, f"use --split={other}")]) from error
    if known := count_trained_on(train, held_out):
        reason = (
            f"{known} of {len(held_out)} views of split '{split}' are also training views, "
            "so their scores say nothing about new views"
        )
        fix = "list other images in that split"
        if split == "test":
            fix += ", or use --split=val"
        raise SceneError([Problem(str(scene), "", reason, fix)])
    return train, held_out


def scene_key(run: RunRequest) -> str:
    """Return a key that identifies the scene and split of a run."""
    return json.dumps([run.config["scene"], run.config["eval_split"]], sort_keys=True)
