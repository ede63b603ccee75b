"""Estimate how long a study takes and what is left of it: assumed at first, then measured by the runs that ended."""

import re
import threading
import time
from collections.abc import Mapping, Sequence

from nerf.evaluation.interim import SHARE

ASSUMED_OVERHEAD = (
    20.0  # seconds assumed for starting, compiling and the last scoring, until a run has shown them
)


def duration(seconds: float) -> str:
    """Return a time in words, rounded: "40 s", "6 min", "1 h 20 min"."""
    if seconds < 90:
        return f"{max(seconds, 0.0):.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


class Forecast:
    """Estimate how long the runs of a study take.

    Runs of one config take as long as those of it that have ended; another config takes its budget and what the others
    took beside theirs.

    Args:
      wanted: label and budget in seconds (None: bounded by steps) of each run that is to be trained.
      jobs: how many are trained at a time.
      known: seconds that earlier runs took, by label.
    """

    def __init__(
        self,
        wanted: Sequence[tuple[str, float | None]],
        jobs: int = 1,
        known: Mapping[str, Sequence[float]] | None = None,
    ):
        self.waiting, self.jobs, self.count = list(wanted), jobs, len(wanted)
        self.budgets = dict(wanted)
        self.walls: dict[str, list[float]] = {
            label: list(walls) for label, walls in (known or {}).items() if walls
        }
        self.running: dict[int, tuple[str, float]] = {}
        self.told: dict[
            int, float
        ] = {}  # when the work at hand of a run will be done, as it says itself
        self.lock = threading.Lock()  # several runs may be trained at a time

    def run_seconds(self, label: str) -> float | None:
        """Return how long a run takes, from its start to its results; None where nothing tells."""
        if label in self.walls:
            return sum(self.walls[label]) / len(self.walls[label])
        assumed = self._assumed(label)
        told = [
            self.told[i] - began
            for i, (other, began) in self.running.items()
            if other == label and i in self.told
        ]
        return max([assumed, *told]) if assumed is not None else max(told, default=None)

    def _assumed(self, label: str) -> float | None:
        ended = [
            (wall, self.budgets.get(other)) for other, walls in self.walls.items() for wall in walls
        ]
        budget = self.budgets[label]
        if budget is None:
            return sum(wall for wall, _ in ended) / len(ended) if ended else None
        beside = [wall - other for wall, other in ended if other is not None]
        return budget + (sum(beside) / len(beside) if beside else SHARE * budget + ASSUMED_OVERHEAD)

    def begin(self, number: int, label: str, budget: float | None) -> None:
        """Count a run as begun."""
        with self.lock:
            if (label, budget) in self.waiting:
                self.waiting.remove((label, budget))
            self.running[number] = label, time.monotonic()

    def hear(self, number: int, line: str) -> None:
        """Take note of "90 s left" in what a run says of its training or its scoring."""
        if found := re.search(r"(\d+) s left", line):
            with self.lock:
                self.told[number] = time.monotonic() + float(found[1])

    def end(self, number: int, finished: bool) -> float:
        """Count a run as ended, and return its seconds. One that did not finish tells nothing of others."""
        with self.lock:
            label, began = self.running.pop(number)
            self.told.pop(number, None)
            wall = time.monotonic() - began
            if finished:
                self.walls.setdefault(label, []).append(wall)
            return wall

    def left(self) -> float | None:
        """Return the seconds until the last run ends; None where nothing tells."""
        with self.lock:
            now = time.monotonic()
            waiting = [self.run_seconds(label) for label, _ in self.waiting]
            running = [
                (self.run_seconds(self.running[i][0]), self.running[i][1], i) for i in self.running
            ]
            told = {i: until - now for i, until in self.told.items()}
        if None in waiting or any(seconds is None for seconds, _, _ in running):
            return None
        rest = [
            max(0.0, s - (now - began), told.get(i, 0.0))
            for s, began, i in running
            if s is not None
        ]
        work = sum(seconds for seconds in waiting if seconds is not None) + sum(rest)
        return max([work / self.jobs, *rest])

    def before(self) -> str:
        """Return a line for the beginning of a study."""
        runs = f"{self.count} run{'' if self.count == 1 else 's'} to train"
        seconds = self.left()
        if seconds is None:
            return f"{runs}: how long that takes is known when the first has ended"
        if all(label in self.walls for label, _ in self.waiting):
            return f"{runs}: about {duration(seconds)}, as earlier runs of these configs took"
        return (
            f"{runs}: about {duration(seconds)}, if starting and scoring take {ASSUMED_OVERHEAD:.0f} s and a quarter of the"
            " budget; the first run of each config will tell"
        )

    def after(self) -> str:
        """Return what is left, for the end of a line; "" where nothing is or nothing tells."""
        seconds = self.left()
        if seconds is None or not (self.waiting or self.running):
            return ""
        labels = {label for label, _ in [*self.waiting, *self.running.values()]}
        # A slow config may take many times its budget to score its views, which only a run of it shows.
        how = "about" if labels <= self.walls.keys() else "at least"
        return f"; study: {how} {duration(seconds)} left"
