"""Losses: one number per ray.

A loss is a callable `loss(context) -> (*b)`. It takes what it needs from the `Context`, which also
has the model, for regularisers that evaluate the field elsewhere. Training averages each loss over
the rays that are `complete`, and adds them up. A loss that cannot do without some of the target's
maps names them in its attribute `needs`; scenes without them are refused before training.
One that compares rays of one view with each other says in `views_per_step` how many views the rays
of a step may come from, so that each has many.
"""

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

from jaxtyping import Array, Float, Key

from nerf.cameras.cameras import Rays
from nerf.foundation.pytrees import pytree
from nerf.rendering.compositing import Rendering
from nerf.rendering.model import Model


@pytree
class Target:
    """Supervision of each ray.

    Attributes:
      rgb: true sRGB over the background, (*b, 3).
      maps: the scene's other maps by name, (*b) or (*b, c), 0 where nothing is known. "depth" is
        the true distance along the ray in world units, and "alpha" that of an image with alpha.
    """

    rgb: Float[Array, "*b 3"]
    maps: dict[str, Array] = dataclasses.field(default_factory=dict)


class Context(NamedTuple):
    """Everything that a loss may use.

    Attributes:
      model: the model with its present parameters.
      rays: the rays of the batch, (*b), before learned corrections of their poses.
      renderings: one per stage; all have their intervals.
      target: the supervision of each ray.
      keys: one random key per ray, (*b), different for each loss.
    """

    model: Model
    rays: Rays
    renderings: Sequence[Rendering]
    target: Target
    keys: Key[Array, "*b"]
