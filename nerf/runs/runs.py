"""What a run folder holds, and reading it back: config, scene, metrics, checkpoints, pictures, results."""

import dataclasses
import hashlib
import json
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from flax import nnx

from nerf.cameras.cameras import Cameras
from nerf.cameras.refinement import move_cameras
from nerf.foundation.files import remove_leftovers, write_bytes, write_json
from nerf.foundation.instantiate import ConfigError, build, section_problems
from nerf.rendering.model import Model, split_model
from nerf.runs.budget import Budget, change_budget, describe_change
from nerf.runs.checkpoints import CheckpointError, Checkpoints
from nerf.runs.config_checks import config_problems
from nerf.runs.provenance import commit, environment, loaded_files, mixed, peak_memory, processor, source_digests
from nerf.scenes import Problem, Scene, SceneError, Similarity
from nerf.scenes.hull import visual_hull
from nerf.scenes.splits import count_trained_on, load_split

MAY_CHANGE = ("steps", "log_every", "save_every", "keep", "max_skipped", "eval_every", "eval_times", "chunk")


def check_resumable(folder: Path, config: Mapping[str, Any], budget: Budget) -> None:
    """Raise ConfigError where the run in a folder cannot be continued.

    It was begun with another config, of which each key is named with both values, or has trained longer than `budget`.
    """
    file = folder / "config.json"
    if file.exists():
        changed = differences(read_json(file), json.loads(json.dumps(config)))
        if changed := [line for line in changed if line.partition(":")[0] not in MAY_CHANGE]:
            may = f"only {', '.join(MAY_CHANGE)} may change"
            raise ConfigError(f"{folder}: begun with another config: {'; '.join(changed)}: {may}: use a new --workdir")
    if facts := Checkpoints(folder / "checkpoints", read_only=True).newest_facts():
        change_budget(folder, facts, budget)


def read_json(path: Path) -> Any:
    """Raises CheckpointError, one line, where the file of a run folder is missing or broken."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        reason = "no such file" if isinstance(error, FileNotFoundError) else error.strerror or error
        raise CheckpointError(f"{path}: {reason}: give the folder of a run that train.py made") from error
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: damaged ({error}): restore it from a copy, or train again") from error


def cameras_to_json(cameras: Cameras) -> dict[str, Any]:
    """Cameras as lists of numbers, exactly."""
    return {name: np.asarray(getattr(cameras, name)).tolist() for name in ("c2w", "K", "distortion", "size", "model")}


def cameras_from_json(data: Mapping[str, Any]) -> Cameras:
    """The inverse of `cameras_to_json`."""
    c2w, K, distortion = (np.array(data[name], np.float32) for name in ("c2w", "K", "distortion"))
    size, model = (np.array(data[name], np.int32) for name in ("size", "model"))
    return Cameras(c2w, K, distortion, size, model)


def scene_record(root: str | Path | None, splits: Mapping[str, Scene]) -> dict[str, Any]:
    """What a run keeps of its scene: enough to render without its images, and to know it again."""
    train = splits["train"]
    return {
        "root": None if root is None else str(Path(root).expanduser().absolute()),
        "digest": {split: scene.digest() for split, scene in splits.items()},
        "transform": train.transform.to_json(),
        "unbounded": train.unbounded,
        "maps": [name for name in ("masks", "depths") if getattr(train, name) is not None],
        "names": {split: list(scene.names) for split, scene in splits.items()},
        "cameras": {split: cameras_to_json(scene.cameras) for split, scene in splits.items()},
    }


def check_config(
    config: Mapping[str, Any],
    devices: int = 1,
    max_seconds: float | None = None,
    plugins: tuple[str, ...] | None = None,
) -> None:
    """Check everything in a config that can be checked before anything is loaded.

    Args:
      config: as plain data.
      devices: that share a batch.
      max_seconds: of training, where the clock bounds it.
      plugins: packages outside `nerf` that the config may name; None: do not look at what its sections name.

    Raises:
      ConfigError: one line for each problem.
    """
    lines = config_problems(config, devices)
    if plugins is not None:
        lines += section_problems(config, plugins)
    problems = [f"config: {line}" for line in lines]
    if max_seconds is not None and not 0 < max_seconds < math.inf:
        problems.append(f"--max_seconds={max_seconds}: not a number above 0: leave it out to train for config.steps")
    if problems:
        raise ConfigError("\n".join(problems))


def differences(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Keys in which two configs differ, with both values, as lines "key: old -> new"."""
    lines = []
    for key in sorted(old.keys() | new.keys()):
        a, b = old.get(key, "absent"), new.get(key, "absent")
        if isinstance(a, Mapping) and isinstance(b, Mapping):
            lines += differences(a, b, f"{prefix}{key}.")
        elif a != b:
            lines.append(f"{prefix}{key}: {a} -> {b}")
    return lines


class Run:
    """A run folder that is being written: config.json, scene.json, metrics.jsonl, eval/, results.json, checkpoints/."""

    def __init__(self, folder: Path, protocol: Mapping[str, Any], tensorboard: bool, code: Mapping[str, str]):
        self.folder, self.protocol, self.code = folder, protocol, code
        self.events = None
        if tensorboard:
            self.events = _tensorboard_writer(folder / "tensorboard")

    @staticmethod
    def open(
        folder: str | Path,
        config: Mapping[str, Any],
        root: str | Path | None,
        splits: Mapping[str, Scene],
        tensorboard: bool = False,
        plugins: tuple[str, ...] = (),
    ) -> "Run":
        """Make the run folder, or go on in it; ConfigError if the scene is not the one it was begun with."""
        folder, code = Path(folder), source_digests(plugins)
        config = json.loads(json.dumps(config))
        record = json.loads(json.dumps(scene_record(root, splits)))
        if (folder / "config.json").exists():
            if read_json(folder / "scene.json")["digest"] != record["digest"]:
                raise ConfigError(f"{folder}: begun on another scene, or its files changed: use a new --workdir")
            code = mixed(read_json(folder / "code.json"), code) if (folder / "code.json").exists() else {}
        folder.mkdir(parents=True, exist_ok=True)
        remove_leftovers(folder)
        write_json(folder / "scene.json", record)
        write_json(folder / "code.json", code)
        write_json(folder / "config.json", config)  # last: where it is, the folder is a run
        return Run(folder, {"scene_digest": record["digest"]}, tensorboard, code)

    def forget_after(self, step: int) -> None:
        """Drop lines of metrics.jsonl later than `step` (and a torn one), which resuming from there writes again."""
        file = self.folder / "metrics.jsonl"
        lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
        kept = [line for line in lines if (_step_of(line) or 0) <= step and _step_of(line) is not None]
        write_bytes(file, "".join(f"{line}\n" for line in kept).encode())

    def log(self, step: int, seconds: float, split: str, numbers: Mapping[str, float], **lists: Any) -> None:
        """Append a line to metrics.jsonl: step, seconds of training, split, the numbers, and whatever more there is."""
        facts = {"step": step, "seconds": round(seconds, 3), "split": split}
        line = json.dumps({**facts, **numbers, **lists}, allow_nan=False)
        with (self.folder / "metrics.jsonl").open("a", encoding="utf-8") as file:
            file.write(line + "\n")
        if self.events is not None:
            for name, value in ((name, value) for name, value in numbers.items() if value is not None):
                self.events.add_scalar(f"{split}/{name}", value, step)
            self.events.flush()

    def log_scores(self, step: int, seconds: float, scores: Mapping[str, Any], **more: Any) -> None:
        """`log` of what `evaluate` returned: the means, and `per_image` with a list for each, in the order of views."""
        lists = {key: [score[key] for score in scores["per_image"].values()] for key in scores["mean"]}
        self.log(step, seconds, scores["protocol"]["split"], scores["mean"], per_image=lists, **more)

    def tell_resumed(self, facts: Mapping[str, Any], changes: Sequence[Mapping[str, Any]], budget: Budget) -> None:
        """Tell what resuming from a checkpoint with these facts means where that is more than going on.

        The results of a run that now trains further are kept as results-STEP.json: they are no longer those of the run.
        """
        file = self.folder / "results.json"
        if len(changes) > len(facts["extended"]):
            print(describe_change(self.folder, changes[-1], budget), file=sys.stderr)
            if file.exists():
                file.replace(self.folder / f"results-{read_json(file)['steps']}.json")
        elif file.exists() and budget.fraction(facts["step"], facts["seconds"]) >= 1.0:
            flag = "--config.steps" if budget.max_seconds is None else "--max_seconds"
            print(
                f"{self.folder}: has its {budget} of training: scored again; a larger {flag} continues it",
                file=sys.stderr,
            )

    def finish(self, scores: Mapping[str, Any], **facts: Any) -> dict[str, Any]:
        """Write results.json and return what it holds."""
        loaded = loaded_files()
        results = {
            **scores["mean"],
            **facts,
            "per_image": scores["per_image"],
            "protocol": {**scores["protocol"], **self.protocol},
            "seconds_per_frame": scores["seconds_per_frame"],
            "peak_memory": peak_memory(),
            "code": {file: digest for file, digest in self.code.items() if file in loaded},
            **environment(),
            "processor": processor(),
            "commit": commit(),
        }
        write_json(self.folder / "results.json", results)
        return results


def _step_of(line: str) -> int | None:
    try:
        return int(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return None


def _tensorboard_writer(folder: Path):
    try:
        from tensorboardX import SummaryWriter
    except ImportError as error:
        raise ConfigError("--tensorboard: tensorboardX is not installed: pip install tensorboardX") from error
    return SummaryWriter(str(folder))


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


def build_model(config: Mapping[str, Any], unbounded: bool, cameras: Cameras, plugins: tuple[str, ...]) -> Model:
    """The untrained model of a config for these training cameras, in the space for such scenes.

    The space says of how many dimensions points are.
    """
    facts = {"num_images": len(cameras), "positions": np.asarray(cameras.position)}
    space = build(config["spaces"]["unbounded" if unbounded else "bounded"], plugins=plugins)
    context = {"rngs": nnx.Rngs(config["seed"]), "space": space, "num_dims": space.num_dims, **facts}
    return build(config["model"], plugins=plugins, **context)


def prepare_model(config: Mapping[str, Any], scene: Scene, plugins: tuple[str, ...]) -> Model:
    """The untrained model of a config in the scene's space, its grid in the visual hull unless poses are learned."""
    model = build_model(config, scene.unbounded, scene.cameras, plugins)
    if model.occupancy is not None and model.poses is None and scene.has_alpha and not scene.unbounded:
        hull = visual_hull(scene, model.occupancy.resolution)
        if not hull.any():
            reason = "the alpha of its images leaves no place that every view shows as matter"
            fix = "capture.py --check=SCENE says which poses or images are wrong"
            raise SceneError([Problem("scene", "", reason, fix)])
        model.occupancy.restrict(hull)
    return model


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


def reload_split(run: Trained, split: str, root: str | Path | None, plugins: tuple[str, ...] = ()) -> Scene:
    """The images of a split again, from the scene's folder, "train" with its cameras as the run learned them.

    Raises ConfigError if the scene is not the run's.
    """
    record = read_json(run.folder / "scene.json")
    root = root or record["root"]
    scene = load_split(run.config, split, root, plugins)
    known = split if split in record["digest"] else "train"
    seen = scene if known == split else load_split(run.config, known, root, plugins)
    if seen.digest() != record["digest"][known]:
        raise ConfigError(f"{root}: not the scene that {run.folder} was trained on: give that with --scene")
    if split == "train":
        return dataclasses.replace(scene, cameras=run.cameras["train"])
    trained_on = len(set(scene.names) & set(run.names["train"]))
    trained_on = trained_on or count_trained_on(load_split(run.config, "train", root, plugins), scene)
    if trained_on:
        which = "these views" if trained_on == len(scene) else f"{trained_on} of these {len(scene)} views"
        raise ConfigError(f"--split={split}: {run.folder} was trained on {which}: score them with --split=train")
    return scene
