"""The training state, and the gradients of one batch, summed over all devices."""

from collections.abc import Callable, Mapping
from functools import partial

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jax.flatten_util import ravel_pytree
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import Array, Float, Int, Key, PyTree

from nerf.cameras.cameras import Rays
from nerf.foundation.pytrees import pytree
from nerf.losses import Context, Target
from nerf.rendering.model import Model, fold_in
from nerf.rendering.model_state import sample_weights_by_cell, split_model

FIRST_LOSS = 1_000  # folded into the keys of the first loss; stages fold in smaller numbers

# The result of `sample_weights_by_cell`: cells and weights, or None.
Seen = tuple[Array, Array] | None


@pytree
class TrainState:
    """Everything that training changes.

    Attributes:
      step: number of steps taken.
      params: the model's parameters, a dict of arrays.
      state: the model's other arrays, which get no gradient, such as occupancy grids.
      opt_state: the optimizer's state.
    """

    step: Int[Array, ""]
    params: PyTree
    state: PyTree
    opt_state: PyTree


def init_state(
    model: Model, optimizer: optax.GradientTransformation
) -> tuple[nnx.GraphDef, TrainState]:
    """Return the model's graph and the training state before the first step."""
    graph, params, state = split_model(model)
    return graph, TrainState(jnp.zeros((), jnp.int32), params, state, optimizer.init(params))


def make_gradients(graph: nnx.GraphDef, losses: Mapping[str, Callable], mesh: Mesh) -> Callable:
    """Build `gradients(params, state, *batch)` for one batch of rays.

    `batch` is (rays, target, background, keys), each with the batch as its leading axis. The
    function returns ((grads, mean_loss, error, count), seen): the gradient of the mean loss, the
    mean loss, the mean squared error of the colour, the number of rays that count, and the result
    of `sample_weights_by_cell` in `nerf.rendering.model_state`. Means are over the `complete` rays
    of all devices; `count` is their number.

    Args:
      graph: the model's graph, from `init_state`.
      losses: losses by name, see `nerf.losses`; they are summed.
      mesh: the batch is split over its axis "data"; params and state are replicated.

    Returns:
      `gradients`.
    """
    split, same = PartitionSpec("data"), PartitionSpec()
    loss = _make_loss(graph, losses, mesh)

    @partial(
        jax.shard_map,
        mesh=mesh,
        in_specs=(same, same, *[split] * 4),
        out_specs=(same, split),
        check_vma=False,
    )
    def gradients(
        params: PyTree, state: PyTree, *batch: PyTree
    ) -> tuple[tuple[PyTree, Array, Array, Array], Seen]:
        grads, (means, seen) = jax.grad(loss, has_aux=True)(params, state, *batch)
        # Shares add up to means, since each was divided by the number of rays on all devices.
        grads, means = _sum_over_devices((grads, means), mesh)
        return (grads, *means), seen

    return gradients


def _sum_over_devices(tree: PyTree, mesh: Mesh) -> PyTree:
    """Return the sums of all arrays over the devices, inside of a sharded function."""
    if mesh.size == 1:
        return tree  # A sum over one device would still copy every gradient.
    # One sum of all arrays instead of one per array, since each sum between processes waits for the
    # slowest.
    flat, unflatten = ravel_pytree(tree)
    return unflatten(jax.lax.psum(flat, "data"))


def _make_loss(graph: nnx.GraphDef, losses: Mapping[str, Callable], mesh: Mesh) -> Callable:
    """Build the loss of one device's rays; see `make_gradients` for the arguments."""

    def loss(
        params: PyTree,
        state: PyTree,
        rays: Rays,
        target: Target,
        background: Float[Array, "r 3"],
        keys: Key[Array, " r"],
    ) -> tuple[Float[Array, ""], tuple[Float[Array, "3"], Seen]]:
        """Return this device's share of the mean loss, and its share of the metrics."""
        model = nnx.merge(graph, params, state)
        renderings = model(rays, background, keys)
        # Rays that did not fit the sample buffer have wrong colours, so they do not count.
        complete = renderings[-1].complete
        count = jnp.maximum(_sum_over_devices(complete.sum(dtype=jnp.float32), mesh), 1.0)
        per_loss = []
        for i, one in enumerate(losses.values()):
            context = Context(model, rays, renderings, target, fold_in(keys, FIRST_LOSS + i))
            per_loss.append(jnp.where(complete, one(context), 0.0).sum())
        mean = sum(per_loss) / count
        colour = renderings[-1].rgb
        assert colour is not None  # checked by the model
        squares = jnp.square(colour - target.rgb).mean(-1)
        error = jnp.where(complete, squares, 0.0).sum() / count
        means = jnp.stack([jnp.asarray(mean), error, complete.sum(dtype=jnp.float32)])
        return mean, (means, sample_weights_by_cell(model, rays, renderings[-1]))

    return loss
