"""Estimate poses in a separate process: `python -m nerf.capture.child JOB.json`.

This is the only module that imports pycolmap. pycolmap corrupts memory if it is imported before
Pillow, and aborts the process on some inputs, so it must not run in the same process as the rest of
the project.

The process reads a job (see `nerf.capture.mapping.estimate`). While it works, the job's `progress`
file contains the name of the current phase, its unit, and the numbers of finished and all units. At
the end it writes one JSON file:

    models    sizes of all models found, the largest first
    cameras   id -> {"model", "width", "height", "params": {name: value}} of the largest model, with
              COLMAP's names
    images    name -> {"camera", "w2c"} of its registered images; OpenCV axes, 3x4
    features  name -> number of features of each image
    matches   name -> number of verified matches of each image in its best pair
"""

import contextlib
import json
import os
import sqlite3
import sys
import threading
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

REPORT_EVERY = 0.5  # seconds between updates of the progress file
SEQUENTIAL_OVERLAP = 15  # following images that sequential matching compares each image with


def main(file: str) -> None:
    """Run the job in a file.

    The process exits when the other end of its standard input is closed, i.e. with its parent.
    """
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    job = json.loads(Path(file).read_text(encoding="utf-8"))
    import pycolmap

    progress = _Progress(job)
    pycolmap.set_random_seed(job["seed"])
    _match(pycolmap, job, progress)
    Path(job["models"]).mkdir()
    found = _map(pycolmap, job, progress)
    models = sorted(found.values(), key=lambda model: -model.num_reg_images())
    if models:
        models[0].export_PLY(job["points"])
    result = {**_describe(models), **_statistics(pycolmap, job["database"])}
    _write(job["result"], result)


def _write(file: str, data: Any) -> None:
    """Write a JSON file atomically: readers see a complete file or none."""
    temporary = Path(file).with_suffix(".tmp")
    temporary.write_text(json.dumps(data), encoding="utf-8")
    temporary.replace(file)


class _Progress:
    """Write a file with the progress of the job.

    A thread writes it, because calls of pycolmap take minutes.

    Args:
      job: the job; its `progress` is the file to write, its `database` is COLMAP's.
    """

    def __init__(self, job: dict[str, Any]):
        self.file, self.database = job["progress"], job["database"]
        self.table: str | None = None
        self.state: dict[str, Any] | None = None
        threading.Thread(target=self._keep_writing, daemon=True).start()

    def begin(self, what: str, unit: str, total: int, table: str | None = None) -> None:
        """Begin a phase.

        Args:
          what: the name of the phase.
          unit: the name of one unit, singular.
          total: number of units.
          table: table of the database whose rows are the finished units; without it, calls of
            `count` are counted.
        """
        self.state, self.table = {"what": what, "unit": unit, "done": 0, "total": total}, table

    def count(self) -> None:
        """Count one more finished unit of the current phase."""
        if self.state is not None:
            self.state["done"] = min(self.state["done"] + 1, self.state["total"])

    def _keep_writing(self) -> None:
        while True:
            state, table = self.state, self.table
            if state is not None:
                # The database may not exist yet, or may be locked.
                with contextlib.suppress(sqlite3.Error, OSError):
                    _write(
                        self.file,
                        {**state, "done": _rows(self.database, table)} if table else state,
                    )
            time.sleep(REPORT_EVERY)


def _rows(database: str, table: str) -> int:
    with contextlib.closing(
        sqlite3.connect(f"{Path(database).as_uri()}?mode=ro", uri=True, timeout=0.1)
    ) as opened:
        return opened.execute(f"select count(*) from {table}").fetchone()[0]


def _leave_with_parent() -> None:
    """Exit when the parent closes its end of standard input."""
    os.read(0, 1)  # not sys.stdin, which would be locked while this waits
    os._exit(1)


def _match(pycolmap: Any, job: dict[str, Any], progress: _Progress) -> None:
    """Compute features of all images and verified matches of their pairs.

    Each group of images gets one lens. A database that already has all features is from a stopped
    attempt; its features and matches are not computed again.

    Args:
      pycolmap: the module.
      job: the job.
      progress: reports the progress.
    """
    count = sum(len(names) for names in job["groups"])
    reader = pycolmap.ImageReaderOptions()
    reader.camera_model = job["camera_model"]
    extraction = pycolmap.FeatureExtractionOptions()
    # Other feature types load networks, and abort if they cannot.
    extraction.type = pycolmap.FeatureExtractorType.SIFT
    extraction.max_image_size = job["max_side"]
    extraction.sift.max_num_features = job["max_features"]
    progress.begin("finding features", "photo", count, "keypoints")
    if not _has_features(job["database"], count):
        for names in job["groups"]:
            single = pycolmap.CameraMode.SINGLE
            pycolmap.extract_features(
                job["database"], job["images"], names, single, reader, extraction
            )
    if job["matching"] == "sequential":
        pairing = pycolmap.SequentialPairingOptions()
        pairing.overlap, pairing.loop_detection = SEQUENTIAL_OVERLAP, False
        progress.begin("matching", "pair", _sequential_pairs(count), "two_view_geometries")
        pycolmap.match_sequential(job["database"], pairing_options=pairing)
    else:
        progress.begin("matching", "pair", count * (count - 1) // 2, "two_view_geometries")
        pycolmap.match_exhaustive(job["database"])


def _has_features(database: str, count: int) -> bool:
    """Return whether a database has the features of all images; remove it if it has not."""
    with contextlib.suppress(sqlite3.Error):
        if _rows(database, "keypoints") == count:
            return True
    for file in Path(database).parent.glob(f"{Path(database).name}*"):
        file.unlink()
    return False


def _sequential_pairs(count: int) -> int:
    """Return the number of pairs that sequential matching compares.

    These are images up to `SEQUENTIAL_OVERLAP` - 1 apart, and those 2, 4, 8, ... apart.
    """
    apart = {*range(1, SEQUENTIAL_OVERLAP), *(2**i for i in range(SEQUENTIAL_OVERLAP))}
    return sum(max(0, count - distance) for distance in apart)


def _map(pycolmap: Any, job: dict[str, Any], progress: _Progress) -> dict[int, Any]:
    """Reconstruct models from the matches.

    Args:
      pycolmap: the module.
      job: the job.
      progress: reports the progress.

    Returns:
      All models by COLMAP's numbers.
    """
    progress.begin("placing photos", "photo", sum(len(names) for names in job["groups"]))
    places = job["database"], job["images"], job["models"]
    if job["mapper"] == "global":
        options = pycolmap.GlobalPipelineOptions()
        options.random_seed, options.min_model_size = job["seed"], 3
        return pycolmap.global_mapping(*places, options)
    options = pycolmap.IncrementalPipelineOptions()
    options.random_seed, options.min_model_size = job["seed"], 3
    return pycolmap.incremental_mapping(
        *places,
        options,
        initial_image_pair_callback=progress.count,
        next_image_callback=progress.count,
    )


def _describe(models: list[Any]) -> dict[str, Any]:
    """Return the sizes of all models, and the cameras and images of the largest."""
    sizes = [model.num_reg_images() for model in models]
    if not models:
        return {"models": sizes, "cameras": {}, "images": {}}
    cameras, images = {}, {}
    for image in (models[0].images[number] for number in models[0].reg_image_ids()):
        w2c = image.cam_from_world()
        images[image.name] = {"camera": str(image.camera_id), "w2c": w2c.matrix().tolist()}
        lens = models[0].cameras[image.camera_id]
        cameras[str(image.camera_id)] = {
            "model": lens.model.name,
            "width": lens.width,
            "height": lens.height,
            "params": dict(zip(lens.params_info.split(", "), map(float, lens.params), strict=True)),
        }
    return {"models": sizes, "cameras": cameras, "images": images}


def _statistics(pycolmap: Any, file: str) -> dict[str, dict[str, int]]:
    """Return each image's number of features, and of verified matches in its best pair.

    They explain why an image may not have been registered.
    """
    database = pycolmap.Database.open(file)
    names = {image.image_id: image.name for image in database.read_all_images()}
    features = {name: database.num_keypoints_for_image(number) for number, name in names.items()}
    matches: dict[str, int] = defaultdict(int)
    for pair, count in zip(*database.read_two_view_geometry_num_inliers(), strict=True):
        for number in pycolmap.pair_id_to_image_pair(pair):
            matches[names[number]] = max(matches[names[number]], int(count))
    return {"features": features, "matches": dict(matches)}


if __name__ == "__main__":
    main(sys.argv[1])
    sys.stdout.flush()
    # The result is on disk. Skip the cleanup of interpreter and libraries, which can only fail.
    os._exit(0)
