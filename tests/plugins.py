"""What a user might write in a file of their own; tests name it in configs, as tests.plugins:NAME."""

import dataclasses
import sys
import time

import jax.numpy as jnp


@dataclasses.dataclass(frozen=True)
class Triangle:
    """An encoding: triangle waves instead of sines."""

    num_freqs: int

    @property
    def num_features(self) -> int:
        return 3 * self.num_freqs

    def __call__(self, x):
        angles = 2.0 ** jnp.arange(self.num_freqs)[:, None] * x[..., None, :]
        return (2.0 * jnp.abs(angles - jnp.floor(angles + 0.5))).reshape(*x.shape[:-1], self.num_features)


@dataclasses.dataclass(frozen=True)
class BadAfter:
    """A loss that is not a number."""

    limit: float

    def __call__(self, renderings, target):
        return jnp.sqrt(self.limit - 1.0 - jnp.square(renderings[-1].rgb - target.rgb).mean(-1))


@dataclasses.dataclass(frozen=True)
class BadGradient:
    """A loss that is a number, whose gradient is none."""

    def __call__(self, renderings, target):
        return jnp.sqrt(0.0 * renderings[-1].rgb.mean(-1))


def endless_scene(root, split, size, views):
    """A scene that takes for ever to load."""
    print("loading", file=sys.stderr)
    while True:
        time.sleep(0.1)
