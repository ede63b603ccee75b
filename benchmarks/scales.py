"""Measure how pictures that are smaller than the photos alias, with and without anti-aliasing.

    python -m benchmarks.scales --scene=data/tabletop [--steps=3000] [--seeds=3] [--train=1]
        [--split=test] [--out=scales.json]

The fast config and the same with down-weighted levels of its hash grid (Zip-NeRF, 2304.06706) are
trained, on the photos as they are or with `--train=1,2,4,8` on all of these scales. The held-out
views are rendered with a half, a quarter and an eighth of the pixels along each side too, as in a
film that zooms out. The truth of a small picture is the photo, reduced by averaging.
"""

import argparse
import dataclasses
from collections.abc import Sequence
from statistics import median
from typing import Any

import numpy as np

from benchmarks.common import device, write_out
from nerf.cameras.cameras import join_cameras
from nerf.cameras.resizing import resized
from nerf.cli.process_settings import keep_freed_memory
from nerf.evaluation.metrics import psnr
from nerf.rendering.images import make_render_image
from nerf.runs.budget import Budget
from nerf.runs.config_files import load_config
from nerf.scenes import Scene
from nerf.scenes.images import on_background, reduce
from nerf.scenes.splits import load_scenes
from nerf.training.session import Session

SCALES = (1, 2, 4, 8)


def at_scales(scene: Scene, scales: Sequence[int]) -> Scene:
    """Return a scene with every view at each of several scales.

    Args:
      scene: the views, without maps.
      scales: factors by which the sides of the images are divided.
    """
    images, cameras, names = [], [], []
    for i, image in enumerate(scene.images):
        for scale in scales:
            small = reduce(image, scale)
            height, width = small.shape[:2]
            camera = resized(scene.cameras[i : i + 1], 1.0 / scale)
            size = np.array([[width, height]], np.int32)
            images.append(small)
            cameras.append(dataclasses.replace(camera, size=size))
            names.append(f"{scene.names[i]}_{scale}")
    return dataclasses.replace(
        scene, images=images, cameras=join_cameras(cameras), names=names, maps={}
    )


def variants(changes: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return the compared configs by name."""
    config = load_config("ngp", changes)
    faded = load_config("ngp", changes)
    field = faded["model"]["stages"]["main"]["field"]
    field["encoding"] = {
        "name": "nerf.encodings.downweighted:Downweighted",
        "grid": field["encoding"],
    }
    return {"points": config, "down-weighted": faded}


def score(session: Session, held_out: Scene) -> dict[str, float]:
    """Return the mean PSNR of the held-out views by scale."""
    config = session.config
    render = make_render_image(session.model(), config["background"], config["chunk"])
    found = {}
    for scale in SCALES:
        scene = at_scales(held_out, (scale,))
        values = [
            psnr(
                render(scene.cameras[i])["rgb"],
                on_background(scene.images[i], config["background"]),
            )
            for i in range(len(scene))
        ]
        found[f"1/{scale}"] = float(np.mean(values))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scene", default="data/tabletop")
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--train", default="1")
    parser.add_argument("--split", default="test")
    parser.add_argument("--out")
    options = parser.parse_args()
    keep_freed_memory()
    trained = [int(word) for word in options.train.split(",")]
    rows = []
    for name, config in variants([f"eval_split={options.split}"]).items():
        views, held_out = load_scenes(config, options.scene)
        session = Session(config, at_scales(views, trained))
        session.compile()
        found = []
        for seed in range(options.seeds):
            session.restart(seed)
            for _ in session.calls(Budget(options.steps)):
                pass
            found.append(score(session, held_out))
            print(name, seed, found[-1], flush=True)
        row: dict[str, Any] = {"variant": name}
        for scale in found[0]:
            values = [one[scale] for one in found]
            row[scale] = [round(f(values), 2) for f in (median, min, max)]
        rows.append(row)
    write_out(
        {"device": device(), **vars(options), "psnr_median_and_range": rows},
        options.out,
    )


if __name__ == "__main__":
    main()
