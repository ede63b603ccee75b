"""Points or directions -> features, one family a file.

An encoding is a callable (*b, 3) -> (*b, f) with an attribute `num_features` (f). Those without parameters are frozen
dataclasses; those with parameters are nnx modules that take `rngs`.
"""
