"""Checkpoints: one file of plain arrays for each step, see `nerf.runs.safetensors`.

Digests of the arrays are verified when a checkpoint is read.
"""

import contextlib
import errno
import sys
import time
from collections.abc import Collection
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jax
import numpy as np

from nerf.foundation.errors import UserError
from nerf.foundation.files import sync_folder
from nerf.runs.safetensors import DamagedFile, digest, read_facts, read_tensors, write_tensors

__all__ = ["CheckpointError", "Checkpoints", "digest", "flatten", "unflatten"]

SUFFIX = ".safetensors"
OTHER_MODEL = (  # reason and fix for a checkpoint of another model
    "config.json or the code changed since it was saved: undo that, or train with a new --workdir"
)
RETRY_AFTER = 1.0  # seconds before a failed save is tried again


class CheckpointError(UserError, RuntimeError):
    """A checkpoint cannot be used or written; the message has one line for each step."""


def flatten(tree: Any) -> dict[str, jax.Array]:
    """Return a pytree of arrays as {path: array}, independent of its classes."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(path, simple=True, separator="/"): leaf for path, leaf in leaves}


def unflatten(flat: dict[str, np.ndarray], like: Any) -> Any:
    """Return the arrays of `flat` in the structure of `like`.

    Raises:
      CheckpointError: if names, shapes or dtypes differ.
    """
    expected = flatten(like)
    if missing := sorted(expected.keys() ^ flat.keys()):
        where = "the checkpoint" if missing[0] in flat else "the model of the config"
        raise CheckpointError(f"{missing[0]}: only in {where}: {OTHER_MODEL}")
    for name, leaf in expected.items():
        if flat[name].shape != leaf.shape or flat[name].dtype != leaf.dtype:
            # Describe an array as float32[3, 4].
            got, wanted = (f"{x.dtype}{list(x.shape)}" for x in (flat[name], leaf))
            raise CheckpointError(
                f"{name}: {got} in the checkpoint, {wanted} in the config: {OTHER_MODEL}"
            )
    return jax.tree.unflatten(
        jax.tree.structure(like), [jax.numpy.asarray(flat[name]) for name in expected]
    )


class Checkpoints:
    """The checkpoints of a run.

    The newest `keep` remain, and the one with the highest `score` among those that have a score. A
    damaged file is never deleted: it is renamed, so that training can write its step again.

    Args:
      folder: the folder of the checkpoints.
      keep: number of checkpoints to keep.
      read_only: do not rename damaged files.
    """

    def __init__(self, folder: Path, keep: int = 2, read_only: bool = False):
        self.folder, self.keep, self.read_only = folder, keep, read_only
        self._writer = ThreadPoolExecutor(1, "checkpoint")
        self._pending: Future | None = None
        self._copies: dict[str, np.ndarray] = {}

    def file(self, step: int) -> Path:
        """Return the file of a step, which may not exist yet."""
        return self.folder / f"{step}{SUFFIX}"

    def steps(self) -> list[int]:
        """Return the steps on disk, oldest first."""
        return sorted(
            int(file.stem) for file in self.folder.glob(f"*{SUFFIX}") if file.stem.isdecimal()
        )

    def newest_facts(self) -> dict[str, Any] | None:
        """Return the facts of the newest step with an undamaged header; None if there is none.

        The number of the step is under "step".
        """
        for step in reversed(self.steps()):
            with contextlib.suppress(DamagedFile, OSError):
                return {**read_facts(self.file(step)), "step": step}
        return None

    def save(self, step: int, tree: Any, **facts: Any) -> None:
        """Write a step in the background; a step that exists is not written again.

        A failure, after one retry, is raised as a CheckpointError by `check`, `wait` or the next
        save.

        Args:
          step: number of the step.
          tree: a pytree of arrays.
          facts: JSON values that are stored with them.
        """
        self.wait()
        if step in self.steps():
            return
        leaves = flatten(tree)
        # Every save uses the same memory; new allocations would fragment the memory that a training
        # step needs in one piece.
        if not self._copies:
            self._copies = {name: np.empty(leaf.shape, leaf.dtype) for name, leaf in leaves.items()}
        # The values are copied before the next training step reuses their buffers.
        for name, leaf in leaves.items():
            np.copyto(self._copies[name], leaf)
        self._pending = self._writer.submit(self._write, step, self._copies, facts)

    def check(self) -> None:
        """Raise the failure of a save, if there was one. Does not wait."""
        if self._pending is not None and self._pending.done():
            self.wait()

    def wait(self) -> None:
        """Wait until everything is on disk, or raise."""
        pending, self._pending = self._pending, None
        if pending is not None:
            pending.result()

    def _write(self, step: int, arrays: dict[str, np.ndarray], facts: dict[str, Any]) -> None:
        """Write a step, with one retry, and delete old steps."""
        try:
            try:
                self._write_once(step, arrays, facts)
            except OSError:
                time.sleep(RETRY_AFTER)
                self._write_once(step, arrays, facts)
            self._prune()
        except OSError as error:
            last = max(self.steps(), default=None)
            kept = "nothing is saved yet" if last is None else f"step {last} is saved"
            fix = "run the same command again to resume"
            raise CheckpointError(f"{error}: {kept}; {fix}") from error

    def _write_once(self, step: int, arrays: dict[str, np.ndarray], facts: dict[str, Any]) -> None:
        """Write a step."""
        self.folder.mkdir(parents=True, exist_ok=True)
        write_tensors(self.file(step), arrays, facts)

    def _prune(self) -> None:
        """Delete old steps, except the one with the highest score."""
        steps = self.steps()
        older = steps[: -self.keep]
        scores = {}
        for step in steps if older else ():
            if (score := self._score(step)) is not None:
                scores[step] = score
        best = max(scores, key=lambda step: (scores[step], step), default=None)
        for step in older:
            if step != best:
                self.file(step).unlink(missing_ok=True)

    def _score(self, step: int) -> float | None:
        """Return the score of a step; None if it has none or is damaged."""
        try:
            return read_facts(self.file(step)).get("score")
        except (DamagedFile, OSError):
            self._set_aside(step)
            return None

    def read(
        self, step: int | None = None, names: Collection[str] | None = None
    ) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Read the arrays of a step, verified by digests, and its facts.

        Without a step, the newest undamaged one is read, and damaged ones are reported on stderr.

        Args:
          step: number of the step; None: the newest.
          names: names of the arrays to read; None: all.

        Raises:
          CheckpointError: if there is no checkpoint, or the requested one is damaged.
        """
        steps, damaged = self.steps(), []
        if step is not None and step not in steps:
            there = ", ".join(map(str, steps)) or "none"
            raise CheckpointError(f"{self.folder}: no step {step}: there are {there}")
        for number in [step] if step is not None else reversed(steps):
            try:
                arrays, facts = self._read(number, names)
            except DamagedFile as error:
                damaged.append(str(error))
                continue
            for line in damaged:
                print(f"{line}: step {number} is used instead", file=sys.stderr)
            # All newer steps are damaged if the newest was asked for.
            if step is None:
                for bad in [other for other in steps if other > number]:
                    self._set_aside(bad)
            return arrays, {**facts, "step": number}
        if damaged:
            fix = "restore it from a copy, or train with a new --workdir"
            raise CheckpointError("\n".join(f"{line}: {fix}" for line in damaged))
        raise CheckpointError(f"{self.folder}: no checkpoint: train the run first")

    def _read(
        self, step: int, names: Collection[str] | None
    ) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Read one step. Raises DamagedFile or CheckpointError."""
        try:
            return read_tensors(self.file(step), names)
        except OSError as error:
            reason = error.strerror or str(error)
            if error.errno == errno.EIO:
                raise DamagedFile(f"{self.file(step)}: damaged on disk ({reason})") from error
            message = f"{self.file(step)}: cannot be read ({reason}): check the disk"
            raise CheckpointError(message) from error

    def _set_aside(self, step: int) -> None:
        """Rename a damaged file, so that its step can be written again."""
        if self.read_only:
            return
        taken = len(list(self.folder.glob(f"{step}.damaged*")))
        self.file(step).rename(self.folder / f"{step}.damaged{f'-{taken + 1}' if taken else ''}")
        sync_folder(self.folder)

    def restore(
        self, like: Any, step: int | None = None, partial: bool = False
    ) -> tuple[Any, dict[str, Any]]:
        """Read a step into the structure of `like`.

        Args:
          like: a pytree of arrays with the expected structure, shapes and dtypes.
          step: number of the step; None: the newest.
          partial: ignore arrays that `like` does not contain.

        Raises:
          CheckpointError: also if names, shapes or dtypes differ.
        """
        arrays, facts = self.read(step, flatten(like).keys() if partial else None)
        return unflatten(arrays, like), facts
