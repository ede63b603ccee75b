"""What made a run: the code, the packages and the device, so that one like it is known again; and its peak memory."""

import contextlib
import hashlib
import importlib.util
import os
import platform
import re
import subprocess
import sys
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax

PACKAGES = ("jax", "jaxlib", "flax", "optax", "numpy")
MIXED = "changed while the run was made"  # in place of a digest


def source_digests(plugins: tuple[str, ...] = ()) -> dict[str, str]:
    """sha256 (its first 16 digits) of every Python file of `nerf` and of the plugins, by "package/path/file.py"."""
    digests = {}
    for package in ("nerf", *plugins):
        for home in _homes(package):
            for file in sorted(home.rglob("*.py")) if home.is_dir() else [home]:
                name = file.relative_to(home.parent).as_posix()
                digests[name] = hashlib.sha256(file.read_bytes()).hexdigest()[:16]
    return digests


def _homes(package: str) -> list[Path]:
    """The folders of a package, or the file of a module that is none."""
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
    """The files of packages that this process has imported, named as `source_digests` names them."""
    files = set()
    for name, module in list(sys.modules.items()):
        if file := getattr(module, "__file__", None):
            depth = name.count(".") + (Path(file).name == "__init__.py")
            files.add("/".join(Path(file).parts[-1 - depth :]))
    return files


def mixed(old: Mapping[str, str], new: Mapping[str, str]) -> dict[str, str]:
    """The record of a run begun with `old` and gone on with under `new`: files that differ are like no other's."""
    return {
        file: old[file] if old.get(file) == new.get(file) else MIXED
        for file in sorted(old.keys() | new.keys())
    }


def processor() -> str:
    """Return the model of the processor and how many of its cores this process may use."""
    name = platform.processor() or platform.machine()
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            name = _model_name(Path("/proc/cpuinfo").read_text(encoding="utf-8")) or name
    elif sys.platform == "darwin":
        name = _output_of("sysctl", "-n", "machdep.cpu.brand_string") or name
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{cores} x {name}"


def _model_name(text: str) -> str:
    """Return what /proc/cpuinfo calls the processor; "" where it does not, as on ARM."""
    found = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return " ".join(found[1].split()) if found else ""


def commit() -> str | None:
    """Return the commit of this code, with "and changes" where files differ from it; None outside of a repository."""
    home = Path(__file__).parent
    if not _output_of("git", "-C", str(home), "ls-files", Path(__file__).name):
        return None  # installed inside of somebody's repository
    number = _output_of("git", "-C", str(home), "rev-parse", "--short=10", "HEAD")
    changed = _output_of("git", "-C", str(home), "status", "--porcelain", "--", ".")
    return f"{number} and changes" if number and changed else number or None


def _output_of(*command: str) -> str:
    """Return what a program prints; "" where there is none or it fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()


def environment() -> dict[str, Any]:
    """Versions of what matters, and the devices."""
    return {
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in PACKAGES},
        },
        "device": f"{len(jax.devices())} x {jax.devices()[0].device_kind} ({jax.default_backend()})",
    }


def peak_memory() -> int | None:
    """The most bytes held so far: on a GPU or TPU by its first device, else by this process; None if not known."""
    stats = jax.devices()[0].memory_stats() or {}
    if jax.default_backend() != "cpu" and "peak_bytes_in_use" in stats:
        return int(stats["peak_bytes_in_use"])
    try:
        import resource  # not on Windows
    except ImportError:
        return None
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024
