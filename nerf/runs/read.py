"""Read a run folder: the model with its trained parameters, and the scene that it was trained on."""

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

from flax import nnx

from nerf.cameras.cameras import Cameras
from nerf.cameras.refinement import move_cameras
from nerf.foundation.instantiate import ConfigError
from nerf.rendering.model import Model, split_model
from nerf.runs.checkpoints import Checkpoints
from nerf.runs.models import build_model
from nerf.runs.record import cameras_from_json, read_json
from nerf.scenes import Scene, Similarity
from nerf.scenes.splits import count_trained_on, load_split


@dataclasses.dataclass(frozen=True)
class Trained:
    """A run read back: its model with the trained values, and what it kept of its scene."""

    folder: Path
    config: dict[str, Any]
    model: Model
    step: int
    transform: Similarity
    cameras: dict[str, Cameras]  # where poses are learned, those of "train" as learned
    names: dict[str, list[str]]
    stamp: str  # changes whenever the trained values do
    unbounded: bool = False  # as Scene.unbounded
    root: str | None = None  # the scene's folder, where it was
    maps: tuple[str, ...] = ()  # what the training views had beside their images: "masks", "depths"


def load_run(folder: str | Path, plugins: tuple[str, ...] = (), step: int | None = None) -> Trained:
    """Read a run folder, at its newest checkpoint or at `step`. Raises CheckpointError or ConfigError."""
    folder = Path(folder)
    config, record = read_json(folder / "config.json"), read_json(folder / "scene.json")
    cameras = {split: cameras_from_json(data) for split, data in record["cameras"].items()}
    model = build_model(config, record["unbounded"], cameras["train"], plugins)
    graph, params, state = split_model(model)
    like = {"params": params, "state": state}
    checkpoints = Checkpoints(folder / "checkpoints", read_only=True)
    trained, facts = checkpoints.restore(like, step, partial=True)
    digests = json.dumps(facts["digests"], sort_keys=True)
    model = nnx.merge(graph, trained["params"], trained["state"])
    if model.poses is not None:
        cameras["train"] = move_cameras(cameras["train"], model.poses.twists)
    return Trained(
        folder=folder,
        config=config,
        model=model,
        step=facts["step"],
        transform=Similarity.from_json(record["transform"]),
        cameras=cameras,
        names=record["names"],
        stamp=hashlib.sha256(digests.encode()).hexdigest(),
        unbounded=record["unbounded"],
        root=record["root"],
        maps=tuple(record["maps"]),
    )


def reload_split(
    run: Trained, split: str, root: str | Path | None, plugins: tuple[str, ...] = ()
) -> Scene:
    """The images of a split again, from the scene's folder, "train" with its cameras as the run learned them.

    Raises ConfigError if the scene is not the run's.
    """
    record = read_json(run.folder / "scene.json")
    root = root or record["root"]
    scene = load_split(run.config, split, root, plugins)
    known = split if split in record["digest"] else "train"
    seen = scene if known == split else load_split(run.config, known, root, plugins)
    if seen.digest() != record["digest"][known]:
        raise ConfigError(
            f"{root}: not the scene that {run.folder} was trained on: give that with --scene"
        )
    if split == "train":
        return dataclasses.replace(scene, cameras=run.cameras["train"])
    trained_on = len(set(scene.names) & set(run.names["train"]))
    trained_on = trained_on or count_trained_on(
        load_split(run.config, "train", root, plugins), scene
    )
    if trained_on:
        which = (
            "these views"
            if trained_on == len(scene)
            else f"{trained_on} of these {len(scene)} views"
        )
        raise ConfigError(
            f"--split={split}: {run.folder} was trained on {which}: score them with --split=train"
        )
    return scene
