"""Training with several processes, on one machine or many.

Contract:

- All processes run the same program with the same flags on the same scene, and call these functions
  in the same order.
- Only the first process reads and writes the run folder.
- If a process fails, is killed or stops responding, all others end within the heartbeat plus ten
  seconds. The same commands then resume from the last checkpoint.
- At the start, processes wait up to five minutes for missing ones, as JAX does.
- With one process nothing here communicates.
"""

import atexit
import contextlib
import hashlib
import json
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from nerf.foundation.errors import UserError

T = TypeVar("T")

# Words of the errors that JAX raises when another process is lost.
_LOST = ("Gloo", "NCCL", "coordination service", "heartbeat")


class ProcessError(UserError, RuntimeError):
    """Processes cannot train together, or lost one another; the message is one line."""


@contextlib.contextmanager
def initialize(
    coordinator: str | None, processes: int | None, process: int | None, heartbeat: int
) -> Iterator[None]:
    """Connect this process to the others; their devices form one mesh inside the context.

    Args:
      coordinator: HOST:PORT of the first process. None lets JAX detect this and the next two, which
        works on TPU pods, under Slurm and under Open MPI.
      processes: number of processes.
      process: index of this process, from 0.
      heartbeat: seconds without a sign of life after which a process counts as lost.

    Yields:
      None.

    Raises:
      ProcessError: if flags are missing, if the processes cannot connect, or if one is lost.
    """
    _connect(coordinator, processes, process, heartbeat)
    try:
        yield
    except BaseException as error:
        atexit.register(_leave, getattr(error, "exit_code", 1))
        from_jax = type(error) in (ValueError, jax.errors.JaxRuntimeError)
        if from_jax and any(word in str(error) for word in _LOST):
            what = f"process {jax.process_index()}: lost another process ({_first_line(error)})"
            fix = "run the same commands again to resume from the last checkpoint"
            raise ProcessError(f"{what}: {fix}") from error
        raise


def _connect(
    coordinator: str | None, processes: int | None, process: int | None, heartbeat: int
) -> None:
    """Connect this process to the others; see `initialize`."""
    if coordinator and None in (processes, process):
        raise ProcessError("--coordinator: needs --processes and --process: give all three")
    # The preemption service would take over SIGTERM, which stops and saves a run.
    jax.config.update("jax_enable_preemption_service", False)
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
            fix = (
                "start it with srun, mpirun or on a TPU pod, "
                "or give --coordinator, --processes and --process"
            )
        reason = f"cannot connect to the other processes ({_first_line(error)})"
        raise ProcessError(f"processes: {reason}: {fix}") from error


def _leave(code: int) -> None:
    """Exit at once: JAX would wait for the other processes, and they wait for this one."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _first_line(error: BaseException) -> str:
    """Return the first line of an error message, at most 200 characters."""
    return str(error).strip().partition("\n")[0][:200]


def replicate(tree: T, mesh: Mesh) -> T:
    """Replicate arrays, equal in all processes, on every device of the mesh."""
    place = NamedSharding(mesh, PartitionSpec())

    def put(x: Any) -> jax.Array:
        copies = [jax.device_put(x, device) for device in mesh.local_devices]
        return jax.make_array_from_single_device_arrays(np.shape(x), place, copies)

    return jax.tree.map(put, tree)


def unreplicate(tree: T) -> T:
    """Return this process's copy of replicated arrays."""
    return jax.tree.map(lambda x: x.addressable_data(0), tree)


def is_first() -> bool:
    """Return whether this is the first process, which reads and writes the run folder."""
    return jax.process_index() == 0


def any_process(flag: bool) -> bool:
    """Return whether the flag is set in any process."""
    return flag if jax.process_count() == 1 else bool(_gather(np.int32(flag)).any())


def min_across_processes(number: float) -> float:
    """Return the smallest of the processes' numbers, as float32."""
    return number if jax.process_count() == 1 else float(_gather(np.float32(number)).min())


def broadcast_from_first(tree: T) -> T:
    """Return the first process's numbers and arrays, bit for bit.

    The tree's structure, shapes and types must be equal in all processes.
    """
    if jax.process_count() == 1:
        return tree
    # Send all arrays as one string of bytes, then cut it up again.
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
    received = [x.item() if number else x for x, number in zip(got, numbers, strict=True)]
    return jax.tree.unflatten(structure, received)


def assert_equal(**facts: Callable[[], Any]) -> None:
    """Check that facts, which are JSON values, are equal in all processes.

    Raises:
      ProcessError: naming the first process and the first fact that differ from the first process.
    """
    if jax.process_count() == 1:
        return
    # Compare digests of fixed size: (processes, facts, 32).
    texts = [json.dumps(fact(), sort_keys=True) for fact in facts.values()]
    hashes = [list(hashlib.sha256(text.encode()).digest()) for text in texts]
    digests = _gather(np.array(hashes, np.uint8))
    other, which = np.nonzero((digests != digests[0]).any(-1))
    if len(other):
        what = f"process {other[0]}: another {list(facts)[which[0]]} than the first process"
        raise ProcessError(f"{what}: give all the same flags, scene and code")


def _gather(x: Any) -> np.ndarray:
    """Return the values of all processes, stacked along a new first axis."""
    return np.asarray(multihost_utils.process_allgather(x))
