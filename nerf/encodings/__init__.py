"""Points or directions -> features, one family a file.

An encoding is a callable (*b, 3) -> (*b, f) with an attribute `num_features` (f). Those without parameters are frozen
dataclasses; those with parameters are nnx modules that take `rngs`.
"""

from typing import Protocol, runtime_checkable

from jaxtyping import Array, Float


@runtime_checkable
class Encoding(Protocol):
    """Points or directions (*b, 3) -> features (*b, num_features)."""

    @property
    def num_features(self) -> int: ...

    def __call__(self, x: Float[Array, "*b 3"], /) -> Float[Array, "*b f"]: ...
