"""Structured implicit functions: sums of Gaussian blobs (SIF, 1904.06447; LDIF, 1912.06126).

LDIF adds a local decoder to each blob. Nerflets (2303.03361) put a radiance field in each blob and,
as here, train it from images.
"""

import dataclasses

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from nerf.encodings import Encoding
from nerf.networks import Network, PositionIndexed


class Ellipsoids(nnx.Module):
    """Oriented Gaussians.

    Equation:
      g_i(x) = exp(-|T_i x|^2 / 2) with T_i x = L_i (x - p_i)

    L_i is lower triangular, with as many free parameters as radii and a rotation; L_i^T L_i is the
    inverse covariance. Centres p_i start uniform in [-0.5, 0.5]^d. The Gaussians start isotropic,
    and wide enough for neighbours to overlap.

    Args:
      count: n, the number of Gaussians.
      num_dims: d, the number of coordinates of a point.
      rngs: source of the initial centres.
    """

    def __init__(self, count: int, num_dims: int, *, rngs: nnx.Rngs):
        self.centres = nnx.Param(
            jax.random.uniform(rngs.params(), (count, num_dims), minval=-0.5, maxval=0.5)
        )
        radius = 0.5 * count ** (-1.0 / num_dims)
        # L_i has exp(log_sharpness) on its diagonal and the lower triangle of shear below it.
        self.log_sharpness = nnx.Param(jnp.full((count, num_dims), -jnp.log(radius)))
        self.shear = nnx.Param(jnp.zeros((count, num_dims, num_dims)))

    def local(self, points: Float[Array, "*b d"]) -> Float[Array, "*b n d"]:
        """Return T_i x, coordinates in which the i-th Gaussian has standard deviation 1."""
        diagonal = jnp.exp(self.log_sharpness[...])[:, :, None] * jnp.eye(points.shape[-1])[None]
        frames = diagonal + jnp.tril(self.shear[...], -1)  # L_i, (n, d, d)
        # L_i x - L_i p_i
        at = jnp.einsum("nij,nj->ni", frames, self.centres[...], precision="highest")
        at = at.reshape(*[1] * (points.ndim - 1), *at.shape)
        return jnp.einsum("nij,...j->...ni", frames, points, precision="highest") - at

    @staticmethod
    def influence(local: Float[Array, "*b n d"]) -> Float[Array, "*b n"]:
        """Return g_i(x), given T_i x."""
        return jnp.exp(-0.5 * jnp.square(local).sum(-1))


class SumOfBlobs(nnx.Module):
    """Sum of Gaussians with one vector c_i of outputs (density, colour) each (SIF, 1904.06447).

    Equation:
      f(x) = sum_i c_i g_i(x) + b

    Args:
      spec: the network's specification.
      num_in: number of coordinates of a point.
      num_out: number of outputs.
      rngs: source of the initial parameters.
    """

    def __init__(self, spec: "Blobs", num_in: int, num_out: int, *, rngs: nnx.Rngs):
        self.blobs = Ellipsoids(spec.count, num_in, rngs=rngs)
        self.outputs = nnx.Linear(spec.count, num_out, precision="highest", rngs=rngs)

    def __call__(self, points: Float[Array, "*b d"]) -> Float[Array, "*b o"]:
        return self.outputs(self.blobs.influence(self.blobs.local(points)))


class DecodedBlobs(nnx.Module):
    """Sum of Gaussians whose outputs vary inside each (LDIF, 1912.06126, equation 2).

    Equation:
      f(x) = sum_i g_i(x) (c_i + decoder(gamma(T_i x), z_i)) + b

    The paper has c_i (1 + decoder). With c_i added instead, the decoder can vary an output inside a
    blob whose constant for this output is zero.

    Args:
      spec: the network's specification.
      num_in: number of coordinates of a point.
      num_out: number of outputs.
      rngs: source of the initial parameters.
    """

    def __init__(self, spec: "LocalBlobs", num_in: int, num_out: int, *, rngs: nnx.Rngs):
        self.blobs = Ellipsoids(spec.count, num_in, rngs=rngs)
        self.encoding = spec.encoding
        codes = 0.1 * jax.random.normal(rngs.params(), (spec.count, spec.features))
        self.table = nnx.Param(codes)  # z_i
        self.outputs = nnx.Linear(spec.count, num_out, precision="highest", rngs=rngs)
        num_features = spec.encoding.num_features + spec.features
        self.decoder = spec.decoder(num_features, num_out, rngs=rngs)

    def __call__(self, points: Float[Array, "*b d"]) -> Float[Array, "*b o"]:
        local = self.blobs.local(points)  # (*b, n, d)
        influence = self.blobs.influence(local)  # (*b, n)
        codes = jnp.broadcast_to(self.table[...], (*influence.shape, self.table.shape[-1]))
        # Beyond three standard deviations a blob has almost no influence, so clip the coordinates
        # there to keep the decoder's inputs bounded.
        inside = self.encoding(jnp.clip(local / 3.0, -1.0, 1.0))
        decoded = self.decoder(jnp.concatenate([inside, codes], -1))  # (*b, n, o)
        return self.outputs(influence) + (influence[..., None] * decoded).sum(-2)


@dataclasses.dataclass(frozen=True)
class Blobs(PositionIndexed):
    """Specification of a sum of Gaussians (SIF).

    Attributes:
      count: number of Gaussians.
    """

    count: int = 64

    def __call__(self, num_in: int, num_out: int, *, rngs: nnx.Rngs) -> SumOfBlobs:
        return SumOfBlobs(self, num_in, num_out, rngs=rngs)


@dataclasses.dataclass(frozen=True)
class LocalBlobs(PositionIndexed):
    """Specification of Gaussians with one shared decoder and one latent code each (LDIF).

    Attributes:
      decoder: network of (encoded local coordinates, code).
      encoding: gamma, the encoding of a blob's local coordinates; three standard deviations are 1.
      count: number of blobs.
      features: length of a code.
    """

    decoder: Network
    encoding: Encoding
    count: int = 16
    features: int = 16

    def __call__(self, num_in: int, num_out: int, *, rngs: nnx.Rngs) -> DecodedBlobs:
        return DecodedBlobs(self, num_in, num_out, rngs=rngs)
