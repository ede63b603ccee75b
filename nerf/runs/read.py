"""Read a run folder: the model with its trained parameters, and the record of its scene."""

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

from flax import nnx

from nerf.cameras.cameras import Cameras
from nerf.cameras.refinement import move_cameras
from nerf.foundation.instantiate import ConfigError
from nerf.rendering.model import Model
from nerf.rendering.model_state import split_model
from nerf.runs.checkpoints import Checkpoints
from nerf.runs.models import build_model
from nerf.runs.record import cameras_from_json, classes_from_json, read_json
from nerf.scenes import Scene, Similarity
from nerf.scenes.splits import count_trained_on, load_split


@dataclasses.dataclass(frozen=True)
class Run:
    """A trained run.

    Attributes:
      folder: the run folder.
      config: as plain data.
      model: with its trained parameters.
      step: optimizer steps that it has taken.
      transform: from the file's world to the normalised one.
      cameras: of each split, in the normalised world; those of "train" with learned poses.
      names: of the views of each split.
      stamp: a digest of the parameters.
      unbounded: see `Scene.unbounded`.
      root: the scene's folder at training; None if it was made by a program.
      maps: per-pixel data that the training views had: such as "mask" and "depth".
    """

    folder: Path
    config: dict[str, Any]
    model: Model
    step: int
    transform: Similarity
    cameras: dict[str, Cameras]
    names: dict[str, list[str]]
    stamp: str
    unbounded: bool = False
    root: str | None = None
    maps: tuple[str, ...] = ()

    def __repr__(self) -> str:
        views = ", ".join(f"{len(cameras)} {split}" for split, cameras in self.cameras.items())
        return f"Run({self.folder}, step {self.step}, views: {views})"

    @property
    def results(self) -> dict[str, Any]:
        """Return the contents of results.json, with "psnr"; CheckpointError if it is unfinished."""
        return read_json(self.folder / "results.json")


def load_run(folder: str | Path, plugins: tuple[str, ...] = (), step: int | None = None) -> Run:
    """Read a trained run.

    Args:
      folder: the run folder.
      plugins: packages outside `nerf` that its config may name.
      step: of the checkpoint; None: the newest.

    Raises:
      CheckpointError: the folder is no run, or its checkpoint cannot be used.
      ConfigError: the model of its config cannot be built.
    """
    folder = Path(folder)
    config, record = read_json(folder / "config.json"), read_json(folder / "scene.json")
    cameras = {split: cameras_from_json(data) for split, data in record["cameras"].items()}
    classes = classes_from_json(record["classes"])
    model = build_model(config, record["unbounded"], cameras["train"], plugins, classes)
    graph, params, state = split_model(model)
    like = {"params": params, "state": state}
    checkpoints = Checkpoints(folder / "checkpoints", read_only=True)
    trained, facts = checkpoints.restore(like, step, partial=True)
    digests = json.dumps(facts["digests"], sort_keys=True)
    model = nnx.merge(graph, trained["params"], trained["state"])
    if model.poses is not None:
        cameras["train"] = move_cameras(cameras["train"], model.poses.twists)
    return Run(
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
    run: Run, split: str, root: str | Path | None, plugins: tuple[str, ...] = ()
) -> Scene:
    """Load the views of a split of the run's scene, "train" with the learned poses.

    Args:
      run: the trained run.
      split: "train", "val" or "test".
      root: the scene's folder; None: where it was at training.
      plugins: packages outside `nerf` that the config may name.

    Raises:
      ConfigError: the scene is not the run's, or the run was trained on the views of the split.
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
        which = "these views"
        if trained_on < len(scene):
            which = f"{trained_on} of these {len(scene)} views"
        raise ConfigError(
            f"--split={split}: {run.folder} was trained on {which}: score them with --split=train"
        )
    return scene
