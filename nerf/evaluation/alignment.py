"""Test-time pose alignment, for scoring models with learned camera poses.

When the poses of the training images are learned, the field and these poses may drift together,
away from the held-out cameras. Then a sharp field scores worse than a blurred one. So each held-out
camera is moved too (as in BARF, 2104.06405, section 4.1): by the twist, six numbers, that minimises
the error of its rendering. The field is not changed.
"""

from collections.abc import Callable, Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jaxtyping import Array, Bool, Float, Key, PRNGKeyArray, PyTree

from nerf.cameras.cameras import Cameras, pixels_to_rays
from nerf.cameras.refinement import move_cameras, move_rays
from nerf.rendering.images import fetch
from nerf.rendering.model import Model

PROTOCOL = (
    "psnr after each held-out camera was moved by the twist that fits its own image best "
    "(100 steps of 1024 pixels)"
)
STEPS, PIXELS_PER_STEP, LEARNING_RATE = 100, 1024, 2e-3
Carry = tuple[Float[Array, "6"], PyTree]  # the twist and the optimizer's state
STEPS_PER_CALL = 2  # `should_stop` is polled after each call


def make_align(
    model: Model, background: Sequence[float], should_stop: Callable[[], bool] = lambda: False
) -> Callable[[Cameras, Float[np.ndarray, "h w 3"], Bool[np.ndarray, "h w"]], Cameras]:
    """Build `align(camera, truth, mask)`, which fits a camera to its image.

    `align` takes the held-out camera, its photo (h, w, 3) in [0, 1] and the mask (h, w) of the
    pixels to use, and returns the moved camera. It minimises the squared error of random pixels
    with Adam; the pixels are the same for every model. It raises RenderingStopped soon after
    `should_stop` returns True.

    Args:
      model: the trained model.
      background: sRGB behind transparent rays.
      should_stop: polled every few steps.

    Returns:
      `align`.
    """
    graph, state = nnx.split(model)
    colour = jnp.asarray(background, jnp.float32)

    def align(camera: Cameras, truth: np.ndarray, mask: np.ndarray) -> Cameras:
        # Draw all pixels at once: rows and columns (STEPS, PIXELS_PER_STEP, 2) inside the mask.
        usable = np.argwhere(mask)
        rng = np.random.default_rng(0)
        chosen = usable[rng.integers(len(usable), size=(STEPS, PIXELS_PER_STEP))]
        colours = truth[chosen[..., 0], chosen[..., 1]].astype(np.float32)
        # Pixel coordinates are (x, y) of pixel centres.
        pixels = chosen[..., ::-1].astype(np.float32) + 0.5
        keys = jax.random.split(jax.random.key(0), STEPS)
        carry = (jnp.zeros(6), _optimizer().init(jnp.zeros(6)))
        for first in range(0, STEPS, STEPS_PER_CALL):
            batches = jax.tree.map(
                lambda x: x[first : first + STEPS_PER_CALL],  # noqa: B023
                (pixels, colours, keys),
            )
            start = jax.tree.map(jnp.asarray, camera)
            carry = _descend(graph, state, colour, start, carry, batches)
            # Wait for the steps; raises RenderingStopped.
            fetch(carry, should_stop)
        return move_cameras(camera, np.asarray(carry[0]))

    return align


def _optimizer() -> optax.GradientTransformation:
    """Return Adam with a cosine schedule."""
    return optax.adam(optax.cosine_decay_schedule(LEARNING_RATE, STEPS, 0.05))


@partial(jax.jit, static_argnums=0)
def _descend(
    graph: nnx.GraphDef,
    state: PyTree,
    colour: Float[Array, "3"],
    camera: Cameras,
    carry: Carry,
    batches: tuple[Float[Array, "k n 2"], Float[Array, "k n 3"], Key[Array, " k"]],
) -> Carry:
    """Take one optimizer step per batch of pixels, colours and keys."""
    model: Model = nnx.merge(graph, state)
    count = batches[0].shape[1]
    cameras = jax.tree.map(lambda x: jnp.broadcast_to(x, (count, *x.shape)), camera)
    background = jnp.broadcast_to(colour, (count, 3))
    optimizer = _optimizer()

    def loss(
        twist: Float[Array, "6"],
        pixels: Float[Array, "n 2"],
        target: Float[Array, "n 3"],
        key: PRNGKeyArray,
    ) -> Float[Array, ""]:
        rays = move_rays(pixels_to_rays(cameras, pixels), jnp.broadcast_to(twist, (count, 6)))
        seen = model(rays, background, jax.random.split(key, count))[-1]
        assert seen.rgb is not None  # of the last stage
        # Rays that did not fit the sample buffer do not count.
        error = jnp.where(seen.complete, jnp.square(seen.rgb - target).mean(-1), 0.0)
        return error.sum() / jnp.maximum(seen.complete.sum(), 1)

    def step(carry: Carry, batch: tuple[Array, Array, Array]) -> tuple[Carry, None]:
        twist, opt_state = carry
        updates, opt_state = optimizer.update(jax.grad(loss)(twist, *batch), opt_state, twist)
        return (twist + updates, opt_state), None

    return jax.lax.scan(step, carry, batches)[0]
