"""Fields: map samples to named quantities, one family per file.

A field is a callable `field(samples) -> dict`, from `Samples` to arrays (*b) or
(*b, c) by name. Each quantity is composited along the rays under its own name, apart from those
that the model's geometry hides. A field with `VolumeDensity` returns

  density  (*b), >= 0 and per unit of length in the box
  rgb      (*b, 3), sRGB in [0, 1]

The points lie in [-1, 1]^3, to which the model's space has mapped them. They are `Gaussians` if the
field's attribute `encoding` takes Gaussians. Whatever of a field's quantities is not used is not
computed, since everything is compiled. A field that is faster on a lattice than at as many points
has a method `on_lattice(axes)`, which returns the quantities of the geometry for occupancy grids.
A field that reads the codes of its samples has their length as its attribute `code_features`. A
field with a method `picture(composited, opacity)` says what an image shows of the composited
quantities; otherwise it shows all of them.
"""

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
