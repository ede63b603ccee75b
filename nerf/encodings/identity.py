"""Identity encoding: raw coordinates, the baseline of every comparison."""

import dataclasses

from jaxtyping import Array, Float


@dataclasses.dataclass(frozen=True)
class Identity:
    """Coordinates as features.

    Equation:
      gamma(x) = x

    Attributes:
      num_dims: d, the number of coordinates of x.
    """

    num_dims: int = 3

    @property
    def num_features(self) -> int:
        return self.num_dims

    def __call__(self, x: Float[Array, "*b d"]) -> Float[Array, "*b d"]:
        return x
