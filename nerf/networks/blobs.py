"""Blobs: structured implicit functions (SIF, 1904.06447), and with a decoder in each (LDIF, 1912.06126).

Nerflets (2303.03361) are the same with a radiance field in each, trained from pictures as here.
"""

import dataclasses

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from nerf.encodings import Encoding
from nerf.networks import Network, OfPoints


class Ellipsoids(nnx.Module):
    """Oriented Gaussians g_i(x) = exp(-|T_i x|^2 / 2), T_i x = L_i (x - p_i), with L_i triangular.

    L_i L_i^T is the inverse covariance: as many numbers as radii and a rotation have. Centres start at random in the
    middle half of the box, round, and so wide that neighbours overlap.
    """

    def __init__(self, count: int, num_dims: int, *, rngs: nnx.Rngs):
        self.centres = nnx.Param(
            jax.random.uniform(rngs.params(), (count, num_dims), minval=-0.5, maxval=0.5)
        )
        radius = 0.5 * count ** (-1.0 / num_dims)
        self.log_sharpness = nnx.Param(jnp.full((count, num_dims), -jnp.log(radius)))
        self.shear = nnx.Param(
            jnp.zeros((count, num_dims, num_dims))
        )  # of which the part below the diagonal is used

    def local(self, points: Float[Array, "*b d"]) -> Float[Array, "*b n d"]:
        """T_i x, where the i-th Gaussian has radius 1."""
        diagonal = jnp.exp(self.log_sharpness[...])[:, :, None] * jnp.eye(points.shape[-1])[None]
        frames = diagonal + jnp.tril(self.shear[...], -1)
        at = jnp.einsum("nij,nj->ni", frames, self.centres[...])
        return jnp.einsum("nij,...j->...ni", frames, points) - at.reshape(
            *[1] * (points.ndim - 1), *at.shape
        )

    @staticmethod
    def influence(local: Float[Array, "*b n d"]) -> Float[Array, "*b n"]:
        """g_i(x), of T_i x."""
        return jnp.exp(-0.5 * jnp.square(local).sum(-1))


class SumOfBlobs(nnx.Module):
    """f(x) = sum_i c_i g_i(x) + b with a vector c_i of outputs for each blob: its density and its colour."""

    def __init__(self, spec: "Blobs", num_in: int, num_out: int, *, rngs: nnx.Rngs):
        self.blobs = Ellipsoids(spec.count, num_in, rngs=rngs)
        self.outputs = nnx.Linear(spec.count, num_out, rngs=rngs)

    def __call__(self, points: Float[Array, "*b d"]) -> Float[Array, "*b o"]:
        return self.outputs(self.blobs.influence(self.blobs.local(points)))


class DecodedBlobs(nnx.Module):
    """f(x) = sum_i g_i(x) (c_i + decoder(gamma(T_i x), z_i)) + b: LDIF's equation 2 for a vector of outputs.

    The paper writes c_i (1 + decoder); with the constant inside the decoder's reach, one output may vary in a blob that
    adds nothing of it on the whole.
    """

    def __init__(self, spec: "LocalBlobs", num_in: int, num_out: int, *, rngs: nnx.Rngs):
        self.blobs = Ellipsoids(spec.count, num_in, rngs=rngs)
        self.encoding = spec.encoding
        self.table = nnx.Param(0.1 * jax.random.normal(rngs.params(), (spec.count, spec.features)))
        self.outputs = nnx.Linear(spec.count, num_out, rngs=rngs)
        self.decoder = spec.decoder(spec.encoding.num_features + spec.features, num_out, rngs=rngs)

    def __call__(self, points: Float[Array, "*b d"]) -> Float[Array, "*b o"]:
        local = self.blobs.local(points)
        influence = self.blobs.influence(local)
        codes = jnp.broadcast_to(self.table[...], (*influence.shape, self.table.shape[-1]))
        # Beyond three radii a blob has no influence, and its decoder need not hear of huge coordinates.
        inside = self.encoding(jnp.clip(local / 3.0, -1.0, 1.0))
        decoded = self.decoder(jnp.concatenate([inside, codes], -1))
        return self.outputs(influence) + (influence[..., None] * decoded).sum(-2)


@dataclasses.dataclass(frozen=True)
class Blobs(OfPoints):
    """`count` Gaussians, of which everything is made."""

    count: int = 64

    def __call__(self, num_in: int, num_out: int, *, rngs: nnx.Rngs) -> SumOfBlobs:
        return SumOfBlobs(self, num_in, num_out, rngs=rngs)


@dataclasses.dataclass(frozen=True)
class LocalBlobs(OfPoints):
    """Gaussians with one decoder for all and a code for each.

    Attributes:
      decoder: of (encoded local coordinates, code).
      encoding: gamma, of the coordinates in the blob, three radii being 1.
      count: of blobs.
      features: length of a code.
    """

    decoder: Network
    encoding: Encoding
    count: int = 16
    features: int = 16

    def __call__(self, num_in: int, num_out: int, *, rngs: nnx.Rngs) -> DecodedBlobs:
        return DecodedBlobs(self, num_in, num_out, rngs=rngs)
