"""Loss of the silhouette, for surfaces that a ray either meets or misses (IDR, 2003.09852)."""

import dataclasses
from typing import ClassVar

import jax
from jaxtyping import Array, Float

from nerf.foundation.instantiate import ConfigError
from nerf.losses import Context


@dataclasses.dataclass(frozen=True)
class Silhouette:
    """Cross-entropy of the photo's alpha with the silhouette (IDR, 2003.09852, equation 7).

    Equation:
      L = lambda (log(1 + exp(z)) - A z)   A: alpha of the photo

    z is the map "silhouette" of the last rendering, the logit that the ray meets matter. The
    gradient of the loss with respect to z is 1 / (1 + exp(-z)) - A: it does not vanish for a ray
    that wrongly meets the middle of an object.

    Attributes:
      weight: lambda, factor on the loss.
    """

    weight: float = 1.0

    needs: ClassVar[tuple[str, ...]] = ("alpha",)

    def __call__(self, context: Context) -> Float[Array, "*b"]:
        """Compute the loss of each ray.

        Args:
          context: its target has the map "alpha", its last rendering the map "silhouette".

        Returns:
          The weighted loss, (*b).

        Raises:
          ConfigError: the renderer has no silhouette.
        """
        if "silhouette" not in context.renderings[-1].extras:
            reason = "the renderer has no silhouette"
            raise ConfigError(f"losses.silhouette: {reason}: use nerf.rendering.surface:Surface")
        z, alpha = context.renderings[-1].extras["silhouette"], context.target.maps["alpha"]
        return self.weight * (jax.nn.softplus(z) - alpha * z)
