"""Networks: features -> outputs, one family a file, for any field and any task.

A config section names a network by its description, a small frozen dataclass. It cannot know how many features it will
be given, so the field that has it calls it, `network(num_in, num_out, rngs=rngs)`, and gets an nnx module
(*b, num_in) -> (*b, num_out) whose last layer is linear. One that does not go with every encoding has a method
`objection(encoding, num_dims)`, which says why not, or None.
"""

from typing import Protocol, runtime_checkable

from flax import nnx

from nerf.encodings import Encoding
from nerf.encodings.identity import Identity
from nerf.foundation.instantiate import ConfigError


@runtime_checkable
class Network(Protocol):
    """The description of a network: (num_in, num_out) -> a module (*b, num_in) -> (*b, num_out)."""

    def __call__(self, num_in: int, num_out: int, *, rngs: nnx.Rngs) -> nnx.Module: ...


def connect(
    encoding: Encoding, network: Network, num_out: int, num_dims: int, *, rngs: nnx.Rngs
) -> nnx.Module:
    """The network for an encoding's features.

    Raises ConfigError, before any parameter of it is made, where the two do not go together.
    """
    objection = getattr(network, "objection", lambda encoding, num_dims: None)(encoding, num_dims)
    if objection is not None:
        raise ConfigError(
            f"{type(network).__name__}: does not go with {type(encoding).__name__}: {objection}"
        )
    return network(encoding.num_features, num_out, rngs=rngs)


class OfPoints:
    """A base of descriptions of networks that look up the place of a point, which only the point itself tells."""

    def objection(self, encoding: Encoding, num_dims: int) -> str | None:
        """Unless it is given the point."""
        if isinstance(encoding, Identity):
            return None
        return "it looks for the point itself: choose nerf.encodings.identity:Identity, and an encoding inside the network"
