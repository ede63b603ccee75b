"""What the device holds, and whether a compiled step fits there, before it is run."""

import jax

from nerf.errors import UserError
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
    needed, there = held + sizes.temp_size_in_bytes, memory_of_device() if device_memory is None else device_memory
    if needed > there:
        parts = f"{held / 1e9:.3f} GB for state and pixels, {sizes.temp_size_in_bytes / 1e9:.3f} GB for a batch"
        raise OutOfMemory(f"a training step needs {parts}; the device has {there / 1e9:.3f} GB: lower batch_size")
