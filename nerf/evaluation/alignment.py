"""Moving a camera until a trained field shows its picture: for scoring models that learned where theirs stood.

Where the poses of the training images are learned, the field and they may drift together, away from the held-out
cameras, and a sharp field scores worse than a blurred one. So each held-out camera is moved too (as in BARF,
2104.06405, section 4.1), by the twist, six numbers, that brings its picture nearest; the field stays as it is.
"""

from collections.abc import Callable, Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jaxtyping import Bool, Float

from nerf.cameras.cameras import Cameras, pixels_to_rays
from nerf.cameras.refinement import move_cameras, move_rays
from nerf.rendering.images import fetch
from nerf.rendering.model import Model

PROTOCOL = "psnr after each held-out camera was moved by a twist that its own picture chose (100 steps of 1024 pixels)"
STEPS, PIXELS, RATE = 100, 1024, 2e-3
STEPS_PER_CALL = 2  # between which a stop is asked for


def make_align(
    model: Model, background: Sequence[float], should_stop: Callable[[], bool] = lambda: False
) -> Callable[[Cameras, Float[np.ndarray, "h w 3"], Bool[np.ndarray, "h w"]], Cameras]:
    """Make a function (camera, picture, where to look) -> the camera, moved to where the model shows that picture best.

    It takes Adam's steps on the squared error of random pixels, the same ones for every model, and raises
    RenderingStopped soon after `should_stop` is true.
    """
    graph, state = nnx.split(model)
    colour = jnp.asarray(background, jnp.float32)

    def align(camera: Cameras, truth: np.ndarray, mask: np.ndarray) -> Cameras:
        usable = np.argwhere(mask)
        chosen = usable[np.random.default_rng(0).integers(len(usable), size=(STEPS, PIXELS))]
        colours = truth[chosen[..., 0], chosen[..., 1]].astype(np.float32)
        where = chosen[..., ::-1].astype(np.float32) + 0.5
        keys = jax.random.split(jax.random.key(0), STEPS)
        carry = (jnp.zeros(6), _optimizer().init(jnp.zeros(6)))
        for first in range(0, STEPS, STEPS_PER_CALL):
            batches = jax.tree.map(
                lambda x: x[first : first + STEPS_PER_CALL], (where, colours, keys)
            )  # noqa: B023
            carry = _descend(
                graph, state, colour, jax.tree.map(jnp.asarray, camera), carry, batches
            )
            fetch(carry, should_stop)
        return move_cameras(camera, np.asarray(carry[0]))

    return align


def _optimizer() -> optax.GradientTransformation:
    return optax.adam(optax.cosine_decay_schedule(RATE, STEPS, 0.05))


@partial(jax.jit, static_argnums=0)
def _descend(graph: nnx.GraphDef, state, colour, camera: Cameras, carry, batches):
    """Take a step for each batch of pixels; the carry is the twist and the optimizer's state."""
    model: Model = nnx.merge(graph, state)
    count = batches[0].shape[1]
    cameras = jax.tree.map(lambda x: jnp.broadcast_to(x, (count, *x.shape)), camera)
    background = jnp.broadcast_to(colour, (count, 3))
    optimizer = _optimizer()

    def loss(twist, pixels, target, key):
        rays = move_rays(pixels_to_rays(cameras, pixels), jnp.broadcast_to(twist, (count, 6)))
        seen = model(rays, background, jax.random.split(key, count))[-1]
        error = jnp.where(seen.complete, jnp.square(seen.rgb - target).mean(-1), 0.0)
        return error.sum() / jnp.maximum(seen.complete.sum(), 1)

    def step(carry, batch):
        twist, opt_state = carry
        updates, opt_state = optimizer.update(jax.grad(loss)(twist, *batch), opt_state, twist)
        return (twist + updates, opt_state), None

    return jax.lax.scan(step, carry, batches)[0]
