"""What a user might write in their own file; tests' configs name it tests.support.plugins:NAME."""

import dataclasses
import sys
import time

import jax.numpy as jnp
import numpy as np

from nerf.cameras.refinement import drift, move_cameras, without_drift
from nerf.scenes import toybox


@dataclasses.dataclass(frozen=True)
class Triangle:
    """An encoding: triangle waves instead of sines."""

    num_freqs: int

    @property
    def num_features(self) -> int:
        return 3 * self.num_freqs

    def __call__(self, x):
        angles = 2.0 ** jnp.arange(self.num_freqs)[:, None] * x[..., None, :]
        return (2.0 * jnp.abs(angles - jnp.floor(angles + 0.5))).reshape(
            *x.shape[:-1], self.num_features
        )


@dataclasses.dataclass(frozen=True)
class BadAfter:
    """A loss that is not a number."""

    limit: float

    def __call__(self, context):
        return jnp.sqrt(
            self.limit - 1.0 - jnp.square(context.renderings[-1].rgb - context.target.rgb).mean(-1)
        )


@dataclasses.dataclass(frozen=True)
class BadGradient:
    """A loss that is a number, whose gradient is none."""

    def __call__(self, context):
        return jnp.sqrt(0.0 * context.renderings[-1].rgb.mean(-1))


def endless_scene(root, split, size, views):
    """A scene that takes for ever to load."""
    print("loading", file=sys.stderr)
    while True:
        time.sleep(0.1)


def small_toybox(split):
    """A few small pictures of a smooth scene."""
    return toybox.load(None, split, sizes=(32,), views=16, held_out=2, cycles=2)


def toybox_with_wrong_poses(root, split, **_):
    """Its training cameras are each off by a degree or two; held-out ones are right."""
    scene = small_toybox(split)
    if split != "train":
        return scene
    twists = 0.03 * np.random.default_rng(0).normal(size=(len(scene), 6))
    twists = without_drift(
        jnp.asarray(twists), jnp.asarray(drift(scene.cameras.position.astype(np.float64)))
    )
    moved = move_cameras(scene.cameras, np.asarray(twists, np.float32))
    return dataclasses.replace(scene, cameras=moved)


GAINS = np.linspace(0.6, 1.0, 16)


def toybox_with_exposures(root, split, **_):
    """Its training pictures are as bright as `GAINS` says; held-out ones are as they are."""
    scene = small_toybox(split)
    if split != "train":
        return scene
    images = [image.copy() for image in scene.images]
    for image, gain in zip(images, GAINS, strict=True):
        image[..., :3] = np.rint(image[..., :3] * gain)
    return dataclasses.replace(scene, images=images)


def toybox_with_passers_by(root, split, **_):
    """A grey square somewhere in every second training picture, an eighth of their area in all."""
    scene = small_toybox(split)
    if split != "train":
        return scene
    images = [image.copy() for image in scene.images]
    for image, (row, column) in zip(
        images[::2], np.random.default_rng(0).integers(0, 16, (8, 2)), strict=True
    ):
        image[row : row + 16, column : column + 16] = (110, 110, 120, 255)
    return dataclasses.replace(scene, images=images)


def white_room(root, split, **_):
    """Opaque white pictures of a scene that goes on for ever, from the cameras of the toybox."""
    scene = small_toybox(split)
    white = [np.full((*image.shape[:2], 3), 255, np.uint8) for image in scene.images]
    return dataclasses.replace(scene, images=white, unbounded=True)
