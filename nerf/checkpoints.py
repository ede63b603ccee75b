"""Checkpoints: plain dicts of arrays in orbax folders, each array with a digest that is verified on reading."""

import hashlib
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp


class CheckpointError(RuntimeError):
    """A checkpoint that cannot be used; the message is one line."""


def flatten(tree: Any) -> dict[str, jax.Array]:
    """A pytree of arrays as {path: array}, independent of the classes it is made of."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(path, simple=True, separator="/"): leaf for path, leaf in leaves}


def unflatten(flat: dict[str, np.ndarray], like: Any) -> Any:
    """Arrays of `flat` in the structure of `like`. Raises CheckpointError where names, shapes or dtypes differ."""
    expected = flatten(like)
    if missing := sorted(expected.keys() ^ flat.keys()):
        raise CheckpointError(f"{missing[0]}: in only one of checkpoint and config: was the config changed?")
    for name, leaf in expected.items():
        if flat[name].shape != leaf.shape or flat[name].dtype != leaf.dtype:
            got, wanted = (f"{x.dtype}{list(x.shape)}" for x in (flat[name], leaf))
            raise CheckpointError(f"{name}: {got} in the checkpoint, {wanted} in the config: was the config changed?")
    return jax.tree.unflatten(jax.tree.structure(like), [jax.numpy.asarray(flat[name]) for name in expected])


def digest(array: np.ndarray) -> str:
    """sha256 of an array's dtype, shape and bytes."""
    sha = hashlib.sha256(f"{array.dtype}{array.shape}".encode())
    sha.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)  # bytes: bfloat16 has no buffer
    return sha.hexdigest()


class Checkpoints:
    """The checkpoints of a run, a folder for each step; the newest `keep` remain."""

    def __init__(self, folder: Path, keep: int = 2, read_only: bool = False):
        self.folder = folder
        options = ocp.CheckpointManagerOptions(
            max_to_keep=None if read_only else keep,
            enable_async_checkpointing=False,
            read_only=read_only,
            create=not read_only,
        )
        self.manager = ocp.CheckpointManager(folder.absolute(), options=options)

    def save(self, step: int, tree: Any, **facts: Any) -> None:
        """Write a step atomically, with `facts` (JSON) beside it. A step that exists is left as it is."""
        if step in self.manager.all_steps():
            return
        flat = {name: np.asarray(leaf) for name, leaf in flatten(tree).items()}
        record = {**facts, "digests": {name: digest(array) for name, array in flat.items()}}
        args = ocp.args.Composite(state=ocp.args.StandardSave(flat), record=ocp.args.JsonSave(record))
        self.manager.save(step, args=args, force=True)

    def latest(self) -> int | None:
        """The newest step, or None."""
        return self.manager.latest_step()

    def read(self, step: int | None = None) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """The arrays of a step (default: the newest) by name, verified against their digests, and its facts.

        Raises CheckpointError where there is none or where it is damaged.
        """
        step = self.latest() if step is None else step
        if step is None:
            raise CheckpointError(f"{self.folder}: no checkpoint: train the run first")
        if step not in (steps := sorted(self.manager.all_steps())):
            raise CheckpointError(f"{self.folder}: no step {step}: there are {', '.join(map(str, steps))}")
        folder = self.folder / str(step)
        args = ocp.args.Composite(state=ocp.args.StandardRestore(), record=ocp.args.JsonRestore())
        try:
            restored = self.manager.restore(step, args=args)
        except Exception as error:  # orbax raises many kinds for a damaged folder
            reason = str(error).partition("\n")[0]
            raise CheckpointError(f"{folder}: cannot be read ({reason}): remove this step") from error
        arrays = {name: np.asarray(array) for name, array in restored.state.items()}
        facts = dict(restored.record)
        for name in sorted(arrays.keys() | facts["digests"].keys()):
            if name not in arrays or digest(arrays[name]) != facts["digests"].get(name):
                raise CheckpointError(f"{folder}: {name}: damaged on disk: remove this step")
        return arrays, {**facts, "step": step}

    def restore(self, like: Any, step: int | None = None, partial: bool = False) -> tuple[Any, dict[str, Any]]:
        """What `read` gives, with the arrays in the structure of `like`.

        `partial` leaves out arrays that `like` has no place for. Raises CheckpointError also where shapes differ.
        """
        arrays, facts = self.read(step)
        if partial:
            wanted = flatten(like)
            arrays = {name: array for name, array in arrays.items() if name in wanted}
        return unflatten(arrays, like), facts
