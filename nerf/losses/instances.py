"""Supervision of single objects by maps whose numbers may differ from view to view."""

import dataclasses
from functools import partial
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int, Integer

from nerf.foundation.instantiate import ConfigError
from nerf.losses import Context
from nerf.losses.labels import composite_detached
from nerf.rendering.model import last_field

LARGEST = 2**16  # numbers of maps are below it


class Numbered(NamedTuple):
    """Rays by view and object, of one batch.

    Attributes:
      view: number of the ray's view among those of the batch, (b).
      rank: rank of the number of the ray's object among those of its view, (b); any for others.
      on_object: whether the ray shows an object, (b).
      known: whether it is known which object the ray shows, if any, (b).
    """

    view: Int[Array, " b"]
    rank: Int[Array, " b"]
    on_object: Bool[Array, " b"]
    known: Bool[Array, " b"]


@dataclasses.dataclass(frozen=True)
class InstanceError:
    """Cross-entropy and Dice loss of masks, for the best assignment of kernels to objects.

    Equation:
      D_ij = 2 sum_r q_ri M_rj / (sum_r q_ri^2 + sum_r M_rj^2)   2003.10152, equation 4
      pi = argmax sum_i D_i,pi(i)         for each view, by the Hungarian algorithm (Kuhn 1955)
      L_r = weight (sum_j BCE(M_rj, q_r,pi^-1(j)) + mean_i (1 - D_i,pi(i)))

    M_rj is the mask of kernel j in ray r, and q_ri is 1 if r shows object i of its view, otherwise
    0. Numbers need not agree between views, because each has its own assignment; that an object has
    one kernel in all of them follows from its place in space. Masks do not move matter.

    Attributes:
      weight: factor on the loss.
      views_per_step: number of views that the rays of a step come from. In a batch of all views,
        small objects have too few rays in each view to be told apart.
    """

    weight: float = 0.02
    views_per_step: int = 8

    needs: ClassVar[tuple[str, ...]] = ("instances",)

    def __call__(self, context: Context) -> Float[Array, "*b"]:
        """Compute the loss of each ray.

        Args:
          context: its target has the map "instances": 1 + the number of the object, 1 where there
            is none, and 0 if unknown. The last field is `nerf.fields.instances:Instances`.

        Returns:
          The weighted loss, (*b).
        """
        field = last_field(context.model)
        if not hasattr(field, "kernel_of"):
            fix = "use nerf.fields.instances:Instances, or a config without this loss"
            raise ConfigError(f"losses: InstanceError: {type(field).__name__} has no masks: {fix}")
        scores = field.of_ray(*composite_detached(context.renderings[-1], "objects"))[..., 1:]
        masks = jax.nn.sigmoid(scores)
        views, count = self.views_per_step, field.count
        rays = number_rays(context.rays.image, context.target.maps["instances"], views, count)
        dice, there = overlaps(masks, rays, views)
        pairs = assign(jnp.where(there[..., None], dice, 0.0))
        kernel = jnp.where(rays.on_object, pairs[rays.view, rays.rank], -1)
        truth = jax.nn.one_hot(kernel, count)
        entropy = optax.sigmoid_binary_cross_entropy(scores, truth).sum(-1)
        missed = 1.0 - jnp.take_along_axis(dice, pairs[..., None], -1)[..., 0]
        of_view = jnp.where(there, missed, 0.0).sum(-1) / jnp.maximum(there.sum(-1), 1)
        return jnp.where(rays.known, self.weight * (entropy + of_view[rays.view]), 0.0)


def number_rays(
    image: Int[Array, " b"], marks: Integer[Array, " b"], views: int, count: int
) -> Numbered:
    """Give numbers to the views of a batch, and to the objects of each view.

    Args:
      image: number of the view of each ray.
      marks: 1 + the number of the ray's object, 1 for none, 0 if unknown.
      views: largest number of views of the batch.
      count: largest number of objects of a view; further objects are unknown.
    """
    _, view = jnp.unique(image, size=views, return_inverse=True)
    marks = marks.astype(jnp.int32)
    keys = jnp.where(marks > 1, view * LARGEST + marks, -1)
    # All keys of a view are in a row, so that a rank is a difference of positions.
    found, place = jnp.unique(keys, size=len(keys), fill_value=2**30, return_inverse=True)
    rank = place - jnp.searchsorted(found, view * LARGEST)
    # Rays of further views than there may be are unknown.
    counted = view < views
    on_object = counted & (marks > 1) & (rank < count)
    known = counted & ((marks == 1) | on_object)
    return Numbered(jnp.minimum(view, views - 1), jnp.clip(rank, 0, count - 1), on_object, known)


def overlaps(
    masks: Float[Array, "b k"], rays: Numbered, views: int
) -> tuple[Float[Array, "v k k"], Bool[Array, "v k"]]:
    """Return D of each view, object and kernel, and which objects there are.

    Args:
      masks: M of each ray and kernel.
      rays: as many objects of a view as there are kernels, at most.
      views: number of views v.
    """
    count = masks.shape[-1]
    product = partial(jnp.einsum, precision="highest")
    of_view = jax.nn.one_hot(jnp.where(rays.known, rays.view, -1), views)
    of_object = jax.nn.one_hot(jnp.where(rays.on_object, rays.rank, -1), count)
    shown = product("rv,ri,rj->vij", of_view, of_object, masks)
    sizes = product("rv,ri->vi", of_view, of_object)
    squares = product("rv,rj->vj", of_view, masks**2)
    both = sizes[:, :, None] + squares[:, None, :]
    return 2.0 * shown / jnp.maximum(both, 1e-6), sizes > 0


def assign(gains: Float[Array, "v k k"]) -> Int[Array, "v k"]:
    """Return the kernel of each object, so that the sum of the gains of a view is largest."""

    def one(gain: Float[Array, "k k"]) -> Int[Array, " k"]:
        rows, columns = optax.assignment.hungarian_algorithm(-gain)
        return jnp.zeros(len(gain), columns.dtype).at[rows].set(columns)

    return jax.vmap(one)(jax.lax.stop_gradient(gains))
