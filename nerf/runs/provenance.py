"""Record the code, packages, device and peak memory of a run.

The record decides later whether another run would give the same result.
"""

import contextlib
import hashlib
import importlib.util
import os
import platform
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax

PACKAGES = ("jax", "jaxlib", "flax", "optax", "numpy")  # packages whose versions may change results
MIXED = "changed while the run was made"  # replaces the digest of a file that changed


def source_digests(plugins: tuple[str, ...] = ()) -> dict[str, str]:
    """Return digests of all Python files of `nerf` and the plugins.

    A digest is the first 16 digits of the sha256; keys are "package/path/file.py".
    """
    digests = {}
    for package in ("nerf", *plugins):
        for home in _homes(package):
            for file in sorted(home.rglob("*.py")) if home.is_dir() else [home]:
                name = file.relative_to(home.parent).as_posix()
                digests[name] = hashlib.sha256(file.read_bytes()).hexdigest()[:16]
    return digests


def _homes(package: str) -> list[Path]:
    """Return the folders of a package, or the file of a module."""
    try:
        spec = importlib.util.find_spec(package)
    except (ImportError, ValueError):
        return []
    if spec is None:
        return []
    return [
        Path(place)
        for place in spec.submodule_search_locations or ([spec.origin] if spec.origin else [])
    ]


def loaded_files() -> set[str]:
    """Return the imported files of packages, named as in `source_digests`."""
    files = set()
    for name, module in list(sys.modules.items()):
        if file := getattr(module, "__file__", None):
            depth = name.count(".") + (Path(file).name == "__init__.py")
            files.add("/".join(Path(file).parts[-1 - depth :]))
    return files


def mixed(old: Mapping[str, str], new: Mapping[str, str]) -> dict[str, str]:
    """Merge the source digests of a run that resumed with other code.

    A file that differs between `old` and `new` gets a digest that matches no other record.
    """
    return {
        file: old[file] if old.get(file) == new.get(file) else MIXED
        for file in sorted(old.keys() | new.keys())
    }


def processor() -> str:
    """Return the processor's model and number of usable cores."""
    name = platform.processor() or platform.machine()
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            name = _model_name(Path("/proc/cpuinfo").read_text(encoding="utf-8")) or name
    elif sys.platform == "darwin":
        name = _output_of("sysctl", "-n", "machdep.cpu.brand_string") or name
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{cores} x {name}"


def _model_name(text: str) -> str:
    """Return the processor's name in /proc/cpuinfo; "" if it has none, as on ARM."""
    found = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return " ".join(found[1].split()) if found else ""


def commit() -> str | None:
    """Return the commit of the library's code; None outside of a repository.

    " and changes" is appended if files of the library differ from the commit.
    """
    home = Path(__file__).parents[1]
    if not _output_of("git", "-C", str(home), "ls-files", str(Path(__file__).relative_to(home))):
        return None  # the package is installed inside another repository
    number = _output_of("git", "-C", str(home), "rev-parse", "--short=10", "HEAD")
    changed = _output_of("git", "-C", str(home), "status", "--porcelain", "--", ".")
    return f"{number} and changes" if number and changed else number or None


def _output_of(*command: str) -> str:
    """Return the output of a program; "" if it is missing or fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()


def environment() -> dict[str, Any]:
    """Return the versions of the main packages, and the devices."""
    devices = jax.devices()
    return {
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in PACKAGES},
        },
        "device": f"{len(devices)} x {devices[0].device_kind} ({jax.default_backend()})",
    }


def devices_of(environment: Mapping[str, Any]) -> tuple[int, str]:
    """Return the number of devices in a record of `environment`, and their platform.

    Args:
      environment: as it was when the run was trained.
    """
    count, _, rest = environment["device"].partition(" x ")
    return int(count), rest.rpartition("(")[2].rstrip(")")


def products_of(config: Mapping[str, Any]) -> str:
    """Say with which factors a config's products are computed, on every device.

    Args:
      config: as plain data; sections with a `dtype` say theirs, all others are in float32.
    """
    half = sorted(key for key, dtype in _dtypes(config) if dtype == "bfloat16")
    return f"bfloat16 in {', '.join(half)}; otherwise float32" if half else "float32"


def _dtypes(section: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, str]]:
    """Yield the path of each section that has a `dtype`, and that."""
    for key, value in section.items():
        if isinstance(value, Mapping):
            yield from _dtypes(value, f"{path}.{key}" if path else key)
        elif key == "dtype":
            yield path, value


def peak_memory() -> int | None:
    """Return the peak memory in bytes; None if it is unknown.

    It is that of the first device on a GPU or TPU, otherwise that of this process.
    """
    stats = jax.devices()[0].memory_stats() or {}
    if jax.default_backend() != "cpu" and "peak_bytes_in_use" in stats:
        return int(stats["peak_bytes_in_use"])
    try:
        import resource  # not on Windows
    except ImportError:
        return None
    # The unit is bytes on macOS and KiB on other systems.
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024
