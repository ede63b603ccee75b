"""Every test runs with shapes checked (by jaxtyping and beartype) and rank promotion refused.

See pyproject.toml for the former.
"""

import os
import tempfile
from pathlib import Path

# Tests that run side by side have a core each, with all that they start: threads of theirs would
# only wait for another.
if (worker := os.environ.get("PYTEST_XDIST_WORKER", "")) and hasattr(os, "sched_setaffinity"):
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[int(worker.removeprefix("gw")) % len(cores)]})

# Before JAX is imported, and for the processes that tests start: what one test compiled, the next
# finds. Tests that run side by side inherit the folder of the process that started them.
if not worker:
    _compiled = tempfile.TemporaryDirectory(prefix="compiled-")
    os.environ["JAX_COMPILATION_CACHE_DIR"] = _compiled.name
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.1"
    # Compiling takes most of the time of the tests, and their arrays are small.
    os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")

import jax
import pytest

jax.config.update("jax_numpy_rank_promotion", "raise")

ROOT = Path(__file__).parent.parent
DATASETS = ROOT.parent / "shared" / "datasets"
DEAREST = [
    f"test_{name}.py"
    for name in ("training", "end_to_end", "claims", "processes", "reliability", "export")
]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The files that take minutes go first, so that no worker is left with one at the end."""
    items.sort(
        key=lambda item: (
            DEAREST.index(item.path.name) if item.path.name in DEAREST else len(DEAREST)
        )
    )


@pytest.fixture
def dataset():
    """The folder of a real scene, by name; skips the test where it is not there."""

    def find(name: str) -> Path:
        if not (DATASETS / name).is_dir():
            pytest.skip(
                f"real scenes are not part of the project, and {DATASETS / name} is not here"
            )
        return DATASETS / name

    return find
