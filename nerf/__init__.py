"""Neural radiance fields in JAX. The pipeline, in import order, is in the README and in `docs/design.md`."""

__version__ = "0.1.0"
