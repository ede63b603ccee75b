"""A field with one more network, which reads its encoding: the base of labels and of objects."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from nerf.encodings.cones import Points
from nerf.foundation.instantiate import ConfigError
from nerf.networks import Network, connect


class WithHead(nnx.Module):
    """A field, a head that does not depend on the view direction, and what lies behind the scene.

    Equation:
      s(x) = scores(head(gamma(x)))
      S = sum_i w_i s(x_i) + T_n scores(h_0)   of a ray

    gamma is the encoding of the field, and `scores` is the identity unless a subclass defines it.
    h_0 is learned: it is all that a ray without matter shows.

    Args:
      field: any field with an encoding; its quantities are kept.
      head: specification of the head's network, see `nerf.networks`.
      num_out: number of outputs of the head.
      rngs: source of the initial parameters.

    Raises:
      ConfigError: the field has no encoding.
    """

    def __init__(self, field: Callable, head: Network, num_out: int, *, rngs: nnx.Rngs):
        if not hasattr(field, "encoding"):
            reason = f"{type(field).__name__} has no encoding, which the head reads"
            raise ConfigError(f"{type(self).__name__}: {reason}: choose another field")
        self.field: Any = field
        self.head = connect(self.field.encoding, head, num_out, 3, rngs=rngs)
        self.behind = nnx.Param(jnp.zeros(num_out))

    @property
    def encoding(self) -> Any:
        """Return the encoding of the field."""
        return self.field.encoding

    @property
    def code_features(self) -> int:
        """Return the length of the codes that the field reads."""
        return getattr(self.field, "code_features", 0)

    def scores(self, outputs: Float[Array, "*b d"]) -> Float[Array, "*b k"]:
        """Return s from the outputs of the head."""
        return outputs

    def of_points(self, points: Points) -> Float[Array, "*b k"]:
        """Return s at points in the box, or at Gaussians."""
        return self.scores(self.head(self.field.encoding(points)))

    def of_ray(
        self, composited: Float[Array, "*b k"], opacity: Float[Array, "*b"]
    ) -> Float[Array, "*b k"]:
        """Return S of each ray.

        Args:
          composited: sum_i w_i s(x_i).
          opacity: 1 - T_n, the sum of the weights.
        """
        behind = self.scores(self.behind[...])
        return composited + (1.0 - opacity[..., None]) * jnp.broadcast_to(behind, composited.shape)
