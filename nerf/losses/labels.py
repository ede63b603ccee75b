"""Supervision of rendered classes by label maps."""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from nerf.foundation.instantiate import ConfigError
from nerf.losses import Context
from nerf.rendering.compositing import Rendering
from nerf.rendering.model import last_field


@dataclasses.dataclass(frozen=True)
class LabelError:
    """Cross-entropy of the rendered class (Semantic-NeRF, 2103.15875, equation 5).

    Equation:
      L = -lambda log softmax(S)_y   y: the pixel's class; 0 if it is unknown

    S are the logits of `nerf.fields.labelled`, of the last stage.

    Attributes:
      weight: lambda, factor on the loss; the paper's is 0.04.
      moves_matter: whether the loss also changes the weights w_i with which the logits are summed,
        as in the paper. Otherwise they are what the photos say, and labels change the
        shape only through the encoding, which the head of the classes shares: classes are more
        certain if matter is where they agree, which costs the colours some of their quality.
    """

    weight: float = 0.04
    moves_matter: bool = True

    needs: ClassVar[tuple[str, ...]] = ("labels",)

    def __call__(self, context: Context) -> Float[Array, "*b"]:
        """Compute the loss of each ray.

        Args:
          context: its target has the map "labels", and the last field is `Labelled`.

        Returns:
          The weighted loss, (*b).
        """
        field = last_field(context.model)
        if not hasattr(field, "index_of"):
            fix = "use nerf.fields.labelled:Labelled, or a config without this loss"
            raise ConfigError(f"losses: LabelError: {type(field).__name__} has no classes: {fix}")
        rendering = context.renderings[-1]
        composited, opacity = (
            (rendering.extras["logits"], rendering.opacity)
            if self.moves_matter
            else composite_detached(rendering, "logits")
        )
        logs = jax.nn.log_softmax(field.of_ray(composited, opacity))
        label = field.index_of(context.target.maps["labels"])
        error = -jnp.take_along_axis(logs, jnp.maximum(label, 0)[..., None], -1)[..., 0]
        return jnp.where(label >= 0, self.weight * error, 0.0)


def composite_detached(
    rendering: Rendering, name: str
) -> tuple[Float[Array, "*b k"], Float[Array, "*b"]]:
    """Composite a quantity without moving matter.

    Args:
      rendering: of training, with its intervals.
      name: of the quantity.

    Returns:
      sum_i w_i s_i of each ray and the opacity, whose gradients do not reach the weights w_i.
    """
    intervals = rendering.intervals
    assert intervals is not None, "training renders with intervals"
    weights = jax.lax.stop_gradient(intervals.weights)
    (sums,) = intervals.layout.weighted_sums(weights, [intervals.quantities[name]])
    return sums, jax.lax.stop_gradient(rendering.opacity)
