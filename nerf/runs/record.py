"""Record the scene of a run: cameras, names and digests, enough to render without its images."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nerf.cameras.cameras import Cameras
from nerf.runs.checkpoints import CheckpointError
from nerf.scenes import Scene
from nerf.scenes.base import LabelClass


def read_json(path: Path) -> Any:
    """Read a JSON file of a run folder. Raise CheckpointError if it is missing or damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        reason = "no such file" if isinstance(error, FileNotFoundError) else error.strerror or error
        raise CheckpointError(f"{path}: {reason}: give a run folder made by nerf train") from error
    except (ValueError, RecursionError) as error:
        raise CheckpointError(
            f"{path}: damaged ({error}): restore it from a copy, or train again"
        ) from error


def cameras_to_json(cameras: Cameras) -> dict[str, Any]:
    """Convert cameras to lists of numbers, without loss."""
    return {
        name: np.asarray(getattr(cameras, name)).tolist()
        for name in ("c2w", "K", "distortion", "size", "model")
    }


def cameras_from_json(data: Mapping[str, Any]) -> Cameras:
    """Convert lists of numbers back to cameras: the inverse of `cameras_to_json`."""
    c2w, K, distortion = (np.array(data[name], np.float32) for name in ("c2w", "K", "distortion"))
    size, model = (np.array(data[name], np.int32) for name in ("size", "model"))
    return Cameras(c2w, K, distortion, size, model)


def classes_from_json(data: Sequence[Mapping[str, Any]]) -> list[LabelClass]:
    """Return the classes in a record of `scene_record`."""
    return [LabelClass(each["number"], each["name"], tuple(each["colour"])) for each in data]


def scene_record(root: str | Path | None, splits: Mapping[str, Scene]) -> dict[str, Any]:
    """Return the record of a scene: enough to render without its images and to recognise it."""
    train = splits["train"]
    return {
        "root": None if root is None else str(Path(root).expanduser().absolute()),
        "digest": {split: scene.digest() for split, scene in splits.items()},
        "transform": train.transform.to_json(),
        "unbounded": train.unbounded,
        "maps": list(train.maps),
        "classes": [each._asdict() for each in train.classes],
        "names": {split: list(scene.names) for split, scene in splits.items()},
        "cameras": {split: cameras_to_json(scene.cameras) for split, scene in splits.items()},
    }
