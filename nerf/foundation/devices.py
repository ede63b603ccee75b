"""Devices that share work, and one table of sizes that depend on them, which a config overrides.

The sizes for a CPU are measured (docs/performance.md). No GPU and no TPU was at hand, so theirs are
estimates from two facts: to start a program there takes some microseconds, so each must have enough
to do, and memory is tens of gigabytes, of which 2^20 samples of `configs/ngp.py` take one.
"""

import dataclasses
from collections.abc import Sequence

import jax
import numpy as np
from jax.sharding import AxisType, Mesh


@dataclasses.dataclass(frozen=True)
class Sizes:
    """Sizes of batches, calls and chunks for one kind of device.

    Attributes:
      batch_size: rays per training step, of configs that name no number.
      steps_per_call: training steps per call of the jitted step, at most.
      chunk: rays of an image rendered at once by a model with an occupancy grid, of whose samples
        few are evaluated.
      wave: samples of a chunk evaluated at once by a model with an occupancy grid.
    """

    batch_size: int
    steps_per_call: int
    chunk: int
    wave: int


# Small waves leave a processor waiting, and large ones are seldom full. instant-ngp (2201.05989)
# trains with 2^18 samples per step, which are 2^14 rays of 16 samples.
SIZES = {
    "cpu": Sizes(batch_size=2**10, steps_per_call=10, chunk=2**14, wave=2**13),
    "gpu": Sizes(batch_size=2**14, steps_per_call=100, chunk=2**18, wave=2**20),
    "tpu": Sizes(batch_size=2**14, steps_per_call=100, chunk=2**17, wave=2**19),
}


def sizes_of(platform: str | None = None) -> Sizes:
    """Return the sizes for a platform, as JAX names it.

    Args:
      platform: "cpu", "gpu" or "tpu"; others get those of a GPU. None: where JAX computes here.
    """
    return SIZES.get(platform or jax.default_backend(), SIZES["gpu"])


def data_mesh(devices: Sequence[jax.Device]) -> Mesh:
    """Return a mesh of devices along the axis "data", over which rays are split.

    Args:
      devices: in the order of the mesh.
    """
    return Mesh(np.array(devices), ("data",), axis_types=(AxisType.Auto,))
