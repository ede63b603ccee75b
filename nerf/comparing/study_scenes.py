"""Load the scene of a study as its runs do."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from nerf.comparing.studies import RunRequest
from nerf.scenes import Problem, Scene, SceneError
from nerf.scenes.base import NoViews
from nerf.scenes.splits import count_trained_on, load_scenes


def scene_digests(
    wanted: Sequence[RunRequest], scene: str | None, plugins: tuple[str, ...] = ()
) -> dict[str, dict[str, str]]:
    """Load a scene as each run would, and return the digests of its splits by `scene_key`. Raises SceneError."""
    digests: dict[str, dict[str, str]] = {}
    for run in wanted:
        key = scene_key(run)
        if key not in digests:
            train, held_out = load_comparable(run.config, scene, plugins)
            digests[key] = {"train": train.digest(), run.config["eval_split"]: held_out.digest()}
    return digests


def load_comparable(
    config: Mapping[str, Any], scene: str | None, plugins: tuple[str, ...] = ()
) -> tuple[Scene, Scene]:
    """Load the views of a study. Raises SceneError where none are held out, or those that are were trained on."""
    split = config["eval_split"]
    try:
        train, held_out = load_scenes(config, scene, plugins)
    except NoViews as error:
        other = "test" if split == "val" else "val"
        reason = f"no view to compare by in split '{split}' ({'; '.join(str(error).splitlines())})"
        raise SceneError([Problem(str(scene), "", reason, f"use --split={other}")]) from error
    if known := count_trained_on(train, held_out):
        reason = f"{known} of {len(held_out)} views of split '{split}' are trained on too, so their scores say nothing"
        fix = "list other images there" + (", or use --split=val" if split == "test" else "")
        raise SceneError([Problem(str(scene), "", reason, fix)])
    return train, held_out


def scene_key(run: RunRequest) -> str:
    return json.dumps([run.config["scene"], run.config["eval_split"]], sort_keys=True)
