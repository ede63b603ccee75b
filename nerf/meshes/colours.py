"""Colours of surface points, as the field shows them from straight ahead."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, PyTree, UInt8

from nerf.cameras.cameras import Rays
from nerf.foundation.png import to_bytes
from nerf.meshes.chunks import in_chunks
from nerf.rendering.compositing import Dense, composite
from nerf.rendering.intervals import evaluate_field, sample_intervals
from nerf.rendering.model import Model, last_field

SAMPLES = 8  # intervals of the short ray through a point


def surface_colours(
    model: Model,
    points: Float[np.ndarray, "m 3"],
    normals: Float[np.ndarray, "m 3"],
    reach: float,
) -> UInt8[np.ndarray, "m 3"]:
    """Render the colours of surface points by short rays against their normals.

    A ray begins at `reach` above the point and ends as far below it. Its colour is that of the
    matter that it meets, without a background.

    Args:
      model: the trained model.
      points: on the surface, in the normalised world.
      normals: unit normals, outwards.
      reach: distance above and below the surface that the ray covers.

    Returns:
      sRGB.
    """
    graph, state = nnx.split(model)
    arrays = (points.astype(np.float32), normals.astype(np.float32))
    rgb = in_chunks(lambda x: _colours(graph, state, reach, *x), arrays)
    return to_bytes(rgb)


@functools.partial(jax.jit, static_argnums=0)
def _colours(
    graph: nnx.GraphDef,
    state: PyTree,
    reach: Float[Array, ""],
    points: Float[Array, "m 3"],
    normals: Float[Array, "m 3"],
) -> Float[Array, "m 3"]:
    model: Model = nnx.merge(graph, state)
    rays = Rays(points + reach * normals, -normals, -normals)
    edges = jnp.broadcast_to(
        jnp.linspace(0.0, 2.0 * reach, SAMPLES + 1), (points.shape[0], SAMPLES + 1)
    )
    start, end = edges[:, :-1], edges[:, 1:]
    field = last_field(model)
    samples = sample_intervals(model.space, field, rays, start, end, Dense())
    quantities = evaluate_field(model, field, samples)
    tau = model.geometry(quantities, samples)
    black = jnp.zeros((points.shape[0], 3))
    # A little optical depth everywhere gives a colour to points that lie in thin matter.
    seen = composite({"rgb": quantities["rgb"]}, tau + 1e-4, start, end, black)
    assert seen.rgb is not None
    return jnp.clip(seen.rgb / jnp.maximum(seen.opacity, 1e-8)[:, None], 0.0, 1.0)
