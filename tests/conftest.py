"""Every test runs with shapes checked (jaxtyping and beartype, see pyproject.toml) and rank promotion refused."""

from pathlib import Path

import jax
import pytest

jax.config.update("jax_numpy_rank_promotion", "raise")

ROOT = Path(__file__).parent.parent
DATASETS = ROOT.parent / "shared" / "datasets"


@pytest.fixture
def dataset():
    """The folder of a real scene, by name; skips the test where it is not there."""

    def find(name: str) -> Path:
        if not (DATASETS / name).is_dir():
            pytest.skip(f"real scenes are not part of the project, and {DATASETS / name} is not here")
        return DATASETS / name

    return find
