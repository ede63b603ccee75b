"""Any field with a class of each point: Semantic-NeRF's head (Zhi et al., 2103.15875)."""

from collections.abc import Callable, Sequence
from typing import ClassVar

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Int, UInt16

from nerf.fields.with_head import WithHead
from nerf.foundation.instantiate import ConfigError
from nerf.networks import Network
from nerf.networks.relu import ReLU
from nerf.scenes.base import LabelClass

HEAD = ReLU(width=64, depth=1)


class Labelled(WithHead):
    """A field and a head of class logits, which does not depend on the view direction.

    Equation:
      s(x) = head(gamma(x))   logits of the K classes
      S = sum_i w_i s(x_i) + T_n s_0   of a ray (2103.15875, equation 3)
      p = softmax(S)

    gamma is the encoding of the field. The head's own layers replace the paper's, which follow the
    trunk of the density, so that any field with an encoding can be labelled. s_0 are the logits of
    what lies behind the scene; the rooms of the paper have no rays without matter. 100 classes cost
    one sum of vectors more.

    Args:
      field: any field with an encoding; its quantities are kept.
      classes: the classes of the scene.
      head: specification of the head's network, see `nerf.networks`.
      rngs: source of the initial parameters.

    Raises:
      ConfigError: the scene has no classes.
    """

    quantity: ClassVar[str] = "logits"
    shown_as: ClassVar[str] = "labels"

    def __init__(
        self,
        field: Callable,
        classes: Sequence[LabelClass] = (),
        head: Network = HEAD,
        *,
        rngs: nnx.Rngs,
    ):
        if not classes:
            reason = "no label of the training views is known, and this field learns them"
            raise ConfigError(f"Labelled: {reason}: put a file for each image into SCENE/labels")
        super().__init__(field, head, len(classes), classes, rngs=rngs)

    def index_of(self, labels: UInt16[Array, "*b"]) -> Int[Array, "*b"]:
        """Return the index of the class of each pixel in the logits, -1 if it is unknown.

        Args:
          labels: 1 + the number of the class, 0 if unknown, as in the map "labels".
        """
        # The last entry is for all larger numbers.
        table = np.full(max(self.numbers) + 3, -1, np.int32)
        table[np.array(self.numbers) + 1] = np.arange(len(self.numbers))
        return jnp.asarray(table)[jnp.minimum(labels.astype(jnp.int32), len(table) - 1)]
