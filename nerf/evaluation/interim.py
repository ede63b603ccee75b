"""Interim scoring: when to score a run during training, and on which views, in bounded time.

Interim scorings are spaced evenly over the budget of a run. They take at most the fraction `SHARE`
of its time. If all of them on all views fit, nothing is skipped. A slower field is scored on fewer
views, and once these would be fewer than `FEWEST_VIEWS`, less often.

All interim scorings of a run use the same views. They are the beginning of one order that depends
only on the number of views, so two runs share the views of the one that uses fewer. The scoring at
the end of a run is always complete.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Num

# Largest fraction of the time of training plus the final scoring that interim scorings take.
SHARE = 0.25

# Smallest number of views of an interim scoring, if the share allows one scoring of this size.
FEWEST_VIEWS = 4

# Time to render a ray relative to the time to train on it, assumed before a scoring is measured.
FORWARD = 1 / 3


def spread_order(count: int) -> list[int]:
    """Return the numbers below `count` in an order whose every prefix is spread evenly."""
    order: dict[int, None] = {}
    number = 1
    while len(order) < count:
        # The van der Corput sequence: the binary digits of the number, mirrored at the point. The
        # dict drops repetitions and keeps the order.
        digits = f"{number:b}"[::-1]
        order[int(int(digits, 2) * count / 2 ** len(digits))] = None
        number += 1
    return list(order)


class InterimScoring:
    """Decide when a run is scored during training, and on which views.

    Args:
      times: number of scorings wanted, including the one at the end.
      sizes: width and height of each held-out view in pixels, (v, 2).
      batch_size: number of rays per training step.
      fraction: fraction of the budget already used.

    Attributes:
      views: number of held-out views.
      batches_per_view: pixels of an average view, in training batches.
      slot: number of scheduled scorings whose time has passed.
      chosen: indices of the views of every interim scoring, ascending; None before the first.
      done: number of interim scorings so far.
      spent: seconds of the interim scorings in this process, without compiling.
      per_view: measured seconds to score a view; None before the first scoring.
    """

    def __init__(
        self, times: int, sizes: Num[np.ndarray, "v 2"], batch_size: int, fraction: float = 0.0
    ):
        self.times, self.views = times, len(sizes)
        self.batches_per_view = 0.0
        if len(sizes):
            self.batches_per_view = float(np.prod(sizes, -1, dtype=float).mean()) / batch_size
        self.slot = int(fraction * times)
        self.chosen: list[int] | None = None
        self.done = 0
        self.spent = 0.0
        self.per_view: float | None = None

    def resume(self, file: Path, split: str) -> None:
        """Read the views and the number of scorings from the metrics.jsonl of a resumed run."""
        if not file.exists():
            return
        for line in file.read_text(encoding="utf-8").splitlines():
            try:
                entry = json.loads(line)
            except ValueError:
                continue  # a line cut off by a power failure
            if entry.get("split") == split and "views" in entry:
                self.chosen = entry["views"]
                self.done += 1

    def due(self, fraction: float, step: int, seconds: float) -> list[int] | None:
        """Return the views to score now, or None to continue training.

        Args:
          fraction: fraction of the budget used, in (0, 1].
          step: number of training steps so far.
          seconds: seconds of training so far.
        """
        # The last slot is the final scoring, which is not decided here.
        slot, before = int(fraction * self.times), self.slot
        self.slot = slot
        if not before < slot < self.times or not self.views:
            return None
        # Predict the time of the complete run, and with it the time allowed for interim scorings.
        per_view = self.per_view or FORWARD * self.batches_per_view * seconds / step
        total = seconds / fraction + self.views * per_view
        allowed = max(SHARE * total, per_view)
        if self.chosen is None:
            # Divide the affordable views among all interim scorings: at least FEWEST_VIEWS each.
            affordable = int(allowed / per_view)
            each = max(affordable // (self.times - 1), min(FEWEST_VIEWS, affordable))
            self.chosen = sorted(spread_order(self.views)[: max(1, each)])
        cost = len(self.chosen) * per_view
        # Wait until the time allowed so far covers half of the cost. Then a single scoring falls on
        # the middle of the run, and several are spaced evenly.
        early = self.spent + 0.5 * cost > allowed * slot / (self.times - 1)
        if early or self.spent + cost > 1.001 * allowed:
            return None
        return self.chosen

    def record(self, seconds_per_view: float | None) -> None:
        """Record a scoring of the chosen views and its seconds per view; None if not measured."""
        assert self.chosen is not None
        self.per_view = seconds_per_view or self.per_view
        self.done += 1
        self.spent += len(self.chosen) * (self.per_view or 0.0)

    def protocol(self) -> dict[str, Any]:
        """Return the entry of results.json that describes the interim scorings."""
        views = self.views if self.chosen is None else len(self.chosen)
        times = "1 scoring" if self.done == 1 else f"{self.done} scorings"
        return {"interim": f"{times} on {views} of {self.views} views, by PSNR and SSIM"}
