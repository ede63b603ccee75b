"""The input of a field: the samples of a batch of rays, or any points."""

from jaxtyping import Array, Float

from nerf.encodings.cones import Points, mean_of
from nerf.foundation.pytrees import pytree


@pytree
class Samples:
    """Intervals of rays, each at one point, or points without rays.

    Attributes:
      points: positions in the box [-1, 1]^d, (*b, d), or Gaussians.
      viewdirs: unit view directions in the normalised world, (*b, 3).
      lengths: length of each interval in the box, (*b); None for points without rays.
      steps: from the start of each interval to its end in the box, (*b, d), to first order at the
        point; None for points without rays.
      code: latent vector of each sample, (*b, c), such as that of its image; None without codes.
    """

    points: Points
    viewdirs: Float[Array, "*b 3"]
    lengths: Float[Array, "*b"] | None = None
    steps: Float[Array, "*b d"] | None = None
    code: Float[Array, "*b c"] | None = None

    @property
    def means(self) -> Float[Array, "*b d"]:
        """The positions, which of Gaussians are their means."""
        return mean_of(self.points)
