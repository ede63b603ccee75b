"""Loss of the silhouette: rays meet matter where the photos are opaque, and nowhere else."""

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from nerf.losses import Context


@dataclasses.dataclass(frozen=True)
class Silhouette:
    """Cross-entropy of the photo's alpha with the silhouette (IDR, 2003.09852; NeuS, 2106.10689).

    Equation:
      L = lambda (log(1 + exp(z)) - A z)   A: alpha of the photo
      L = lambda [A = 0] log(1 + exp(z))   `empty_only`: the free-space loss of DVR, 1912.07372

    z is the last rendering's logit that the ray meets matter: for an opaque surface see
    `nerf.rendering.surface` (equation 7 of IDR), for a volume it is that of the opacity (section
    3.4 of NeuS). The gradient of the loss with respect to z is 1 / (1 + exp(-z)) - A, and for an
    empty pixel of a volume the loss is the optical depth of its ray: it does not vanish for a ray
    that wrongly meets an object, as the gradient of an opaque ray's colour does.

    Attributes:
      weight: lambda, factor on the loss.
      required: whether scenes without alpha are refused; otherwise the loss is 0 there.
      empty_only: whether only empty pixels count. It removes what no photo shows, and leaves the
        place of the surface to the colours: an opacity that is pushed towards 1 thickens it.
    """

    weight: float = 1.0
    required: bool = True
    empty_only: bool = False

    @property
    def needs(self) -> tuple[str, ...]:
        """Names of the maps that training cannot do without."""
        return ("alpha",) if self.required else ()

    def __call__(self, context: Context) -> Float[Array, "*b"]:
        """Compute the loss of each ray.

        Args:
          context: its target may have the map "alpha".

        Returns:
          The weighted loss, (*b).
        """
        if "alpha" not in context.target.maps:
            return jnp.zeros(context.target.rgb.shape[:-1])
        z, alpha = context.renderings[-1].silhouette, context.target.maps["alpha"]
        assert z is not None
        if self.empty_only:
            return jnp.where(alpha == 0.0, self.weight * jax.nn.softplus(z), 0.0)
        return self.weight * (jax.nn.softplus(z) - alpha * z)
