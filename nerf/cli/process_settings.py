"""Settings of a process that make JAX start and run faster: compilation cache and allocator.

The compilation cache must be set up before JAX is imported.
"""

import ctypes
import hashlib
import os
import platform
import sys
from pathlib import Path


def keep_compiled_programs() -> None:
    """Enable JAX's persistent compilation cache.

    The folder is $JAX_COMPILATION_CACHE_DIR if it is set, otherwise a folder below ~/.cache/nerf.
    Each kind of processor has its own folder, since different machines may share a home. Programs
    that compile in less than 0.05 s are not kept, and above 1 GiB the least recently used ones are
    removed.
    """
    if "JAX_COMPILATION_CACHE_DIR" in os.environ:
        return  # then JAX's own settings apply too
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(home) / "nerf" / hashlib.sha256(_processor().encode()).hexdigest()[:16]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return  # without a cache, programs are only compiled again
    os.environ["JAX_COMPILATION_CACHE_DIR"] = str(folder)  # for JAX and child processes
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.05")
    os.environ.setdefault("JAX_COMPILATION_CACHE_MAX_SIZE", str(2**30))


def _processor() -> str:
    """Return the facts that a compiled program may depend on: CPU model and instructions."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine() + platform.processor()
    return "".join(
        dict.fromkeys(
            line for line in lines if line.startswith(("flags", "model name", "Features"))
        )
    )


def keep_freed_memory() -> None:
    """Make glibc keep large freed blocks instead of returning them to the kernel.

    XLA on a CPU allocates its temporaries again in every step, and getting fresh zeroed pages for
    them costs as much as the arithmetic (see docs/performance.md). Other systems than Linux are not
    affected.
    """
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        trim_threshold, mmap_threshold, arena_max = -1, -3, -8  # constants of malloc.h
        mallopt(mmap_threshold, 1 << 30)
        mallopt(trim_threshold, 2**31 - 1)
        mallopt(arena_max, 1)
