"""Record the scene of a run: cameras, names and digests, enough to render without its images."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from nerf.cameras.cameras import Cameras
from nerf.runs.checkpoints import CheckpointError
from nerf.scenes import Scene


def read_json(path: Path) -> Any:
    """Raises CheckpointError, one line, where the file of a run folder is missing or broken."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        reason = "no such file" if isinstance(error, FileNotFoundError) else error.strerror or error
        raise CheckpointError(
            f"{path}: {reason}: give the folder of a run that train.py made"
        ) from error
    except (ValueError, RecursionError) as error:
        raise CheckpointError(
            f"{path}: damaged ({error}): restore it from a copy, or train again"
        ) from error


def cameras_to_json(cameras: Cameras) -> dict[str, Any]:
    """Cameras as lists of numbers, exactly."""
    return {
        name: np.asarray(getattr(cameras, name)).tolist()
        for name in ("c2w", "K", "distortion", "size", "model")
    }


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
