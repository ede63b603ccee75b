"""Estimate how long a study takes and how much time is left.

The estimate starts from assumptions and is replaced by measurements as runs end.
"""

import re
import threading
import time
from collections.abc import Iterable, Mapping, Sequence

from nerf.evaluation.interim import SHARE
from nerf.runs.results import Result

# Seconds assumed for start, compilation and final evaluation until they have been measured.
ASSUMED_OVERHEAD = 20.0


def duration(seconds: float) -> str:
    """Format a time in seconds, rounded: "40 s", "6 min", "1 h 20 min"."""
    if seconds < 90:
        return f"{max(seconds, 0.0):.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


class Forecast:
    """Estimate of how long the runs of a study take.

    Runs of a config are assumed to take as long as its finished runs did. A config without finished
    runs is assumed to take its budget plus the mean overhead of the other configs.

    Args:
      requests: label and budget in seconds of each run to train; None for runs bounded by steps.
      jobs: number of runs trained at a time.
      known: wall times in seconds of earlier runs, by label.
      frames: frames of the fly-through that each config gets after the last run.
    """

    def __init__(
        self,
        requests: Sequence[tuple[str, float | None]],
        jobs: int = 1,
        known: Mapping[str, Sequence[float]] | None = None,
        frames: int = 0,
    ):
        self.waiting, self.jobs, self.count = list(requests), jobs, len(requests)
        self.budgets = dict(requests)
        self.frames = frames
        self.films: dict[str, float] = {}  # seconds that the fly-through of a config takes
        self.walls: dict[str, list[float]] = {
            label: list(walls) for label, walls in (known or {}).items() if walls
        }
        self.running: dict[int, tuple[str, float]] = {}
        # The time at which each run expects to complete its current phase, from its own log.
        self.expected: dict[int, float] = {}
        self.lock = threading.Lock()  # guards all of these: several runs may be trained at a time

    def measured_frame(self, label: str, seconds: float | None) -> None:
        """Record how many seconds a run of a config takes to render a frame; None: unknown."""
        if seconds is not None:
            with self.lock:
                self.films[label] = self.frames * seconds

    def reuse(self, runs: Iterable[tuple[str, Result | None]]) -> None:
        """Take the time of a frame from runs that are not trained again, by label."""
        for label, result in runs:
            if result is not None:
                self.measured_frame(label, result.results["seconds_per_frame"])

    def run_seconds(self, label: str) -> float | None:
        """Return the expected wall time of a run in seconds.

        Returns: the time from its start to its results; None if there is no basis for an estimate.
        """
        if label in self.walls:
            return sum(self.walls[label]) / len(self.walls[label])
        assumed = self._assumed(label)
        reported = [
            self.expected[i] - began
            for i, (other, began) in self.running.items()
            if other == label and i in self.expected
        ]
        return max([assumed, *reported]) if assumed is not None else max(reported, default=None)

    def _assumed(self, label: str) -> float | None:
        """Return the wall time in seconds assumed for a config without finished runs."""
        ended = [
            (wall, self.budgets.get(other)) for other, walls in self.walls.items() for wall in walls
        ]
        budget = self.budgets[label]
        if budget is None:
            return sum(wall for wall, _ in ended) / len(ended) if ended else None
        overheads = [wall - other for wall, other in ended if other is not None]
        if overheads:
            return budget + sum(overheads) / len(overheads)
        return budget + (SHARE * budget + ASSUMED_OVERHEAD)

    def begin(self, number: int, label: str, budget: float | None) -> None:
        """Record that a run has started.

        Args:
          number: identifies the run in later calls.
          label: its config.
          budget: its budget in seconds; None if it is bounded by steps.
        """
        with self.lock:
            if (label, budget) in self.waiting:
                self.waiting.remove((label, budget))
            self.running[number] = label, time.monotonic()

    def hear(self, number: int, line: str) -> None:
        """Record the remaining time, "90 s left", in a progress line of a run."""
        if found := re.search(r"(\d+) s left", line):
            with self.lock:
                self.expected[number] = time.monotonic() + float(found[1])

    def end(self, number: int, finished: bool) -> float:
        """Record that a run has ended, and return its wall time in seconds.

        Only the times of finished runs are used for later estimates.
        """
        with self.lock:
            label, began = self.running.pop(number)
            self.expected.pop(number, None)
            wall = time.monotonic() - began
            if finished:
                self.walls.setdefault(label, []).append(wall)
            return wall

    def left(self) -> float | None:
        """Return the seconds until the last fly-through ends; None if there is no estimate.

        Configs whose frames have not been timed add nothing for their fly-through.
        """
        with self.lock:
            now = time.monotonic()
            waiting = [self.run_seconds(label) for label, _ in self.waiting]
            running = [
                (self.run_seconds(self.running[i][0]), self.running[i][1], i) for i in self.running
            ]
            expected = {i: until - now for i, until in self.expected.items()}
            films = sum(self.films.values())  # rendered one after the other
        if None in waiting or any(seconds is None for seconds, _, _ in running):
            return None
        # A run takes at least until it completes its current phase.
        rest = [
            max(0.0, s - (now - began), expected.get(i, 0.0))
            for s, began, i in running
            if s is not None
        ]
        work = sum(seconds for seconds in waiting if seconds is not None) + sum(rest)
        return max([work / self.jobs, *rest]) + films

    def before(self) -> str:
        """Return a line with the number of runs and the expected time."""
        runs = f"{self.count} run{'' if self.count == 1 else 's'} to train"
        seconds = self.left()
        if seconds is None:
            return f"{runs}: the time is estimated once the first run has ended"
        if all(label in self.walls for label, _ in self.waiting):
            return f"{runs}: about {duration(seconds)}, as earlier runs of these configs took" + (
                "" if self._filmed() else "; then the fly-throughs"
            )
        return (
            f"{runs}: about {duration(seconds)}, if starting and scoring take "
            f"{ASSUMED_OVERHEAD:.0f} s and a quarter of the budget; "
            "the first run of each config replaces this estimate"
        )

    def _filmed(self) -> bool:
        """Report whether the time of every fly-through is known."""
        return not self.frames or self.budgets.keys() <= self.films.keys()

    def after(self) -> str:
        """Return the time left as a suffix for a line.

        Returns: "" if no run is left or there is no estimate.
        """
        seconds = self.left()
        if seconds is None or not (self.waiting or self.running):
            return ""
        labels = {label for label, _ in [*self.waiting, *self.running.values()]}
        # A slow config may need many times its budget to evaluate its views and to render its
        # fly-through, so without a finished run the estimate is only a lower bound.
        how = "about" if labels <= self.walls.keys() and self._filmed() else "at least"
        return f"; study: {how} {duration(seconds)} left"
