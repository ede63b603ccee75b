"""Gaussian splats: place, shape, opacity and view-dependent colour (Kerbl et al., 2308.04079).

Equation:
  G(x) = exp(-1/2 (x - mu)^T Sigma^-1 (x - mu)) with Sigma = R diag(s)^2 R^T
  c(d) = max(0, 1/2 + sum_(l,m) a_(l m) Y_(l m)(d))   d: unit direction from the camera to mu

Y are the real spherical harmonics of `nerf.encodings.spherical_harmonics`, whose signs and order
are those that files of splats have.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy.spatial.transform import Rotation

from nerf.encodings.spherical_harmonics import SphericalHarmonics
from nerf.foundation.pytrees import pytree
from nerf.scenes.base import Similarity

Y_00 = 0.28209479177387814  # the constant harmonic, 1 / (2 sqrt(pi))
FIT_DIRECTIONS = 64  # to which rotated harmonics are fitted; any number above 16 gives the same


@pytree
class Splats:
    """Gaussians in a world that is said by whoever holds them.

    Attributes:
      means: centres.
      scales: standard deviations along the axes of each Gaussian.
      quaternions: its rotation from its axes to the world, as unit w, x, y, z.
      opacities: in [0, 1].
      harmonics: coefficients of its colour, k = (degree + 1)^2 for each channel.
    """

    means: Float[Array | np.ndarray, "n 3"]
    scales: Float[Array | np.ndarray, "n 3"]
    quaternions: Float[Array | np.ndarray, "n 4"]
    opacities: Float[Array | np.ndarray, " n"]
    harmonics: Float[Array | np.ndarray, "n k 3"]

    def __len__(self) -> int:
        return self.means.shape[0]

    def __getitem__(self, index: slice | np.ndarray) -> "Splats":
        """Select some of the splats."""
        return jax.tree.map(lambda x: x[index], self)

    @property
    def degree(self) -> int:
        """Return the degree of the harmonics, 0 to 3."""
        return int(self.harmonics.shape[1] ** 0.5) - 1

    @property
    def colours(self) -> Float[Array | np.ndarray, "n 3"]:
        """Return the colours without their dependence on the direction, in [0, 1]."""
        return (0.5 + Y_00 * self.harmonics[:, 0]).clip(0.0, 1.0)


def colours_towards(
    harmonics: Float[Array | np.ndarray, "*b k 3"], directions: Float[Array | np.ndarray, "*b 3"]
) -> Float[Array, "*b 3"]:
    """Evaluate colours in unit directions from the camera to the splat."""
    basis = harmonics_basis(jnp.asarray(directions), int(harmonics.shape[-2] ** 0.5) - 1)
    colour = jnp.einsum("...k,...kc->...c", basis, harmonics, precision="highest")
    return jnp.maximum(0.5 + colour, 0.0)


def harmonics_basis(directions: Float[Array, "*b 3"], degree: int) -> Float[Array, "*b k"]:
    """Evaluate the spherical harmonics up to a degree in unit directions."""
    return SphericalHarmonics(degree + 1)(directions)


def rotation_matrices(quaternions: Float[Array | np.ndarray, "*b 4"]) -> Float[Array, "*b 3 3"]:
    """Convert quaternions w, x, y, z of any length to rotation matrices."""
    length = jnp.sqrt(jnp.maximum(jnp.square(quaternions).sum(-1, keepdims=True), 1e-24))
    w, x, y, z = jnp.moveaxis(jnp.asarray(quaternions) / length, -1, 0)
    rows = [
        [1.0 - 2.0 * (y * y + z * z), 2.0 * (x * y - w * z), 2.0 * (x * z + w * y)],
        [2.0 * (x * y + w * z), 1.0 - 2.0 * (x * x + z * z), 2.0 * (y * z - w * x)],
        [2.0 * (x * z - w * y), 2.0 * (y * z + w * x), 1.0 - 2.0 * (x * x + y * y)],
    ]
    return jnp.stack([jnp.stack(row, -1) for row in rows], -2)


def transform_splats(splats: Splats, by: Similarity) -> Splats:
    """Map splats to another world, in double precision.

    Their colours turn with them: a camera that is mapped too sees the same.
    """
    turn = Rotation.from_matrix(by.rotation)
    own = Rotation.from_quat(np.asarray(splats.quaternions, np.float64)[:, [1, 2, 3, 0]])
    mixing = rotate_harmonics(by.rotation, splats.degree)
    return Splats(
        means=by.points(np.asarray(splats.means, np.float64)),
        scales=by.scale * np.asarray(splats.scales, np.float64),
        quaternions=(turn * own).as_quat()[:, [3, 0, 1, 2]],
        opacities=np.asarray(splats.opacities, np.float64),
        harmonics=np.einsum("ij,njc->nic", mixing, np.asarray(splats.harmonics, np.float64)),
    )


def rotate_harmonics(rotation: Float[np.ndarray, "3 3"], degree: int) -> Float[np.ndarray, "k k"]:
    """Return the matrix that turns coefficients of harmonics (Wigner's D of each degree).

    Equation:
      Y(R d)^T D a = Y(d)^T a   for all directions d

    Rotations map the harmonics of each degree to combinations of the same ones, so that the matrix
    is the exact solution of a linear system of a few directions.
    """
    directions = np.random.default_rng(0).normal(size=(FIT_DIRECTIONS, 3))
    directions /= np.linalg.norm(directions, axis=-1, keepdims=True)
    turned = np.matmul(directions, rotation.T)
    before, after = (
        np.asarray(harmonics_basis(jnp.asarray(d, jnp.float32), degree), np.float64)
        for d in (directions, turned)
    )
    mixing = np.zeros((before.shape[1],) * 2)
    for i in range(degree + 1):
        band = slice(i * i, (i + 1) ** 2)
        mixing[band, band] = np.linalg.lstsq(after[:, band], before[:, band], rcond=None)[0]
    return mixing


def inverse(similarity: Similarity) -> Similarity:
    """Return the similarity in the other direction."""
    return Similarity(
        1.0 / similarity.scale, similarity.rotation.T, similarity.points_back(np.zeros(3))
    )
