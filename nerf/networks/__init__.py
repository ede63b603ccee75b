"""Networks: map features to outputs, one family per file, for any field and any task.

A config section names a network by its specification, a small frozen dataclass. The specification
does not know the number of input features, so the field calls it,
`network(num_in, num_out, rngs=rngs)`, and gets an nnx module (*b, num_in) -> (*b, num_out) whose
last layer is linear. A specification that cannot be used with every encoding has a method
`incompatibility(encoding, num_dims)`, which returns the reason, or None if the two are compatible.
"""

from typing import Protocol, runtime_checkable

from flax import nnx

from nerf.encodings import Encoding
from nerf.encodings.identity import Identity
from nerf.foundation.instantiate import ConfigError


@runtime_checkable
class Network(Protocol):
    """A network's specification: (num_in, num_out) -> a module (*b, num_in) -> (*b, num_out)."""

    def __call__(self, num_in: int, num_out: int, *, rngs: nnx.Rngs) -> nnx.Module: ...


def connect(
    encoding: Encoding, network: Network, num_out: int, num_dims: int, *, rngs: nnx.Rngs
) -> nnx.Module:
    """Build a network that takes the features of an encoding.

    Args:
      encoding: the encoding before the network.
      network: the network's specification.
      num_out: number of outputs.
      num_dims: number of coordinates of a point.
      rngs: source of the network's initial parameters.

    Returns:
      A module (*b, encoding.num_features) -> (*b, num_out).

    Raises:
      ConfigError: the network cannot use this encoding. No parameter has been created by then.
    """
    check = getattr(network, "incompatibility", lambda encoding, num_dims: None)
    reason = check(encoding, num_dims)
    if reason is not None:
        pair = f"{type(network).__name__}: incompatible with {type(encoding).__name__}"
        raise ConfigError(f"{pair}: {reason}")
    return network(encoding.num_features, num_out, rngs=rngs)


class PositionIndexed:
    """Base class for networks that index by position and need raw coordinates as their input."""

    def incompatibility(self, encoding: Encoding, num_dims: int) -> str | None:
        """Return why the encoding cannot be used, or None if it passes coordinates through."""
        if isinstance(encoding, Identity):
            return None
        return (
            "it needs raw coordinates: "
            "choose nerf.encodings.identity:Identity, and an encoding inside the network"
        )
