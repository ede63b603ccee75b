"""What training changes, and the gradients of one batch, summed over all devices."""

from collections.abc import Callable, Mapping
from functools import partial

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jax.flatten_util import ravel_pytree
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import Array, Int, PyTree

from nerf.foundation.pytrees import pytree
from nerf.rendering.model import Model, sample_weights_by_cell, split_model


@pytree
class TrainState:
    """All that training changes. `state` is what no gradient reaches, as occupancy grids."""

    step: Int[Array, ""]
    params: PyTree
    state: PyTree
    opt_state: PyTree


def init_state(model: Model, optimizer: optax.GradientTransformation) -> tuple[nnx.GraphDef, TrainState]:
    """The static half of a model, and all that training changes before the first step."""
    graph, params, state = split_model(model)
    return graph, TrainState(jnp.zeros((), jnp.int32), params, state, optimizer.init(params))


def make_gradients(graph: nnx.GraphDef, losses: Mapping[str, Callable], mesh: Mesh) -> Callable:
    """A function (params, state, *batch) -> (gradient of the mean loss, the loss, mean squared error, rays), sample_weights_by_cell.

    Means are over the rays of all devices that were rendered whole, `rays` their number; see
    `nerf.rendering.model.sample_weights_by_cell`.
    """
    split, same = PartitionSpec("data"), PartitionSpec()

    def all_sum(tree):
        if mesh.size == 1:
            return tree  # a sum over one device would still copy every gradient
        # One sum of all, not one for each array: between processes each waits for the slowest.
        flat, unflatten = ravel_pytree(tree)
        return unflatten(jax.lax.psum(flat, "data"))

    def loss(params, state, rays, target, background, keys):
        model = nnx.merge(graph, params, state)
        renderings = model(rays, background, keys)
        whole = renderings[-1].complete
        count = jnp.maximum(all_sum(whole.sum(dtype=jnp.float32)), 1.0)
        mean = sum(jnp.where(whole, one(renderings, target), 0.0).sum() for one in losses.values()) / count
        error = jnp.where(whole, jnp.square(renderings[-1].rgb - target.rgb).mean(-1), 0.0).sum() / count
        means = jnp.stack([jnp.asarray(mean), error, whole.sum(dtype=jnp.float32)])
        return mean, (means, sample_weights_by_cell(model, rays, renderings[-1]))

    @partial(jax.shard_map, mesh=mesh, in_specs=(same, same, *[split] * 4), out_specs=(same, split), check_vma=False)
    def gradients(params, state, *batch):
        grads, (means, seen) = jax.grad(loss, has_aux=True)(params, state, *batch)
        grads, means = all_sum((grads, means))
        return (grads, *means), seen

    return gradients
