"""Real spherical harmonics of unit directions, up to degree 3 (16 features).

Instant-ngp (2201.05989, section 5.4) encodes view directions in this way.
"""

import dataclasses

import jax.numpy as jnp
from jaxtyping import Array, Float

from nerf.foundation.instantiate import ConfigError


@dataclasses.dataclass(frozen=True)
class SphericalHarmonics:
    """Real spherical harmonics Y_lm, l < `num_degrees`, in Cartesian form (Sloan 2008, app. A2).

    Equation:
      Y_(l m) = sqrt(2) K_(l m) cos(m phi) P_l^m(cos(theta))   for m > 0
      Y_(l m) = sqrt(2) K_(l m) sin(|m| phi) P_l^(|m|)(cos(theta))   for m < 0
      Y_(l 0) = K_(l 0) P_l^0(cos(theta))
      K_(l m) = sqrt(((2 l + 1) (l - |m|)!) / (4 pi (l + |m|)!))

    theta is the angle from +z, phi that from +x towards +y, and P are the associated Legendre
    functions with the sign (-1)^m. They are orthonormal: the integral of Y_i Y_j over the unit
    sphere is 1 if i = j, otherwise 0. The features are ordered by l, then by m from -l to l:
    (*b, 3) -> (*b, num_degrees^2).

    Attributes:
      num_degrees: number of degrees l, 1 to 4.
      num_dims: 3; directions are unit vectors in space.
    """

    num_degrees: int = 4
    num_dims: int = 3

    def __post_init__(self) -> None:
        if not 1 <= self.num_degrees <= 4:
            raise ConfigError(f"SphericalHarmonics: num_degrees={self.num_degrees}: choose 1 to 4")
        if self.num_dims != 3:
            raise ConfigError(
                "SphericalHarmonics: needs directions in space (num_dims=3): "
                "choose another encoding for images"
            )

    @property
    def num_features(self) -> int:
        return self.num_degrees**2

    def __call__(self, directions: Float[Array, "*b 3"]) -> Float[Array, "*b f"]:
        x, y, z = (directions[..., i] for i in range(3))
        xx, yy, zz = x * x, y * y, z * z
        values = [
            jnp.full_like(x, 0.28209479177387814),  # l = 0: 1 / (2 sqrt(pi))
            *(0.48860251190291992 * v for v in (-y, z, -x)),  # l = 1: sqrt(3 / (4 pi))
            # l = 2
            1.0925484305920792 * x * y,
            -1.0925484305920792 * y * z,
            0.31539156525252005 * (3.0 * zz - 1.0),
            -1.0925484305920792 * x * z,
            0.54627421529603959 * (xx - yy),
            # l = 3
            -0.59004358992664352 * y * (3.0 * xx - yy),
            2.8906114426405538 * x * y * z,
            -0.45704579946446572 * y * (5.0 * zz - 1.0),
            0.3731763325901154 * z * (5.0 * zz - 3.0),
            -0.45704579946446572 * x * (5.0 * zz - 1.0),
            1.4453057213202769 * z * (xx - yy),
            -0.59004358992664352 * x * (xx - 3.0 * yy),
        ]
        return jnp.stack(values[: self.num_features], -1)
