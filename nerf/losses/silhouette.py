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

    z is the last rendering's logit that the ray meets matter: for an opaque surface see
    `nerf.rendering.surface` (equation 7 of IDR), for a volume it is that of the opacity (section
    3.4 of NeuS). The gradient of the loss with respect to z is 1 / (1 + exp(-z)) - A, and for an
    empty pixel of a volume the loss is the optical depth of its ray: it does not vanish for a ray
    that wrongly meets an object, as the gradient of an opaque ray's colour does.

    Attributes:
      weight: lambda, factor on the loss.
      required: whether scenes without alpha are refused; otherwise the loss is 0 there.
    """

    weight: float = 1.0
    required: bool = True

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
        return self.weight * (jax.nn.softplus(z) - alpha * z)
