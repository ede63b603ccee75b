"""Device memory: its size, whether a compiled step fits in it, and returning freed memory."""

import ctypes
import sys

import jax

from nerf.foundation.errors import UserError
from nerf.scenes.storage import free_memory


class OutOfMemory(UserError, MemoryError):
    """A compiled function does not fit the device's memory; the message is one line."""


def memory_of_device() -> float:
    """Return the bytes of the first device's memory; on a CPU, of the free memory."""
    stats = jax.local_devices()[0].memory_stats() or {}
    return float(stats.get("bytes_limit", 0)) or free_memory()


def check_fits(compiled: jax.stages.Compiled, device_memory: float | None) -> None:
    """Check that a call of a compiled function fits the device's memory.

    `device_memory` is in bytes; None asks the device.

    Raises:
      OutOfMemory: if it does not fit.
    """
    sizes = compiled.memory_analysis()
    if sizes is None:
        return
    # Outputs that reuse donated arguments are counted once.
    held = sizes.argument_size_in_bytes + sizes.output_size_in_bytes - sizes.alias_size_in_bytes
    needed = held + sizes.temp_size_in_bytes
    there = memory_of_device() if device_memory is None else device_memory
    if needed > there:
        smaller = "--config.batch_size"
        if held > there:  # A smaller batch does not help.
            smaller = "--config.scene.max_side, or choose a smaller model"
        raise OutOfMemory(
            f"a training step needs {held / 1e9:.3f} GB for state and pixels, "
            f"{sizes.temp_size_in_bytes / 1e9:.3f} GB for a batch; "
            f"the device has {there / 1e9:.3f} GB: lower {smaller}"
        )


def return_freed_memory() -> None:
    """Return memory that this process has freed but keeps to the system; glibc only.

    This takes milliseconds. It pays after compiling, which leaves about 300 MB of freed memory.
    """
    if sys.platform != "linux":
        return
    malloc_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if malloc_trim is not None:
        malloc_trim(0)
