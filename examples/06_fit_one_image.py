"""Fit one image: the quickest test of an encoding or a network.

An image is the smallest field there is: f(x, y) = colour. Whatever a network or an encoding can or
cannot represent shows here in seconds, before you train on a scene. This fits SIREN (2006.09661),
whose layers are

    h_(i+1) = sin(omega (W_i h_i + b_i)),

and whose every layer is smooth: the fit can be drawn at any size.

    python examples/06_fit_one_image.py

trains on a quarter of the pixels, prints the PSNR on another quarter that was never seen (42.7 dB
after half a minute), and writes picture.png and, at twice the size, fit.png to runs/image. Give
your own --image, or another --config: "ngp" fits its hash grid, "systems/none" a network that sees
raw coordinates (and fails).
"""

import argparse
from pathlib import Path

import imageio.v3 as imageio
import numpy as np

import nerf
from nerf.scenes.drawings import cppn


def main() -> None:
    parser = argparse.ArgumentParser(description="Fit one image.")
    parser.add_argument("--image", type=Path, help="default: a drawing")
    parser.add_argument("--config", default="systems/siren")
    parser.add_argument("--steps", type=int, default=1000, help="a multiple of ten")
    parser.add_argument("--out", type=Path, default=Path("runs/image"), help="for all results")
    flags = parser.parse_args()

    image = flags.image
    if image is None:
        image = flags.out / "picture.png"
        flags.out.mkdir(parents=True, exist_ok=True)
        imageio.imwrite(image, cppn(256))

    changes = {"steps": flags.steps, "batch_size": 1024, "scene.max_side": 1024}
    config = nerf.load_config(flags.config, changes, task="image")
    run = nerf.train(config, image, flags.out / "run")
    print(f"{run.results['psnr']:.2f} dB over pixels that were not trained on")

    # The camera of "train" sees the complete image.
    fit = nerf.render_image(run, run.cameras["train"][0], scale=2)["rgb"]
    imageio.imwrite(flags.out / "fit.png", np.uint8(255 * np.clip(fit, 0, 1) + 0.5))
    print(f"{image} and its fit at twice the size: {flags.out / 'fit.png'}")


if __name__ == "__main__":
    main()
