"""Add a loss of your own: no fog.

Photos of an object on white do not say whether a white pixel is empty or full of white fog, and a
radiance field often prefers some fog. But almost every ray either hits matter or hits nothing. The
entropy of a ray's opacity o,

    H(o) = -o log2(o) - (1 - o) log2(1 - o),

is 0 for both and 1 for fog that lets half of the light through. A loss sees the rendering of every
stage and the colour of the photo, and returns one number per ray.

    python examples/02_own_loss.py

trains a small NeRF without this loss and with it. It prints how much of a held-out view is fog
before and after, and writes both opacities to runs/own_loss/opacity.png.
"""

import argparse
import dataclasses
from pathlib import Path

import imageio.v3 as imageio
import jax.numpy as jnp
import numpy as np

import nerf

SCENE = Path(__file__).parents[1] / "data" / "tabletop"
MODULE = Path(__file__).stem  # the name by which a config finds the class below


@dataclasses.dataclass(frozen=True)
class Entropy:
    """H(o) in bits, where o is the opacity of each ray in the last stage."""

    weight: float = 0.01

    def __call__(self, renderings, target):
        # The logarithm is infinite at 0, so stay a little away from both ends.
        o = jnp.clip(renderings[-1].opacity, 1e-4, 1.0 - 1e-4)
        return self.weight * (-o * jnp.log2(o) - (1.0 - o) * jnp.log2(1.0 - o))


def main() -> None:
    parser = argparse.ArgumentParser(description="Add a loss of your own: no fog.")
    parser.add_argument("--scene", default=SCENE, help="a folder of photos with poses")
    parser.add_argument("--steps", type=int, default=500, help="a multiple of ten")
    parser.add_argument("--out", type=Path, default=Path("runs/own_loss"), help="run folders")
    flags = parser.parse_args()

    opacities = []
    for name in ("without", "with"):
        config = nerf.load_config("tiny", {"steps": flags.steps, "scene.max_side": 100})
        if name == "with":
            config["losses"]["entropy"] = {"name": f"{MODULE}:Entropy", "weight": 0.01}
        run = nerf.train(config, flags.scene, flags.out / name, plugins=(MODULE,))
        opacity = nerf.render_image(run, run.cameras["test"][0], scale=2)["opacity"]
        fog = np.mean((opacity > 0.05) & (opacity < 0.95))
        print(f"{name}: {100 * fog:.1f} % fog, {run.results['psnr']:.2f} dB")
        opacities.append(opacity)

    picture = flags.out / "opacity.png"
    imageio.imwrite(picture, np.uint8(255 * np.clip(np.hstack(opacities), 0, 1)))
    print(f"opacity without and with the loss: {picture}")


if __name__ == "__main__":
    main()
