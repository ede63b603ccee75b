"""Measure what a network split by axis (CoordX) saves on a lattice, and costs elsewhere.

    python -m benchmarks.lattice [--resolution=64] [--calls=10] [--out=lattice.json]

Computes the density on a lattice, as for an occupancy grid or a mesh, with a plain network and with
split networks of the same width and depth. The split networks are evaluated point by point and on
the lattice.
"""

import argparse
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from benchmarks.common import device, measure, write_out
from nerf.encodings.fourier import Fourier
from nerf.fields import Samples
from nerf.fields.composed import Composed
from nerf.networks import Network
from nerf.networks.coordx import CoordX
from nerf.networks.relu import ReLU

WIDTH, DEPTH = 64, 4
NETWORKS: dict[str, Network] = {
    "plain": ReLU(WIDTH, DEPTH),
    "product, 2 of 4 layers split": CoordX(WIDTH, DEPTH, split=2, rank=1),
    "product of rank 2, 2 of 4 layers split": CoordX(WIDTH, DEPTH, split=2, rank=2),
    "sum, 2 of 4 layers split": CoordX(WIDTH, DEPTH, split=2, rank=1, product=False),
    "sum, 3 of 4 layers split": CoordX(WIDTH, DEPTH, split=3, rank=1, product=False),
}


def point_by_point(field: Composed, axis: Float[Array, " n"]) -> Float[Array, "n n n"]:
    """Compute the density at each point of the lattice separately."""
    points = jnp.stack(jnp.meshgrid(axis, axis, axis, indexing="ij"), -1)
    return field(Samples(points, points))["density"]


def on_lattice(field: Composed, axis: Float[Array, " n"]) -> Float[Array, "n n n"]:
    """Compute the same densities from the three axes of the lattice."""
    return field.on_lattice([axis] * 3)["density"]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--resolution", type=int, default=64)
    parser.add_argument("--calls", type=int, default=10)
    parser.add_argument("--out")
    options = parser.parse_args()
    axis = jnp.linspace(-1.0, 1.0, options.resolution)
    rows: list[dict[str, Any]] = []
    plain = 0.0  # milliseconds of the plain network, which comes first
    for name, network in NETWORKS.items():
        graph, state = nnx.split(Composed(Fourier(10), Fourier(4), network, rngs=nnx.Rngs(0)))
        for way in (point_by_point, on_lattice) if name != "plain" else (point_by_point,):
            jitted = jax.jit(
                lambda state, axis, way=way, graph=graph: way(nnx.merge(graph, state), axis)
            )
            measured = measure(jitted, state, axis, calls=options.calls)
            plain = plain or measured["ms"]
            numbers = {
                "ms": measured["ms"],
                "gflop": measured["gflop"],
                "times_plain": measured["ms"] / plain,
            }
            rows.append({"network": name, "way": way.__name__, **numbers})
    write_out({"device": device(), "resolution": options.resolution, "rows": rows}, options.out)


if __name__ == "__main__":
    main()
