"""A field with a surface: a distance or an occupancy, its gradient, and colour."""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from nerf.encodings import Encoding
from nerf.fields import Samples
from nerf.foundation.instantiate import ConfigError, did_you_mean
from nerf.networks import Network, connect
from nerf.networks.relu import ReLU

COLOUR = ReLU(width=32, depth=2)
SIGNS = {"sdf": 1.0, "logit": -1.0, "udf": 1.0}  # of the quantity outside of the surface
# Corners of a tetrahedron, at which a gradient takes four evaluations and not six.
CORNERS = np.array([[1, -1, -1], [-1, -1, 1], [-1, 1, -1], [1, 1, 1]]) / math.sqrt(3.0)


class SurfaceField(nnx.Module):
    """Points -> encoding -> network -> (f, features) -> colour network -> sRGB.

    The colour network also gets the normal (unless `reads_normals` is False), the encoded view
    direction (IDR, 2003.09852), and with `code_features` the latent code of the sample, so that
    photos of different light show one surface.

    Equation:
      (g, h) = network(gamma(x))
      f = scale (|x| - radius) + gain g   signed distance; a logit's sphere has the opposite sign
      f_u = |f|   unsigned distance
      n = nabla f / |nabla f|
      rgb = sigmoid(colour(h, n, gamma_d(viewdir), l))   with a code l

    While g is small, the surface is a sphere, as with the geometric initialisation of SAL
    (1911.10414), for any encoding and network. With a negative radius everything is outside at
    first: the surface grows out of fog, and no sphere has to be carved. An unsigned distance may
    begin with radius 0, as that of a point, which hides little. Its gradient jumps on the surface,
    and is 0 where f = 0.

    Args:
      encoding: gamma, the encoding of points.
      direction_encoding: gamma_d, the encoding of unit directions.
      network: specification of the network of f, see `nerf.networks`.
      colour: specification of the colour network.
      features: number of features h passed from the first network to the second.
      quantity: name of f: "sdf", positive outside, "logit", positive inside, or "udf", at least 0.
      radius: of the sphere at the start, in units of the box; negative for no sphere.
      scale: slope of the sphere at the start; 1 for distances.
      gain: factor on the network's output: a small one lets the surface move slowly at learning
        rates that suit the colours.
      spacing: distance of the points whose differences are the gradient and the Laplacian, as in
        Neuralangelo (2306.03092), in units of the box, or a function without arguments that returns
        it, such as `nerf.encodings.annealing:Shrinking`; None differentiates the network, and there
        is no Laplacian.
      reads_normals: whether the colour network gets the normal. Without it, training computes
        gradients only where a loss or the geometry uses them.
      code_features: length of the codes of the model, see `nerf.rendering.codes`; 0 reads none.
      rngs: source of the initial parameters.

    Raises:
      ConfigError: the quantity is unknown, or the encoding takes Gaussians.
    """

    def __init__(
        self,
        encoding: Encoding,
        direction_encoding: Encoding,
        network: Network,
        colour: Network = COLOUR,
        features: int = 15,
        quantity: str = "sdf",
        radius: float = 0.5,
        scale: float = 1.0,
        gain: float = 1.0,
        spacing: float | Callable[[], Float[Array, ""]] | None = None,
        reads_normals: bool = True,
        code_features: int = 0,
        *,
        rngs: nnx.Rngs,
    ):
        if quantity not in SIGNS:
            raise ConfigError(
                f"SurfaceField: quantity: {quantity}: {did_you_mean(quantity, SIGNS)}"
            )
        if getattr(encoding, "takes_gaussians", False):
            reason = f"{type(encoding).__name__} takes Gaussians, which have no gradient at a point"
            raise ConfigError(f"SurfaceField: {reason}: choose an encoding of points")
        self.encoding, self.direction_encoding = encoding, direction_encoding
        self.quantity, self.spacing, self.reads_normals = quantity, spacing, reads_normals
        self.radius, self.scale, self.gain = radius, scale, gain
        self.code_features = code_features
        self.network = connect(encoding, network, 1 + features, 3, rngs=rngs)
        shading = (3 if reads_normals else 0) + code_features
        self.colour = colour(features + shading + direction_encoding.num_features, 3, rngs=rngs)

    def __call__(self, samples: Samples) -> dict[str, Array]:
        derived, features = self._differentiated(samples.means)
        outward = SIGNS[self.quantity] * derived["gradient"]
        # Where the gradient vanishes there is no normal, and the division would not be finite.
        squared = jnp.square(outward).sum(-1, keepdims=True)
        normals = outward * jax.lax.rsqrt(jnp.maximum(squared, 1e-12))
        inputs = [features, *([normals] if self.reads_normals else [])]
        inputs.append(self.direction_encoding(samples.viewdirs))
        if self.code_features:
            assert samples.code is not None, "a model checks that it has codes"
            inputs.append(samples.code)
        rgb = jax.nn.sigmoid(self.colour(jnp.concatenate(inputs, -1)))
        return {**derived, "normals": normals, "rgb": rgb}

    def _level(self, points: Float[Array, "*b 3"]) -> tuple[Float[Array, "*b"], Array]:
        """Return f and the features of points."""
        outputs = self.network(self.encoding(points))
        # Keep |x| away from 0, where its gradient is undefined.
        distance = jnp.sqrt(jnp.maximum(jnp.square(points).sum(-1), 1e-12)) - self.radius
        sphere = SIGNS[self.quantity] * self.scale * distance
        f = sphere + self.gain * outputs[..., 0]
        if self.quantity == "udf":
            # The sign of 0 is 0, and so is the derivative there.
            f = jnp.abs(f)
        return f, outputs[..., 1:]

    def _differentiated(self, points: Float[Array, "*b 3"]) -> tuple[dict[str, Array], Array]:
        """Return f and its derivatives by name, and the features."""
        if self.spacing is None:
            f, pull, features = jax.vjp(self._level, points, has_aux=True)
            return {self.quantity: f, "gradient": pull(jnp.ones_like(f))[0]}, features
        spacing = self.spacing() if callable(self.spacing) else self.spacing
        f, features = self._level(points)
        corners = jnp.asarray(CORNERS, points.dtype)
        around = points[..., None, :] + spacing * corners.reshape(*[1] * (points.ndim - 1), 4, 3)
        values, _ = self._level(around)
        # sum_k c_k c_k^T = 4/3 I, so that sum_k c_k f(x + h c_k) = 4/3 h nabla f.
        gradient = jnp.einsum("...k,kd->...d", values, corners, precision="highest")
        gradient = gradient * (0.75 / spacing)
        # sum_k c_k = 0, so that sum_k (f(x + h c_k) - f(x)) = 2/3 h^2 nabla^2 f.
        laplacian = (values - f[..., None]).sum(-1) * (1.5 / spacing**2)
        return {self.quantity: f, "gradient": gradient, "laplacian": laplacian}, features
