"""Measure how closely a textured mesh matches the field that it was extracted from.

    python -m benchmarks.mesh --run=runs/tabletop [--views=20] [--samples=3] [--out=mesh.json]

The mesh is the one that `nerf render --export --mesh=FILE.glb` writes. It is drawn from the run's
test cameras with samples x samples places per pixel, whose mean is the pixel, and compared with the
pictures that `nerf render` makes of the field from the same cameras.
"""

import argparse
import time

import numpy as np
from jaxtyping import Float

from benchmarks.common import device, write_out
from nerf.cameras.cameras import Cameras
from nerf.cli.process_settings import keep_freed_memory
from nerf.evaluation.metrics import psnr
from nerf.meshes.export import colour_surface
from nerf.meshes.extraction import extract_surface
from nerf.meshes.mesh import Mesh
from nerf.meshes.rasterizer import draw_colours, rasterize
from nerf.output.video_rendering import resized
from nerf.rendering.images import make_render_image
from nerf.runs.read import load_run


def drawn(
    mesh: Mesh, camera: Cameras, samples: int, background: Float[np.ndarray, "3"]
) -> Float[np.ndarray, "h w 3"]:
    """Draw a mesh with samples x samples places in each pixel.

    Args:
      mesh: with a texture, in the world of the camera.
      camera: without leading axes.
      samples: places along each side of a pixel.
      background: sRGB where there is no mesh.
    """
    large = resized(camera, samples)
    picture = draw_colours(mesh, rasterize(mesh, large), background)
    width, height = (int(side) for side in camera.size)
    return picture.reshape(height, samples, width, samples, 3).mean((1, 3))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--run", required=True)
    parser.add_argument("--views", type=int, default=20)
    parser.add_argument("--samples", type=int, default=3)
    parser.add_argument("--resolution", type=int, default=256)
    parser.add_argument("--triangles", type=int, default=100_000)
    parser.add_argument("--out")
    options = parser.parse_args()
    keep_freed_memory()
    run = load_run(options.run)
    background = np.asarray(run.config["background"], np.float64)
    began = time.perf_counter()
    surface = extract_surface(run.model, run.cameras["train"], options.resolution)
    mesh = colour_surface(run.model, surface, options.triangles, textured=True)
    seconds = time.perf_counter() - began
    render = make_render_image(run.model, run.config["background"], run.config["chunk"])
    scores = []
    for i in range(min(options.views, len(run.cameras["test"]))):
        camera = run.cameras["test"][i]
        picture = drawn(mesh, camera, options.samples, background)
        scores.append(float(psnr(picture, np.clip(render(camera)["rgb"], 0.0, 1.0))))
    result = {
        "run": options.run,
        "device": device(),
        "extraction_seconds": round(seconds, 1),
        "triangles": len(mesh.faces),
        "mean_db": round(float(np.mean(scores)), 2),
        "views_db": [round(score, 2) for score in scores],
    }
    write_out(result, options.out)


if __name__ == "__main__":
    main()
