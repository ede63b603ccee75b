"""Measure rows: choose, train, check convergence, judge.

All arms of a row are trained for the same number of steps. A row whose arms have not converged with
the first seed is trained for twice as many, up to `Row.doublings` times. A row with an undecided
check gets `MORE_SEEDS` seeds.
"""

import base64
import json
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.systems.choosing import Candidate, Chosen, choose
from benchmarks.systems.claims import Arm, Row, check_parameters, count_parameters_of
from benchmarks.systems.judging import UNDECIDED, has_converged, judge
from benchmarks.systems.store import Store, digest_code, digest_scenes
from benchmarks.systems.training import Trainer
from nerf.scenes import Scene

CHOOSING_SEED = 1000  # seed of the runs that choose a learning rate; it is not scored
SEEDS, MORE_SEEDS = 3, 5
MEASURES = "benchmarks.systems.measures"  # code that only arms with measures use
Result = dict[str, Any]


class Laboratory:
    """Measures rows, and keeps every run.

    Args:
      store: where the runs are kept.
      say: called with a line of progress after each run.
    """

    def __init__(self, store: Store, say: Callable[[str], None] = lambda line: None):
        self.store, self.say = store, say
        self._scenes: dict[str, dict[str, Scene]] = {}
        self._trainers: dict[str, Trainer] = {}  # compiled arms of the present row

    def measure(self, row: Row, seeds: int | None = None, steps: int | None = None) -> Result:
        """Measure all arms of a row and judge every check.

        Args:
          row: the claim.
          seeds: number of seeds; None: 3, or 5 if a check is undecided with 3.
          steps: training steps, for a quick test; None: those of the configs, doubled until the
            arms have converged.

        Returns: what the page shows of the row.

        Raises:
          ConfigError: the arms have different numbers of parameters.
        """
        check_parameters(row)
        began = time.perf_counter()
        self._trainers.clear()
        size = steps or max(arm.resolve()["steps"] for arm in row.arms)
        # The first seed shows whether the steps are enough.
        for _ in range(0 if steps else row.doublings):
            if all(has_converged(arm) for arm in self._arms(row, 1, size).values()):
                break
            size *= 2
        arms = self._arms(row, seeds or SEEDS, size)
        checks = [judge(check, arms) for check in row.checks]
        if seeds is None and any(check["verdict"] == UNDECIDED for check in checks):
            arms = self._arms(row, MORE_SEEDS, size)
            checks = [judge(check, arms) for check in row.checks]
        return {
            "system": row.system,
            "claim": row.claim,
            "arms": arms,
            "checks": checks,
            "minutes": round((time.perf_counter() - began) / 60, 2),
        }

    def _arms(self, row: Row, seeds: int, steps: int) -> dict[str, Result]:
        """Return the measurements of each arm by name."""
        found = {}
        for arm in row.arms:
            chosen = self._choose(arm, steps)
            config = arm.resolve(arm.tries[chosen.candidate.trial])
            runs = [
                self._run(arm, config, chosen.candidate.rate, seed, steps) for seed in range(seeds)
            ]
            found[arm.name] = _gather(runs, chosen, count_parameters_of(config))
        return found

    def _choose(self, arm: Arm, steps: int) -> Chosen:
        """Choose the learning rate and the try of an arm on "val"."""

        def score(one: Candidate, fraction: float) -> float:
            config = arm.resolve(arm.tries[one.trial])

            def make() -> Result:
                trainer = self._trainer(arm, config)
                return {"val": trainer.choose(CHOOSING_SEED, one.rate, fraction * steps)}

            facts = self._facts(arm, config, CHOOSING_SEED, one.rate, fraction * steps)
            facts = {**facts, "choosing": True}
            found = self.store.get(facts, make)["val"]
            said = f"try {one.trial}, " if len(arm.tries) > 1 else ""
            steps_of = f"{fraction:g} of {steps} steps"
            self.say(f"{arm.name}: {said}rate x{one.rate:.3g}, {steps_of}: {found:.2f} dB")
            return found

        return choose(len(arm.tries), arm.rates, score)

    def _run(
        self, arm: Arm, config: Mapping[str, Any], rate: float, seed: int, steps: int
    ) -> Result:
        """Return the measurements of one seed.

        Args:
          arm: the arm.
          config: its config with the chosen try.
          rate: the chosen factor of the learning rate.
          seed: the seed.
          steps: training steps.
        """
        facts = {**self._facts(arm, config, seed, rate, steps), "measures": list(arm.measures)}
        result = self.store.get(
            facts, lambda: _measure_run(self._trainer(arm, config), arm, seed, rate, steps)
        )
        psnr, (before, after) = np.mean(result["psnr"]), result["val"]
        self.say(
            f"{arm.name}: seed {seed}, {result['steps']} steps: {psnr:.2f} dB, "
            f"last quarter {after - before:+.2f} dB"
        )
        return result

    def _facts(
        self, arm: Arm, config: Mapping[str, Any], seed: int, rate: float, steps: float
    ) -> Result:
        """Return everything that decides the result of a run, but for its measures.

        Args:
          arm: the arm.
          config: its complete config.
          seed: the seed.
          rate: factor of the learning rate.
          steps: training steps.
        """
        return {
            "config": config,
            "seed": seed,
            "rate": rate,
            "steps": steps,
            "code": digest_code(config, [MEASURES] if arm.measures else []),
            "scene": digest_scenes(self._scene(arm)),
        }

    def _scene(self, arm: Arm) -> dict[str, Scene]:
        """Return the scene of an arm by split."""
        name = json.dumps([arm.file, arm.seen, dict(arm.scene)])
        if name not in self._scenes:
            self._scenes[name] = arm.scenes()
        return self._scenes[name]

    def _trainer(self, arm: Arm, config: Mapping[str, Any]) -> Trainer:
        """Return a config of an arm, compiled."""
        name = json.dumps([arm.file, arm.seen, config])
        if name not in self._trainers:
            self._trainers[name] = Trainer(config, self._scene(arm))
        return self._trainers[name]


def _measure_run(trainer: Trainer, arm: Arm, seed: int, rate: float, steps: int) -> Result:
    """Train one seed and measure everything.

    Args:
      trainer: the compiled config.
      arm: the arm, for its measures.
      seed: the seed.
      rate: factor of the learning rate.
      steps: training steps.
    """
    trained = trainer.train(seed, rate, steps)
    numbers = {"ms_per_step": trained.ms_per_step}
    numbers |= trainer.measure(trained.model, arm.measures)
    picture = trainer.picture(trained.model) if seed == 0 else b""
    return {
        "psnr": trainer.scores(trained.model, "test"),
        "val": [trained.before, trained.after],
        "numbers": numbers,
        "curve": trained.curve,
        "steps": trainer.rounded(steps),
        "picture": base64.b64encode(picture).decode(),
    }


def _gather(runs: Sequence[Result], chosen: Chosen, parameters: int) -> Result:
    """Return the measurements of an arm from those of its seeds.

    Args:
      runs: the seeds, in their order.
      chosen: the choice of its learning rate and try.
      parameters: number of trainable parameters.
    """
    tried = [
        {"part": part, "trial": one.trial, "rate": one.rate, "psnr": round(score, 3)}
        for part, one, score in chosen.scores
    ]
    return {
        "psnr": [np.round(run["psnr"], 3).tolist() for run in runs],
        "val": [np.round(run["val"], 3).tolist() for run in runs],
        "numbers": {name: [run["numbers"][name] for run in runs] for name in runs[0]["numbers"]},
        "curve": np.mean([run["curve"] for run in runs], 0).round(2).tolist(),
        "steps": runs[0]["steps"],
        "parameters": parameters,
        "rate": chosen.candidate.rate,
        "trial": chosen.candidate.trial,
        "interior": chosen.interior,
        "tried_on_val": tried,
        "picture": runs[0]["picture"],
    }
