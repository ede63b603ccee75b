"""One training by several processes, on one machine or many: joining, and what all of them hold or decide alike.

Contract. All run the same program with the same flags on the same scene, and call these functions in the same order.
The first process alone reads and writes the run folder. A process that fails, is killed or answers no more ends all
others within the heartbeat and ten seconds; the same commands go on from the last checkpoint. Until all have joined,
they wait for the missing for five minutes, as JAX does. With one process nothing here communicates.
"""

import atexit
import contextlib
import hashlib
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from nerf.foundation.errors import UserError

T = TypeVar("T")

_LOST = (
    "Gloo",
    "NCCL",
    "coordination service",
    "heartbeat",
)  # in what JAX says of a process that is gone


class ProcessError(UserError, RuntimeError):
    """Processes that cannot train together, or no longer; the message is one line."""


@contextlib.contextmanager
def initialize(
    coordinator: str | None, processes: int | None, process: int | None, heartbeat: int
) -> Iterator[None]:
    """Within it, this process is one of several, whose devices are one mesh. Raises ProcessError.

    Args:
      coordinator: HOST:PORT where the first process can be reached. None: JAX finds out this and what follows, which it
        can on a TPU pod, under Slurm and under Open MPI.
      processes: how many there are.
      process: which of them this is, from 0.
      heartbeat: seconds without a sign of life after which a process counts as lost.
    """
    if coordinator and None in (processes, process):
        raise ProcessError("--coordinator: needs --processes and --process: give all three")
    jax.config.update("jax_enable_preemption_service", False)  # it would take SIGTERM for itself
    try:
        jax.distributed.initialize(
            coordinator,
            processes,
            process,
            cluster_detection_method="deactivate" if coordinator else None,
            heartbeat_timeout_seconds=heartbeat,
            shutdown_timeout_seconds=heartbeat,
        )
    except (RuntimeError, ValueError) as error:
        atexit.register(_leave, 1)
        fix = (
            "start every process with the same --coordinator and --processes and its own --process"
        )
        if not coordinator:
            fix = "start it with srun, mpirun or on a TPU pod, or give --coordinator, --processes and --process"
        reason = f"cannot connect to the other processes ({_first_line(error)})"
        raise ProcessError(f"processes: {reason}: {fix}") from error
    try:
        yield
    except BaseException as error:
        atexit.register(_leave, getattr(error, "exit_code", 1))
        if type(error) in (ValueError, jax.errors.JaxRuntimeError) and any(
            word in str(error) for word in _LOST
        ):
            what = f"process {jax.process_index()}: lost another process ({_first_line(error)})"
            raise ProcessError(
                f"{what}: run the same commands again to resume from the last checkpoint"
            ) from error
        raise


def _leave(code: int) -> None:
    """End now: JAX would first wait for the other processes, and they wait for this one."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0][:200]


def data_mesh(devices: Sequence[jax.Device]) -> Mesh:
    """Devices along the axis "data", over which a batch is split."""
    return Mesh(np.array(devices), ("data",), axis_types=(AxisType.Auto,))


def replicate(tree: T, mesh: Mesh) -> T:
    """Arrays that all processes have alike, as arrays that every device of the mesh holds whole."""
    place = NamedSharding(mesh, PartitionSpec())

    def put(x: Any) -> jax.Array:
        copies = [jax.device_put(x, device) for device in mesh.local_devices]
        return jax.make_array_from_single_device_arrays(np.shape(x), place, copies)

    return jax.tree.map(put, tree)


def unreplicate(tree: T) -> T:
    """This process's own copy of what `replicate` made."""
    return jax.tree.map(lambda x: x.addressable_data(0), tree)


def is_first() -> bool:
    """Whether this process is the one that reads and writes the run folder."""
    return jax.process_index() == 0


def any_process(flag: bool) -> bool:
    """Whether the flag is set in any process."""
    return flag if jax.process_count() == 1 else bool(_gather(np.int32(flag)).any())


def min_across_processes(number: float) -> float:
    """The smallest of the processes' numbers."""
    return number if jax.process_count() == 1 else float(_gather(np.float32(number)).min())


def broadcast_from_first(tree: T) -> T:
    """Numbers and arrays as the first process has them, bit for bit; names, shapes and types are alike in all."""
    if jax.process_count() == 1:
        return tree
    leaves, structure = jax.tree.flatten(tree)
    arrays = [np.asarray(leaf) for leaf in leaves]
    sent = np.frombuffer(b"".join(array.tobytes() for array in arrays), np.uint8)
    data = np.asarray(multihost_utils.broadcast_one_to_all(sent)).tobytes()
    ends = np.cumsum([array.nbytes for array in arrays])
    got = [
        np.frombuffer(data[end - array.nbytes : end], array.dtype).reshape(array.shape)
        for array, end in zip(arrays, ends, strict=True)
    ]
    numbers = [isinstance(leaf, int | float) for leaf in leaves]
    return jax.tree.unflatten(
        structure, [x.item() if number else x for x, number in zip(got, numbers, strict=True)]
    )


def assert_equal(**facts: Callable[[], Any]) -> None:
    """Raise ProcessError, naming process and fact, where the first process has another; facts are JSON."""
    if jax.process_count() == 1:
        return
    texts = [json.dumps(fact(), sort_keys=True) for fact in facts.values()]
    digests = _gather(
        np.array([list(hashlib.sha256(text.encode()).digest()) for text in texts], np.uint8)
    )
    other, which = np.nonzero((digests != digests[0]).any(-1))
    if len(other):
        what = f"process {other[0]}: another {list(facts)[which[0]]} than the first process"
        raise ProcessError(f"{what}: give all the same flags, scene and code")


def _gather(x: Any) -> np.ndarray:
    """The values of all processes, stacked."""
    return np.asarray(multihost_utils.process_allgather(x))
