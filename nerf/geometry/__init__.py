"""Geometry: from the quantities of a field to the optical depth of intervals, one kind per file."""

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

from jaxtyping import Array, Float

from nerf.fields import Samples

Quantities = Mapping[str, Array]


@runtime_checkable
class Geometry(Protocol):
    """Decide how opaque an interval is; a geometry with parameters is an `nnx.Module`.

    A geometry returns optical depth tau and not the opacity 1 - exp(-tau), so that nothing is lost
    to rounding where an interval is nearly opaque.
    """

    @property
    def reads(self) -> tuple[str, ...]:
        """Names of the quantities that it needs."""

    @property
    def hidden(self) -> tuple[str, ...]:
        """Names of the quantities that are not composited."""

    def __call__(self, quantities: Quantities, samples: Samples) -> Float[Array, "*b"]:
        """Compute the optical depths of intervals.

        Args:
          quantities: the field's outputs by name, (*b) or (*b, c).
          samples: where they were evaluated, with the lengths and steps of the intervals.

        Returns:
          Optical depths >= 0, (*b).
        """

    def density(self, quantities: Quantities) -> Float[Array, "*b"]:
        """Return the optical depth per unit of length in the box, for occupancy grids.

        It is an upper bound over the directions of rays through the point.
        """


@runtime_checkable
class WithSurface(Geometry, Protocol):
    """A geometry with a surface: the zeros of its level."""

    def level(self, quantities: Quantities) -> Float[Array, "*b"]:
        """Return what is positive inside, negative outside and zero on the surface, (*b)."""


@runtime_checkable
class WithSheets(Geometry, Protocol):
    """A geometry with surfaces that need no inside: the zeros of its unsigned distance."""

    def distance(self, quantities: Quantities) -> Float[Array, "*b"]:
        """Return the unsigned distance to the nearest surface, (*b), in units of the box."""
