"""Any field with single objects: SOLOv2's dynamic kernels on features in space (2003.10152)."""

from collections.abc import Callable
from typing import ClassVar

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from nerf.fields.with_head import WithHead
from nerf.networks import Network
from nerf.networks.relu import ReLU
from nerf.scenes.base import LabelClass
from nerf.scenes.palette import colour_of

HEAD = ReLU(width=64, depth=1)


class Instances(WithHead):
    """A field and, for each object, a kernel that makes its mask from features of the points.

    Equation:
      (k_j, b_j) = W c_j + w                    kernel of object j (2003.10152, section 3.2.1)
      s_j(x) = k_j . f(gamma(x)) + b_j          j = 1 ... K; s_0 = 0: no object
      S = sum_i w_i s(x_i) + T_n s_behind       of a ray
      M_j = sigmoid(S_j)                        its mask (2003.10152, equation 1)

    gamma is the encoding of the field. A kernel is linear, so S is also that of the composited
    features: the paper's kernels on a rendered feature map. SOLOv2 predicts features and kernels
    from one photo, a kernel for each cell of it. Here features are in space, which all views share,
    and the codes c_j are learned. This is not SOLOv2's detector of COCO's categories in any photo.

    Args:
      field: any field with an encoding; its quantities are kept.
      count: number of kernels K, at least that of the objects.
      features: length of f.
      code: length of the codes c_j.
      head: specification of the network f, see `nerf.networks`.
      rngs: source of the initial parameters.

    Raises:
      ConfigError: the field has no encoding.
    """

    quantity: ClassVar[str] = "objects"
    shown_as: ClassVar[str] = "instances"

    def __init__(
        self,
        field: Callable,
        count: int = 24,
        features: int = 16,
        code: int = 16,
        head: Network = HEAD,
        *,
        rngs: nnx.Rngs,
    ):
        names = ["no object", *(f"object {n}" for n in range(1, count + 1))]
        objects = [LabelClass(n, name, colour_of(n)) for n, name in enumerate(names)]
        super().__init__(field, head, features, objects, rngs=rngs)
        self.codes = nnx.Param(rngs.params.normal((count, code)))
        self.kernel_of = nnx.Linear(code, features + 1, precision="highest", rngs=rngs)

    @property
    def count(self) -> int:
        """Return the number of kernels K."""
        return self.codes.shape[0]

    def scores(self, outputs: Float[Array, "*b d"]) -> Float[Array, "*b k1"]:
        """Return s from features f, with s_0 first."""
        kernels = self.kernel_of(self.codes[...])
        products = jnp.matmul(outputs, kernels[:, :-1].T, precision="highest")
        scores = products + jnp.broadcast_to(kernels[:, -1], products.shape)
        return jnp.concatenate([jnp.zeros_like(scores[..., :1]), scores], -1)
