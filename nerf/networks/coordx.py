"""CoordX, a network whose first layers see one coordinate each (Liang et al., 2201.12425).

On a lattice of N^3 points those layers are evaluated 3 N times, not N^3. Samples along rays are no lattice: there a
split network costs more than a plain one of the same depth.
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
    """The features of each axis, where feature j is one of axis j mod `num_dims`, as Fourier's and the identity's."""
    return [features[..., axis::num_dims] for axis in range(num_dims)]


def is_separable(encoding: Encoding, num_dims: int) -> bool:
    """Whether feature j depends on coordinate j mod `num_dims` alone, by moving one coordinate at a time."""
    if encoding.num_features % num_dims:
        return False
    with jax.ensure_compile_time_eval():
        point = jnp.linspace(-0.37, 0.59, num_dims)
        moved = point[None] + 0.173 * jnp.eye(num_dims)  # the k-th one's coordinate k has moved
        changed = np.asarray(jax.jit(lambda: encoding(moved) != encoding(point[None]))())
    return not changed[
        np.arange(num_dims)[:, None] != np.arange(changed.shape[1])[None] % num_dims
    ].any()


class SplitNetwork(nnx.Module):
    """A branch for each axis, of which all but the first layer is shared, and the layers after the fusion.

    With the first layer shared too, the network could not tell (x, y, z) from (y, x, z).
    """

    def __init__(self, spec: "CoordX", num_in: int, num_out: int, *, rngs: nnx.Rngs):
        self.num_dims, self.product, self.rank = spec.num_dims, spec.product, spec.rank
        self.width = spec.rank * spec.width  # where a branch ends
        shared = [*[spec.width] * (spec.split - 1), self.width]
        own = num_in // spec.num_dims
        self.first = nnx.List(
            [linear(own, shared[0], he_init, layer=0, rngs=rngs) for _ in range(spec.num_dims)]
        )
        self.shared = MLP(shared, rngs=rngs) if spec.split > 1 else None
        self.tail = MLP([*[spec.width] * (spec.depth - spec.split + 1), num_out], rngs=rngs)

    def branch(self, axis: int, features: Float[Array, "*b g"]) -> Float[Array, "*b h"]:
        """What becomes of the features of one axis before the fusion."""
        h = self.first[axis](features)
        return h if self.shared is None else self.shared(jax.nn.relu(h))

    def fuse(self, branches: Sequence[Float[Array, "..."]]) -> Float[Array, "*b o"]:
        """sum_r prod_k h_kr, or sum_k h_k, then ReLU and the layers after it; branches may broadcast."""
        if self.product:
            fused = functools.reduce(jnp.multiply, branches)
            fused = fused.reshape(*fused.shape[:-1], self.rank, -1).sum(-2)
        else:  # a sum of groups of a sum is a sum of each branch's groups, and those are fewer
            narrow = (h.reshape(*h.shape[:-1], self.rank, -1).sum(-2) for h in branches)
            fused = functools.reduce(jnp.add, narrow) / self.num_dims
        return self.tail(jax.nn.relu(fused))

    def __call__(self, x: Float[Array, "*b i"]) -> Float[Array, "*b o"]:
        return self.fuse(
            [self.branch(k, features) for k, features in enumerate(split_axes(x, self.num_dims))]
        )

    def on_lattice(self, axes: Sequence[Float[Array, "..."]]) -> Float[Array, "..."]:
        """Outputs (n_1, ..., n_d, num_out) for features (n_k, num_in / d) of the places along each axis."""
        d = self.num_dims
        branches = [
            self.branch(k, features).reshape(
                *[-1 if axis == k else 1 for axis in range(d)], self.width
            )
            for k, features in enumerate(axes)
        ]
        return self.fuse(branches)


@dataclasses.dataclass(frozen=True)
class CoordX:
    """Layers of which the first ones are split by axis: h_k = branch_k(x_k), fused to h = f(sum_r prod_k h_kr).

    Attributes:
      width, depth: of the hidden layers, and their number.
      split: layers before the fusion.
      rank: R, how many times wider a branch ends, to be summed over after the product.
      product: fuse by a product; else by the mean over the axes, so that shared biases enter once.
      num_dims: of a point.
    """

    width: int = 64
    depth: int = 4
    split: int = 2
    rank: int = 2
    product: bool = True
    num_dims: int = 3

    def objection(self, encoding: Encoding, num_dims: int) -> str | None:
        """Unless every feature belongs to one axis."""
        if is_separable(encoding, num_dims):
            return None
        return "a network split by axis needs features of one coordinate each: choose Fourier or Identity"

    def __call__(self, num_in: int, num_out: int, *, rngs: nnx.Rngs) -> SplitNetwork:
        return SplitNetwork(self, num_in, num_out, rngs=rngs)
