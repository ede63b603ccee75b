"""The process that estimates poses: `python -m nerf.capture.child JOB.json`. The only place that imports pycolmap.

pycolmap corrupts memory where it is imported before Pillow, and aborts the whole process on some inputs: nothing else
of this project may be in its process. It reads a job (see `nerf.capture.mapping.estimate`) and writes one JSON file:

    models  sizes of all models found, the largest first
    cameras id -> {"model", "width", "height", "params": {name: value}} of the largest, as COLMAP names them
    images  name -> {"camera", "w2c"} of its registered images; OpenCV axes, 3x4
    features, matches  name -> how many features an image has, and how many verified matches in its best pair
"""

import json
import os
import sys
import threading
from collections import defaultdict
from pathlib import Path
from typing import Any


def main(file: str) -> None:
    """Do the job in a file. The process ends with whoever holds the other end of its standard input."""
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    job = json.loads(Path(file).read_text(encoding="utf-8"))
    import pycolmap

    pycolmap.set_random_seed(job["seed"])
    _match(pycolmap, job)
    options = _options(pycolmap, job)
    mapping = pycolmap.global_mapping if job["mapper"] == "global" else pycolmap.incremental_mapping
    Path(job["models"]).mkdir()
    found = mapping(job["database"], job["images"], job["models"], options)
    models = sorted(found.values(), key=lambda model: -model.num_reg_images())
    if models:
        models[0].export_PLY(job["points"])
    result = {**_describe(models), **_statistics(pycolmap, job["database"])}
    temporary = Path(job["result"]).with_suffix(".tmp")
    temporary.write_text(json.dumps(result), encoding="utf-8")
    temporary.replace(job["result"])


def _leave_with_parent() -> None:
    os.read(0, 1)  # returns when the other end is closed; sys.stdin would be locked while this waits
    os._exit(1)


def _match(pycolmap: Any, job: dict[str, Any]) -> None:
    """Features of all images, a lens for each group of them, and verified matches of their pairs."""
    reader = pycolmap.ImageReaderOptions()
    reader.camera_model = job["camera_model"]
    extraction = pycolmap.FeatureExtractionOptions()
    extraction.type = pycolmap.FeatureExtractorType.SIFT  # others load networks, and abort where they cannot
    extraction.max_image_size = job["max_side"]
    extraction.sift.max_num_features = job["max_features"]
    for names in job["groups"]:
        single = pycolmap.CameraMode.SINGLE
        pycolmap.extract_features(job["database"], job["images"], names, single, reader, extraction)
    if job["matching"] == "sequential":
        pairing = pycolmap.SequentialPairingOptions()
        pairing.overlap, pairing.loop_detection = 15, False
        pycolmap.match_sequential(job["database"], pairing_options=pairing)
    else:
        pycolmap.match_exhaustive(job["database"])


def _options(pycolmap: Any, job: dict[str, Any]) -> Any:
    glob = job["mapper"] == "global"
    options = pycolmap.GlobalPipelineOptions() if glob else pycolmap.IncrementalPipelineOptions()
    options.random_seed, options.min_model_size = job["seed"], 3
    return options


def _describe(models: list[Any]) -> dict[str, Any]:
    """The sizes of all models, and the cameras and images of the largest."""
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
    """Why an image may have been left out: its number of features, and of verified matches in its best pair."""
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
    os._exit(0)  # the result is on disk: whatever else the interpreter or a library does at its end can only fail
