"""Every test runs with shapes checked (by jaxtyping and beartype) and rank promotion refused.

See pyproject.toml for the former.
"""

import os
import shutil
import subprocess
from multiprocessing.process import BaseProcess
from pathlib import Path

# Tests that run side by side have a core each, with all that they start: threads of theirs would
# only wait for another.
if (worker := os.environ.get("PYTEST_XDIST_WORKER", "")) and hasattr(os, "sched_setaffinity"):
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[int(worker.removeprefix("gw")) % len(cores)]})

# Before JAX is imported, and for the processes that tests start: what one test compiled, the others
# find, also when they run again another day. Tests that run side by side inherit this.
if not worker:
    compiled = Path(__file__).parent.parent / ".pytest_cache" / "compiled"
    if sum(file.stat().st_size for file in compiled.glob("*")) > 2e9:
        shutil.rmtree(compiled)
    os.environ["JAX_COMPILATION_CACHE_DIR"] = str(compiled)
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"

import jax
import pytest

jax.config.update("jax_numpy_rank_promotion", "raise")

ROOT = Path(__file__).parent.parent
DATASETS = ROOT.parent / "shared" / "datasets"
# Files whose tests train or start processes, the longest first; of other files, single tests are
# marked `whole`.
WHOLE = [
    *("test_examples", "test_end_to_end", "test_reliability", "training/test_training"),
    *("output/test_export", "training/test_processes", "comparing/test_compare", "test_package"),
    *("comparing/test_report_browser", "test_systems", "test_api", "training/test_memory"),
    *("training/test_image_task", "training/test_nonfinite", "training/test_notebook"),
    *("scenes/test_bad_images", "foundation/test_interrupts", "comparing/test_run_store"),
    *("test_claims", "output/test_video", "test_fuzz", "capture/test_capture"),
    *("foundation/test_locks", "cli/test_portability", "runs/test_provenance"),
]
WHOLE = [ROOT / "tests" / f"{name}.py" for name in WHOLE]


def compile_quickly(level: int = 0) -> None:
    """Let this process, and those that it starts, compile in less time, into slower programs.

    Level 0 takes a fifth of the time, into programs that take three times as long: for few steps.
    Level 1 takes half of the time, and for small batches its programs are as fast. XLA reads its
    flags when a process begins to use a device.
    """
    quick = f"--xla_backend_optimization_level={level} --xla_cpu_use_fusion_emitters=false"
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {quick}"


def pytest_configure(config: pytest.Config) -> None:
    """Compile quickly, as tests compile for longer than they calculate, the more if none trains.

    Tests that run side by side inherit the flags.
    """
    chosen = config.option.markexpr
    if "whole" in chosen and not worker:
        compile_quickly(0 if "not whole" in chosen else 1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of whole programs, and let the files that take minutes go first.

    So no worker is left with one of them at the end.
    """
    for item in items:
        if item.path in WHOLE:
            item.add_marker("whole")
    order = {path: i for i, path in enumerate(WHOLE)}
    items.sort(key=lambda item: order.get(item.path, len(WHOLE)))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item):
    """Refuse training and processes in a test that is not marked `whole`.

    `make check` leaves out the tests with this mark, so every test must be on the right side.
    """
    from nerf.training.session import Session  # once shapes are checked in what is imported

    if item.get_closest_marker("whole"):
        return (yield)

    def refuse(*_args, **_options):
        raise AssertionError("it trains or starts a process: mark it with pytest.mark.whole")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(subprocess.Popen, "__init__", refuse)
        patch.setattr(BaseProcess, "start", refuse)
        patch.setattr(Session, "compile", refuse)
        return (yield)


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
