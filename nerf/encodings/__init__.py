"""Points or directions -> features, one family a file.

An encoding is a callable (*b, d) -> (*b, f) with attributes `num_dims` (d: 2 in a picture, 3 in space and for
directions) and `num_features` (f). Points lie in [-1, 1]^d; beyond, tables are read at the nearest place of the box.
Encodings without parameters are frozen dataclasses; those with parameters are nnx modules that take `rngs`. All take
`num_dims`, which `build(..., num_dims=2)` fills in for a whole section.

What an encoding may have besides:
  takes_gaussians = True   the model passes `Gaussians` instead of points (`nerf.encodings.cones`); it takes both
  bands                    the number of each feature's band, coarse to fine from 0, or -1: see `annealed.Annealed`
Trainable numbers at places of a grid are under the name `table`, so that optimizers can give them their own rate.
"""

from typing import Any, Protocol, runtime_checkable

from jaxtyping import Array, Float


@runtime_checkable
class Encoding(Protocol):
    """Points or directions (*b, d), or for some `Gaussians`, -> features (*b, num_features)."""

    @property
    def num_features(self) -> int: ...

    def __call__(self, x: Any, /) -> Float[Array, "*b f"]: ...
