"""Only the matter of some classes: the rest of a labelled scene is empty (2103.15875)."""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float

from nerf.fields import Samples
from nerf.geometry import Geometry, Quantities, WithSheets, WithSurface

FAR = 2.0  # unsigned distance in the box where a sheet is hidden


class Selected(nnx.Module):
    """A geometry that is empty where the most likely class is not one of those chosen.

    Equation:
      tau_i = [argmax_k s_k(x_i) in chosen] tau_i

    Args:
      geometry: the geometry of all classes.
      chosen: indices of classes in the scores s.
      scores: name of the quantity s, "logits" of classes or "objects".
    """

    def __init__(self, geometry: Geometry, chosen: Sequence[int], scores: str = "logits"):
        self.geometry: Any = geometry
        self.chosen, self.scores = tuple(chosen), scores

    @property
    def reads(self) -> tuple[str, ...]:
        """Return the names of the quantities that it needs."""
        return (*self.geometry.reads, self.scores)

    @property
    def hidden(self) -> tuple[str, ...]:
        """Return the names of the quantities that are not composited."""
        return self.geometry.hidden

    def shown(self, quantities: Quantities) -> Bool[Array, "*b"]:
        """Return where the class is one of those chosen."""
        scores = quantities[self.scores]
        is_chosen = jnp.zeros(scores.shape[-1], bool).at[jnp.array(self.chosen, int)].set(True)
        return is_chosen[jnp.argmax(scores, -1)]

    def __call__(self, quantities: Quantities, samples: Samples) -> Float[Array, "*b"]:
        """Compute the optical depths of intervals, 0 for other classes."""
        return jnp.where(self.shown(quantities), self.geometry(quantities, samples), 0.0)

    def density(self, quantities: Quantities) -> Float[Array, "*b"]:
        """Return the optical depth per unit of length in the box, 0 for other classes."""
        return jnp.where(self.shown(quantities), self.geometry.density(quantities), 0.0)


class SelectedSurface(Selected):
    """The same for a geometry with a level, which is negative for other classes."""

    def level(self, quantities: Quantities) -> Float[Array, "*b"]:
        """Return what is positive inside of the chosen classes."""
        assert isinstance(self.geometry, WithSurface)
        level = self.geometry.level(quantities)
        return jnp.where(self.shown(quantities), level, -jnp.abs(level))


class SelectedSheets(Selected):
    """The same for a geometry with an unsigned distance, which is large for other classes."""

    def distance(self, quantities: Quantities) -> Float[Array, "*b"]:
        """Return the distance to the nearest surface where its class is chosen."""
        assert isinstance(self.geometry, WithSheets)
        return jnp.where(self.shown(quantities), self.geometry.distance(quantities), FAR)


def select(geometry: Geometry, chosen: Sequence[int], scores: str = "logits") -> Selected:
    """Return a geometry that is empty outside of the chosen classes.

    Args:
      geometry: the geometry of all classes.
      chosen: indices of classes in the scores.
      scores: name of the field's quantity with a score of each class.
    """
    if isinstance(geometry, WithSheets):
        return SelectedSheets(geometry, chosen, scores)
    kind = SelectedSurface if isinstance(geometry, WithSurface) else Selected
    return kind(geometry, chosen, scores)
