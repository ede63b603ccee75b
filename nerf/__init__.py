"""Neural radiance fields in JAX: photos with camera poses in; a field, videos and comparisons out.

The names below are functions of `nerf.api`, imported when they are first used: `import nerf` alone
imports nothing else.
"""

from typing import Any

__version__ = "0.2.0"
__all__ = [
    "Budget",
    "Session",
    "UserError",
    "compare",
    "load_config",
    "load_run",
    "load_scene",
    "make_scene",
    "query",
    "render",
    "render_image",
    "train",
]


def __getattr__(name: str) -> Any:
    """Import a name of the public API."""
    if name not in __all__:
        raise AttributeError(f"module 'nerf' has no attribute {name!r}")
    from nerf import api

    return getattr(api, name)


def __dir__() -> list[str]:
    """List the public API."""
    return sorted([*__all__, "__version__"])
