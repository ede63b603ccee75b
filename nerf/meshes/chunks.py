"""Apply compiled functions to arrays of any length, with few compilations."""

import operator
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import numpy as np
from jaxtyping import PyTree

CHUNKS = (2**16, 2**13)  # rows at once; a shorter array is padded to one of these


def in_chunks(function: Callable[[Any], Any], arrays: PyTree) -> Any:
    """Apply a jitted function to arrays in pieces of few different lengths.

    Args:
      function: arrays with a leading axis -> arrays with the same leading axis.
      arrays: numpy arrays (m, ...).

    Returns:
      The results as numpy arrays (m, ...).
    """
    count = len(jax.tree.leaves(arrays)[0])
    parts: list[Any] = []
    start = 0
    while start < count or not parts:
        chunk = CHUNKS[0] if count - start > CHUNKS[1] else CHUNKS[1]
        result = jax.device_get(function(jax.tree.map(partial(_cut, start, chunk), arrays)))
        size = min(count - start, chunk)
        parts.append(jax.tree.map(operator.itemgetter(slice(size)), result))
        start += size
    return jax.tree.map(lambda *x: np.concatenate(x), *parts)


def _cut(start: int, chunk: int, x: np.ndarray) -> np.ndarray:
    """Return `chunk` rows of an array from `start` on, with rows of zeros at its end."""
    part = x[start : start + chunk]
    return np.pad(part, [(0, chunk - len(part))] + [(0, 0)] * (x.ndim - 1))
