"""A field with one more network, which reads its encoding: the base of labels and of objects."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from nerf.encodings.cones import Points
from nerf.fields import Samples
from nerf.foundation.instantiate import ConfigError
from nerf.networks import Network, connect
from nerf.scenes.base import LabelClass


class WithHead(nnx.Module):
    """A field, a score of each of some classes that all views share, and what is behind the scene.

    Equation:
      s(x) = scores(head(gamma(x)))
      S = sum_i w_i s(x_i) + T_n scores(h_0)   of a ray

    gamma is the encoding of the field, and `scores` is the identity unless a subclass defines it.
    h_0 is learned: it is all that a ray without matter shows.

    Args:
      field: any field with an encoding; its quantities are kept.
      head: specification of the head's network, see `nerf.networks`.
      num_out: number of outputs of the head.
      classes: the classes, one for each score.
      rngs: source of the initial parameters.

    Raises:
      ConfigError: the field has no encoding.

    Attributes:
      quantity: name of the scores among the quantities of the field.
      shown_as: name of the map of the class with the largest score, in images and in scenes.
    """

    quantity: ClassVar[str]
    shown_as: ClassVar[str]

    def __init__(
        self,
        field: Callable,
        head: Network,
        num_out: int,
        classes: Sequence[LabelClass],
        *,
        rngs: nnx.Rngs,
    ):
        if not hasattr(field, "encoding"):
            reason = f"{type(field).__name__} has no encoding, which the head reads"
            raise ConfigError(f"{type(self).__name__}: {reason}: choose another field")
        self.field: Any = field
        self.classes = tuple(classes)
        self.head = connect(self.field.encoding, head, num_out, 3, rngs=rngs)
        self.behind = nnx.Param(jnp.zeros(num_out))

    @property
    def numbers(self) -> tuple[int, ...]:
        """Return the number of each class in the maps."""
        return tuple(each.number for each in self.classes)

    @property
    def encoding(self) -> Any:
        """Return the encoding of the field."""
        return self.field.encoding

    @property
    def code_features(self) -> int:
        """Return the length of the codes that the field reads."""
        return getattr(self.field, "code_features", 0)

    def __call__(self, samples: Samples) -> dict[str, Array]:
        return {**self.field(samples), self.quantity: self.of_points(samples.points)}

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

    def picture(
        self, composited: Mapping[str, Array], opacity: Float[Array, "*b"]
    ) -> dict[str, Array]:
        """Return what an image shows of the composited quantities: a map instead of the scores.

        It has 1 + the number of the class with the largest score.

        Args:
          composited: quantities of a rendering by name.
          opacity: the sum of the weights.
        """
        shown = {name: x for name, x in composited.items() if name != self.quantity}
        best = jnp.argmax(self.of_ray(composited[self.quantity], opacity), -1)
        return {**shown, self.shown_as: jnp.asarray(np.array(self.numbers, np.uint16) + 1)[best]}
