"""Neural radiance fields in JAX. The pipeline, in import order, is in the README."""

__version__ = "0.1.0"
