"""Keep checkpoints, the log, scores and results. Only the first process has a run folder.

Several processes train one model, and exactly one of them may write. `open_recorder` decides which:
the first gets a `Recorder`, all others a `NullRecorder`, and nothing else asks which process it is.
"""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from nerf.evaluation.evaluate import evaluate, unscored
from nerf.evaluation.interim import InterimScoring
from nerf.runs.budget import Budget, change_budget
from nerf.runs.checkpoints import Checkpoints
from nerf.runs.provenance import products_of
from nerf.runs.write import RunWriter
from nerf.scenes import Scene
from nerf.scenes.splits import Views
from nerf.training.gradients import TrainState
from nerf.training.memory import return_freed_memory
from nerf.training.processes import is_first
from nerf.training.progress import Stopwatch
from nerf.training.session import Call, Session

LOGGED = ("loss", "psnr", "rays")


class NullRecorder:
    """Keep nothing, as all processes but the first."""

    def restore(self, state: TrainState) -> tuple[TrainState, int, float, int]:
        """Return the state to train from, with its steps, seconds and skipped steps."""
        return state, 0, 0.0, 0

    def start(self, session: Session) -> None:
        """Prepare for scoring, once the session knows where it starts."""

    def after_call(self, session: Session, call: Call) -> None:
        """Log, score and save as the config says, after a call of the jitted step."""
        if call.step % session.config["save_every"] == 0:
            self.save(session)

    def save(self, session: Session, score: float | None = None) -> None:
        """Save a checkpoint. Raise TrainingError in all processes if the state is not finite."""
        session.check_finite()

    def wait(self) -> None:
        """Return when everything is on disk."""

    def finish(self, session: Session) -> dict[str, Any]:
        """Score the final model and write the results; empty if stopped or nothing is kept."""
        return {}


class Recorder(NullRecorder):
    """Write the run folder.

    Args:
      folder: the run folder; made if it is missing.
      config: of the run.
      root: the scene's folder.
      views: training and held-out views.
      budget: of the run.
      plugins: packages outside `nerf` that the config may name.
      tensorboard: write TensorBoard events too.
      should_stop: asked while a view is scored.
      watch: adds up the seconds spent on scoring.
    """

    def __init__(
        self,
        folder: Path,
        config: Mapping[str, Any],
        root: Path | None,
        views: Views,
        budget: Budget,
        plugins: tuple[str, ...],
        tensorboard: bool,
        should_stop: Callable[[], bool],
        watch: Stopwatch,
    ):
        self.config, self.views, self.budget = config, views, budget
        self.should_stop, self.watch = should_stop, watch
        splits = views.by_split(config["eval_split"])
        self.run = RunWriter.open(folder, config, root, splits, tensorboard, plugins)
        self.checkpoints = Checkpoints(folder / "checkpoints", config["keep"])
        self.changes: list[dict[str, Any]] = []  # of the budget, since the run began

    def restore(self, state: TrainState) -> tuple[TrainState, int, float, int]:
        """Return the newest checkpoint's state, with its steps, seconds and skipped steps."""
        facts: dict[str, Any] = {"step": 0, "seconds": 0.0, "skipped": 0}
        if self.checkpoints.steps():
            state, facts = self.checkpoints.restore(state)
            self.changes = change_budget(self.run.folder, facts, self.budget)
            self.run.report_resumed(facts, self.changes, self.budget)
        self.run.forget_after(facts["step"])
        return state, facts["step"], facts["seconds"], facts["skipped"]

    def start(self, session: Session) -> None:
        """Plan the interim scorings of the rest of the run."""
        held_out, config = self.views.held_out, self.config
        sizes = np.zeros((0, 2)) if held_out is None else np.asarray(held_out.cameras.size)
        used = self.budget.fraction(session.step, session.seconds)
        self.interim = InterimScoring(config["eval_times"], sizes, config["batch_size"], used)
        self.interim.resume(self.run.folder / "metrics.jsonl", config["eval_split"])

    def after_call(self, session: Session, call: Call) -> None:
        """Log, score and save as the config says, after a call of the jitted step."""
        if call.taken.any() and call.step % self.config["log_every"] == 0:
            means = {name: call.mean(name) for name in LOGGED}
            self.run.log(call.step, call.seconds, "train", means)
        self._score_on_the_way(session)
        super().after_call(session, call)
        self.checkpoints.check()

    def save(self, session: Session, score: float | None = None) -> None:
        """Save a checkpoint in the background. Raise TrainingError if the state is not finite."""
        super().save(session)
        facts = {"seconds": session.seconds, "skipped": session.skipped, "score": score}
        budget = dataclasses.asdict(self.budget)
        self.checkpoints.save(session.step, session.state, **budget, **facts, extended=self.changes)

    def wait(self) -> None:
        """Return when the last checkpoint is on disk, or raise its failure."""
        self.checkpoints.wait()

    def _score_on_the_way(self, session: Session) -> None:
        """Score the model if it is due, and keep the best checkpoint of validation views."""
        used = self.budget.fraction(session.step, session.seconds)
        chosen = self.interim.due(used, session.step, session.seconds)
        held_out, every = self.views.held_out, self.config["eval_every"]
        if every and session.step % every == 0:
            scores = self._score(session, held_out)
        elif chosen is not None and held_out is not None:
            scores = self._score(session, held_out.select(chosen), chosen)
            if scores:
                self.interim.record(scores["seconds_per_view"])
        else:
            return
        # Test views decide nothing, not even which checkpoint is kept; and means over other views
        # are not comparable.
        complete = scores and len(scores["per_image"]) == self.interim.views
        if scores and complete and self.config["eval_split"] == "val":
            self.save(session, scores["mean"]["psnr"])

    def _score(
        self,
        session: Session,
        views: Scene | None,
        chosen: list[int] | None = None,
        folder: Path | None = None,
    ) -> dict[str, Any] | None:
        """Score views and log it; None if it was stopped. With `folder`, write their pictures."""
        split, config = self.config["eval_split"], self.config
        if views is None:
            return unscored(split)
        return_freed_memory()
        with self.watch("evaluate" if chosen is None else "interim"):
            scores = evaluate(
                session.model(),
                views,
                split,
                config["background"],
                config["chunk"],
                folder,
                self.should_stop,
            )
        if scores is not None:
            which = {} if chosen is None else {"views": chosen}
            self.run.log_scores(session.step, session.seconds, scores, **which)
        return scores

    def finish(self, session: Session) -> dict[str, Any]:
        """Score all held-out views and write results.json; return it, or {} if stopped."""
        scores = self._score(session, self.views.held_out, folder=self.run.folder / "eval")
        if scores is None:
            return {}
        trained_on = {"trained_on": self.views.trained_on}
        protocol = {**scores["protocol"], **self.interim.protocol(), **trained_on}
        return self.run.finish(
            {**scores, "protocol": protocol},
            train_seconds=session.seconds,
            max_seconds=self.budget.max_seconds,
            extended=self.changes,
            **{f"{name}_seconds": spent for name, spent in self.watch.seconds.items()},
            steps=session.step,
            skipped_steps=session.skipped,
            products=products_of(self.config),
            parameters=sum(leaf.size for leaf in jax.tree.leaves(session.state.params)),
        )


def open_recorder(*arguments: Any) -> NullRecorder:
    """Return a `Recorder` in the first process, and a `NullRecorder` in the others."""
    return Recorder(*arguments) if is_first() else NullRecorder()
