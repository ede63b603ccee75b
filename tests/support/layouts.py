"""Layouts of intervals for tests."""

import jax.numpy as jnp
import numpy as np

from nerf.rendering.compositing import Packed


def pack(ray, rays: int) -> Packed:
    """Return the layout of intervals of `rays` rays, from the index of each interval's ray."""
    counts = np.bincount(np.asarray(ray), minlength=rays)
    ends = np.cumsum(counts).astype(np.int32)
    return Packed(jnp.array(ray, jnp.int32), jnp.array(ends), longest=max(int(counts.max()), 1))
