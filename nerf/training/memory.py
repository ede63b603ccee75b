"""What the device holds, whether a compiled step fits there before it is run, and giving back what is free."""

import ctypes
import sys

import jax

from nerf.foundation.errors import UserError
from nerf.scenes.storage import free_memory


class OutOfMemory(UserError, MemoryError):
    """Something that would not fit; the message is one line with the numbers."""


def memory_of_device() -> float:
    """Bytes of the first device; of a CPU, what is free."""
    stats = jax.local_devices()[0].memory_stats() or {}
    return float(stats.get("bytes_limit", 0)) or free_memory()


def check_fits(compiled: jax.stages.Compiled, device_memory: float | None) -> None:
    """Raise OutOfMemory where a call of a compiled function needs more than the device (None: what it has) holds."""
    sizes = compiled.memory_analysis()
    if sizes is None:
        return
    held = sizes.argument_size_in_bytes + sizes.output_size_in_bytes - sizes.alias_size_in_bytes
    needed, there = (
        held + sizes.temp_size_in_bytes,
        memory_of_device() if device_memory is None else device_memory,
    )
    if needed > there:
        parts = f"{held / 1e9:.3f} GB for state and pixels, {sizes.temp_size_in_bytes / 1e9:.3f} GB for a batch"
        smaller = (
            "--config.batch_size"
            if held <= there
            else "--config.scene.max_side, or choose a smaller model"
        )
        raise OutOfMemory(
            f"a training step needs {parts}; the device has {there / 1e9:.3f} GB: lower {smaller}"
        )


def return_freed_memory() -> None:
    """Give the system what this process has freed but keeps (glibc; elsewhere do nothing).

    Worth its milliseconds after compiling, which takes some 300 MB that nothing afterwards needs.
    """
    malloc_trim = (
        getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    )
    if malloc_trim is not None:
        malloc_trim(0)
