"""CoordX: the first layers of the network process each coordinate alone (Liang et al., 2201.12425).

On a lattice of N^3 points, those layers are evaluated 3 N times instead of N^3 times. Samples along
rays do not form a lattice: for them a split network costs more than a plain one of the same depth.
"""

import dataclasses
import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from nerf.encodings import Encoding
from nerf.networks.layers import MLP, he_init, linear


def split_axes(features: Float[Array, "*b f"], num_dims: int) -> list[Float[Array, "*b g"]]:
    """Split features by axis; feature j belongs to axis j mod `num_dims`.

    `Fourier` and `Identity` order their features in this way.
    """
    return [features[..., axis::num_dims] for axis in range(num_dims)]


def is_separable(encoding: Encoding, num_dims: int) -> bool:
    """Return whether feature j depends on coordinate j mod `num_dims` alone.

    The test moves one coordinate of a point at a time.
    """
    if encoding.num_features % num_dims:
        return False
    with jax.ensure_compile_time_eval():
        point = np.linspace(-0.37, 0.59, num_dims, dtype=np.float32)[None]
        moved = point + np.float32(0.173) * np.eye(num_dims, dtype=np.float32)
        # Row k of `moved` has a different coordinate k.
        compare = jax.jit(lambda moved, point: encoding(moved) != encoding(point))
        changed = np.asarray(compare(moved, point))
    # `changed[k, j]` may be true only if feature j belongs to axis k.
    others = np.arange(num_dims)[:, None] != np.arange(changed.shape[1])[None] % num_dims
    return not changed[others].any()


class SplitNetwork(nnx.Module):
    """One branch per axis, followed by the layers after the fusion.

    The branches share all but their first layer. If they also shared the first, the network could
    not tell (x, y, z) from (y, x, z).

    Args:
      spec: the network's specification.
      num_in: number of input features; each axis has num_in / d of them.
      num_out: number of outputs.
      rngs: source of the initial parameters.
    """

    def __init__(self, spec: "CoordX", num_in: int, num_out: int, *, rngs: nnx.Rngs):
        self.num_dims, self.product, self.rank = spec.num_dims, spec.product, spec.rank
        self.width = spec.rank * spec.width  # of the last layer of a branch
        shared = [*[spec.width] * (spec.split - 1), self.width]
        own = num_in // spec.num_dims
        self.first = nnx.List(
            [linear(own, shared[0], he_init, layer=0, rngs=rngs) for _ in range(spec.num_dims)]
        )
        self.shared = MLP(shared, rngs=rngs) if spec.split > 1 else None
        self.tail = MLP([*[spec.width] * (spec.depth - spec.split + 1), num_out], rngs=rngs)

    def branch(self, axis: int, features: Float[Array, "*b g"]) -> Float[Array, "*b h"]:
        """Return the output of the branch of one axis, before the fusion."""
        h = self.first[axis](features)
        return h if self.shared is None else self.shared(jax.nn.relu(h))

    def fuse(self, branches: Sequence[Float[Array, "..."]]) -> Float[Array, "*b o"]:
        """Fuse the branches and return the network's outputs.

        The fusion is sum_r prod_k h_kr, or mean_k sum_r h_kr; ReLU and the remaining layers follow.
        Branches may have shapes that broadcast.
        """
        if self.product:
            fused = functools.reduce(jnp.multiply, branches)
            fused = fused.reshape(*fused.shape[:-1], self.rank, -1).sum(-2)
        else:
            # Sum over r first: on a lattice each branch is much smaller than their sum.
            narrow = (h.reshape(*h.shape[:-1], self.rank, -1).sum(-2) for h in branches)
            fused = functools.reduce(jnp.add, narrow) / self.num_dims
        return self.tail(jax.nn.relu(fused))

    def __call__(self, x: Float[Array, "*b i"]) -> Float[Array, "*b o"]:
        axes = split_axes(x, self.num_dims)
        return self.fuse([self.branch(k, features) for k, features in enumerate(axes)])

    def on_lattice(self, axes: Sequence[Float[Array, "..."]]) -> Float[Array, "..."]:
        """Return outputs (n_1, ..., n_d, num_out) at all points of a lattice.

        `axes` has the features (n_k, num_in / d) of the n_k coordinates along each axis k.
        """
        d = self.num_dims
        # Branch k has the shape (1, ..., n_k, ..., 1, width), so that the fusion broadcasts.
        branches = [
            self.branch(k, features).reshape(
                *[-1 if axis == k else 1 for axis in range(d)], self.width
            )
            for k, features in enumerate(axes)
        ]
        return self.fuse(branches)


@dataclasses.dataclass(frozen=True)
class CoordX:
    """Specification of a network whose first layers are split by axis.

    Equation:
      h_k = branch_k(x_k)   for each axis k
      y = tail(max(sum_r prod_k h_(k r), 0))   fusion by a product
      y = tail(max(1 / d sum_k sum_r h_(k r), 0))   fusion by the mean

    Attributes:
      width: width of the hidden layers.
      depth: number of hidden layers.
      split: number of layers before the fusion.
      rank: R, the factor by which the end of a branch is wider, summed over after the product.
      product: fuse by a product; otherwise by the mean over the axes, so that shared biases enter
        once.
      num_dims: d, the number of coordinates of a point.
    """

    width: int = 64
    depth: int = 4
    split: int = 2
    rank: int = 2
    product: bool = True
    num_dims: int = 3

    def incompatibility(self, encoding: Encoding, num_dims: int) -> str | None:
        """Return why the encoding cannot be used, or None if each feature has one axis."""
        if is_separable(encoding, num_dims):
            return None
        return (
            "a network split by axis needs features of one coordinate each: "
            "choose Fourier or Identity"
        )

    def __call__(self, num_in: int, num_out: int, *, rngs: nnx.Rngs) -> SplitNetwork:
        return SplitNetwork(self, num_in, num_out, rngs=rngs)
