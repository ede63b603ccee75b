"""Measure how well surfaces without an inside are recovered, by signed and unsigned distances.

    python -m benchmarks.open_surfaces [CONFIG ...] [--steps=1500] [--seed=0] [--out=open.json]

Each config is trained on the bowl and the bent sheet of `nerf.scenes.open_surfaces`. Points of its
surface are sampled by projection (NDF, 2010.13938) and compared with the true one. Points in cells
that the occupancy grid skips count in `all_cells` only: nothing has trained them.
"""

import argparse
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from benchmarks.common import device, write_out
from benchmarks.systems.claims import Arm
from benchmarks.systems.rows.common import TOYBOX, toys
from benchmarks.systems.training import Trainer
from nerf.fields import Samples
from nerf.geometry.projection import sample_surface
from nerf.meshes.chamfer import chamfer_distance
from nerf.rendering.model import Model, last_field
from nerf.scenes import open_surfaces

CONFIGS = ("udf", "volsdf", "neus")
SCENE = {**TOYBOX, "name": "nerf.scenes.open_surfaces:load"}
COUNT = 20_000  # of sampled points
NEAR = 0.02  # remaining distance up to which a point counts as one of the surface


def cloud(model: Model, seed: int) -> tuple[np.ndarray, np.ndarray, float]:
    """Sample points of a model's surface.

    Args:
      model: the trained model.
      seed: seed of the points.

    Returns:
      The points (n, 3), which of them lie in occupied cells (n,), and the median of |f| there.
    """
    field = last_field(model)
    graph, state = nnx.split(field)

    @jax.jit
    def sample(state: nnx.State, key: Array) -> tuple[Array, Array]:
        def distance(points: Float[Array, "n 3"]) -> Float[Array, " n"]:
            return nnx.merge(graph, state)(Samples(points, points))[field.quantity]

        return sample_surface(distance, key, COUNT, near=NEAR)

    points, left = sample(state, jax.random.key(seed))
    near = np.asarray(left) < NEAR
    points = points[near]
    assert model.occupancy is not None
    occupied = np.asarray(model.occupancy.is_occupied(points, training=False))
    return np.asarray(points, np.float64), occupied, float(jnp.median(left))


def compare(points: Float[np.ndarray, "n 3"]) -> dict[str, float]:
    """Compute the Chamfer distance of points to the true surface, and the fraction of a false lid.

    Args:
      points: the sampled points.

    Returns:
      Distances in units of the box; `chamfer` is the mean of both directions.
    """
    rng = np.random.default_rng(0)
    true = np.concatenate([surface.sample(COUNT // 2, rng) for surface in open_surfaces.SURFACES])
    chamfer = chamfer_distance(points, true, open_surfaces.distance)
    return {
        "accuracy": round(chamfer.accuracy, 4),
        "completeness": round(chamfer.completeness, 4),
        "chamfer": round(chamfer.mean, 4),
        "lid": round(float(open_surfaces.BOWL.is_over_opening(points).mean()), 4),
    }


def measure(arm: Arm, steps: int, seed: int) -> dict[str, Any]:
    """Train an arm and compare its surface with the true one.

    Args:
      arm: the arm.
      steps: training steps.
      seed: seed of the training and of the points.

    Returns:
      PSNR on "val", and the comparisons.
    """
    trainer = Trainer(arm.resolve(), arm.scenes())
    model = trainer.train(seed, 1.0, steps).model
    points, occupied, left = cloud(model, seed)
    return {
        "config": arm.name,
        "psnr": round(trainer.score(model, "val"), 2),
        "left": left,
        "occupied": round(float(occupied.mean()), 3),
        **compare(points[occupied]),
        "all_cells": compare(points),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("configs", nargs="*", default=CONFIGS)
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out")
    options = parser.parse_args()
    arms = [toys(name, name, scene=SCENE) for name in options.configs]
    rows = [measure(arm, options.steps, options.seed) for arm in arms]
    write_out({"device": device(), "rows": rows}, options.out)


if __name__ == "__main__":
    main()
