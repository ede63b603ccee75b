"""Checkpoints: a file of plain arrays for each step, with digests verified on reading (`nerf.runs.safetensors`)."""

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
OTHER_MODEL = (
    "config.json or the code changed since it was saved: undo that, or train with a new --workdir"
)
RETRY_AFTER = 1.0  # seconds, of a save that failed


class CheckpointError(UserError, RuntimeError):
    """A checkpoint that cannot be used or written; the message is one line, or one for each step."""


def flatten(tree: Any) -> dict[str, jax.Array]:
    """A pytree of arrays as {path: array}, independent of the classes it is made of."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(path, simple=True, separator="/"): leaf for path, leaf in leaves}


def unflatten(flat: dict[str, np.ndarray], like: Any) -> Any:
    """Arrays of `flat` in the structure of `like`. Raises CheckpointError where names, shapes or dtypes differ."""
    expected = flatten(like)
    if missing := sorted(expected.keys() ^ flat.keys()):
        where = "the checkpoint" if missing[0] in flat else "the model of the config"
        raise CheckpointError(f"{missing[0]}: only in {where}: {OTHER_MODEL}")
    for name, leaf in expected.items():
        if flat[name].shape != leaf.shape or flat[name].dtype != leaf.dtype:
            got, wanted = (f"{x.dtype}{list(x.shape)}" for x in (flat[name], leaf))
            raise CheckpointError(
                f"{name}: {got} in the checkpoint, {wanted} in the config: {OTHER_MODEL}"
            )
    return jax.tree.unflatten(
        jax.tree.structure(like), [jax.numpy.asarray(flat[name]) for name in expected]
    )


class Checkpoints:
    """The checkpoints of a run. The newest `keep` remain, and the one with the highest `score` of those that have one.

    A file that is damaged is never deleted: unless `read_only`, it gets another name, so that training can write its
    step anew.
    """

    def __init__(self, folder: Path, keep: int = 2, read_only: bool = False):
        self.folder, self.keep, self.read_only = folder, keep, read_only
        self._writer = ThreadPoolExecutor(1, "checkpoint")
        self._pending: Future | None = None
        self._copies: dict[str, np.ndarray] = {}

    def file(self, step: int) -> Path:
        """Where a step is, or would be."""
        return self.folder / f"{step}{SUFFIX}"

    def steps(self) -> list[int]:
        """The steps on disk, oldest first."""
        return sorted(
            int(file.stem) for file in self.folder.glob(f"*{SUFFIX}") if file.stem.isdecimal()
        )

    def newest_facts(self) -> dict[str, Any] | None:
        """The facts of the newest step whose header is sound, its number under "step"; None where there is none."""
        for step in reversed(self.steps()):
            with contextlib.suppress(DamagedFile, OSError):
                return {**read_facts(self.file(step)), "step": step}
        return None

    def save(self, step: int, tree: Any, **facts: Any) -> None:
        """Write a step in the background, with `facts` (JSON) in it. A step that exists is left as it is.

        Its failure, after one retry, is raised by `check`, `wait` or the next save as a CheckpointError.
        """
        self.wait()
        if step in self.steps():
            return
        leaves = flatten(tree)
        if (
            not self._copies
        ):  # the same memory for every save: else it splits what a step needs in one piece
            self._copies = {name: np.empty(leaf.shape, leaf.dtype) for name, leaf in leaves.items()}
        for name, leaf in leaves.items():
            np.copyto(self._copies[name], leaf)  # the step reuses its buffers
        self._pending = self._writer.submit(self._write, step, self._copies, facts)

    def check(self) -> None:
        """Raise the failure of a save, if there was one. Does not wait."""
        if self._pending is not None and self._pending.done():
            self.wait()

    def wait(self) -> None:
        """Return when everything is on disk, or raise."""
        pending, self._pending = self._pending, None
        if pending is not None:
            pending.result()

    def _write(self, step: int, arrays: dict[str, np.ndarray], facts: dict[str, Any]) -> None:
        try:
            try:
                self._write_once(step, arrays, facts)
            except OSError:
                time.sleep(RETRY_AFTER)
                self._write_once(step, arrays, facts)
        except OSError as error:
            last = max(self.steps(), default=None)
            kept = "nothing is saved yet" if last is None else f"step {last} is saved"
            raise CheckpointError(
                f"{error}: {kept}; run the same command again to resume"
            ) from error
        self._prune()

    def _write_once(self, step: int, arrays: dict[str, np.ndarray], facts: dict[str, Any]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        write_tensors(self.file(step), arrays, facts)

    def _prune(self) -> None:
        steps = self.steps()
        older = steps[: -self.keep]
        scores = (
            {step: score for step in steps if (score := self._score(step)) is not None}
            if older
            else {}
        )
        best = max(scores, key=lambda step: (scores[step], step), default=None)
        for step in older:
            if step != best:
                self.file(step).unlink(missing_ok=True)

    def _score(self, step: int) -> float | None:
        try:
            return read_facts(self.file(step)).get("score")
        except (DamagedFile, OSError):
            self._set_aside(step)
            return None

    def read(
        self, step: int | None = None, names: Collection[str] | None = None
    ) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """The arrays of a step (those of the `names`) by name, verified against their digests, and its facts.

        Without a step: of the newest that is whole; those that are not are told on stderr, a line each. Raises
        CheckpointError where there is none, or where the one asked for is damaged.
        """
        steps, damaged = self.steps(), []
        if step is not None and step not in steps:
            raise CheckpointError(
                f"{self.folder}: no step {step}: there are {', '.join(map(str, steps)) or 'none'}"
            )
        for number in [step] if step is not None else reversed(steps):
            try:
                arrays, facts = self._read(number, names)
            except DamagedFile as error:
                damaged.append(str(error))
                continue
            for line in damaged:
                print(f"{line}: step {number} is used instead", file=sys.stderr)
            for bad in (other for other in steps if other > number) if step is None else ():
                self._set_aside(bad)
            return arrays, {**facts, "step": number}
        if damaged:
            raise CheckpointError(
                "\n".join(
                    f"{line}: restore it from a copy, or train with a new --workdir"
                    for line in damaged
                )
            )
        raise CheckpointError(f"{self.folder}: no checkpoint: train the run first")

    def _read(self, step: int, names: Collection[str] | None):
        try:
            return read_tensors(self.file(step), names)
        except OSError as error:
            reason = error.strerror or str(error)
            if error.errno == errno.EIO:
                raise DamagedFile(f"{self.file(step)}: damaged on disk ({reason})") from error
            raise CheckpointError(
                f"{self.file(step)}: cannot be read ({reason}): check the disk"
            ) from error

    def _set_aside(self, step: int) -> None:
        """Give a damaged file another name, so that it is kept and its step is free."""
        if self.read_only:
            return
        taken = len(list(self.folder.glob(f"{step}.damaged*")))
        self.file(step).rename(self.folder / f"{step}.damaged{f'-{taken + 1}' if taken else ''}")
        sync_folder(self.folder)

    def restore(
        self, like: Any, step: int | None = None, partial: bool = False
    ) -> tuple[Any, dict[str, Any]]:
        """What `read` gives, with the arrays in the structure of `like`.

        `partial` leaves out arrays that `like` has no place for. Raises CheckpointError also where shapes differ.
        """
        arrays, facts = self.read(step, flatten(like).keys() if partial else None)
        return unflatten(arrays, like), facts
