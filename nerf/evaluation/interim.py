"""Interim scoring: when a run is scored while it trains and on which views, so that this takes a bounded time.

Scorings fall evenly on the budget of a run. Where the share allows all of them on all views, nothing is skipped. A
slower field is scored on fewer views, and where these would be fewer than `FEWEST_VIEWS`, less often. All interim
scorings of a run are of the same views. These are the beginning of one order that only the number of views determines,
so two runs have in common the views of the one with fewer. The scoring at the end of a run is always complete.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Num

SHARE = 0.25  # of the time of training and of the complete scoring at the end
FEWEST_VIEWS = 4  # of an interim scoring, if the share allows one of as many
FORWARD = 1 / 3  # time to render a ray, against the time to train on it


def spread_order(count: int) -> list[int]:
    """Return the numbers below `count` in an order of which every beginning is spread over all of them."""
    order: dict[int, None] = {}
    number = 1
    while len(order) < count:
        # The van der Corput sequence: the binary digits of the number, mirrored at the point.
        digits = f"{number:b}"[::-1]
        order[int(int(digits, 2) * count / 2 ** len(digits))] = None
        number += 1
    return list(order)


class InterimScoring:
    """Decide whether a run is scored now, and on which views.

    Args:
      times: how many scorings are wanted, the one at the end included.
      sizes: width and height of each held-out view.
      batch_size: rays that a step of training takes.
      fraction: of the budget that is used already.

    Attributes:
      views: how many views are held out.
      slot: how many of the places for a scoring have passed.
      chosen: the views of every interim scoring, ascending; None before the first.
      done: how many interim scorings there were.
      spent: seconds that those of this process took, without compiling.
      per_view: seconds that scoring a view takes, as measured; None before the first scoring.
    """

    def __init__(
        self, times: int, sizes: Num[np.ndarray, "v 2"], batch_size: int, fraction: float = 0.0
    ):
        self.times, self.views = times, len(sizes)
        self.batches_per_view = (
            float(np.prod(sizes, -1, dtype=float).mean()) / batch_size if len(sizes) else 0.0
        )
        self.slot = int(fraction * times)
        self.chosen: list[int] | None = None
        self.done = 0
        self.spent = 0.0
        self.per_view: float | None = None

    def resume(self, file: Path, split: str) -> None:
        """Take the views and the number of scorings from the metrics.jsonl of the run that is resumed."""
        for line in file.read_text(encoding="utf-8").splitlines() if file.exists() else []:
            try:
                entry = json.loads(line)
            except ValueError:
                continue  # torn by a power cut
            if entry.get("split") == split and "views" in entry:
                self.chosen = entry["views"]
                self.done += 1

    def due(self, fraction: float, step: int, seconds: float) -> list[int] | None:
        """Return the views to score now; None where the run trains on.

        Args:
          fraction: of the budget that is used.
          step: how many steps were taken.
          seconds: of training so far.
        """
        slot, before = int(fraction * self.times), self.slot
        self.slot = slot
        if not before < slot < self.times or not self.views:
            return None
        per_view = self.per_view or FORWARD * self.batches_per_view * seconds / step
        total = seconds / fraction + self.views * per_view
        allowed = max(SHARE * total, per_view)
        if self.chosen is None:
            affordable = int(allowed / per_view)
            each = max(affordable // (self.times - 1), min(FEWEST_VIEWS, affordable))
            self.chosen = sorted(spread_order(self.views)[: max(1, each)])
        cost = len(self.chosen) * per_view
        # Half of the cost: a single scoring falls on the middle of the run, several fall evenly.
        early = self.spent + 0.5 * cost > allowed * slot / (self.times - 1)
        if early or self.spent + cost > 1.001 * allowed:
            return None
        return self.chosen

    def record(self, seconds_per_view: float | None) -> None:
        """Count a scoring of the chosen views that took so long each; None: not known."""
        assert self.chosen is not None
        self.per_view = seconds_per_view or self.per_view
        self.done += 1
        self.spent += len(self.chosen) * (self.per_view or 0.0)

    def protocol(self) -> dict[str, Any]:
        """Return what results.json says of the scorings on the way."""
        views = self.views if self.chosen is None else len(self.chosen)
        times = "1 scoring" if self.done == 1 else f"{self.done} scorings"
        return {"interim": f"{times} on {views} of {self.views} views, by PSNR and SSIM"}
