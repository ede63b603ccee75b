"""Encodings: map points or directions to features, one family per file.

An encoding is a callable (*b, d) -> (*b, f) with two attributes: `num_dims` (d: 2 for images, 3 for
space and for directions) and `num_features` (f). Points lie in [-1, 1]^d; a table treats a point
outside this box as the nearest point inside it. Encodings without parameters are frozen
dataclasses. Encodings with parameters are nnx modules that take `rngs`. All of them take
`num_dims`, which `build(..., num_dims=2)` sets for a complete config section.

Optional attributes:
  takes_gaussians = True   the encoding accepts points and `Gaussians` (`nerf.encodings.cones`), and
                           the model passes it `Gaussians`
  bands                    each feature's frequency band, numbered from 0 (coarsest), or -1 for a
                           feature that belongs to no band; see `annealed.Annealed`

Parameters stored at the vertices of a grid are named `table`, so that optimizers can give them
their own learning rate.
"""

from typing import Any, Protocol, runtime_checkable

from jaxtyping import Array, Float


@runtime_checkable
class Encoding(Protocol):
    """A map from points, directions or `Gaussians` (*b, d) to features (*b, num_features)."""

    @property
    def num_features(self) -> int: ...

    def __call__(self, x: Any, /) -> Float[Array, "*b f"]: ...
