"""Measure rows: choose, train, check convergence, judge.

All arms of a row are trained for the same number of steps, and the first `SEEDS` seeds for half of
them too. Rates are chosen among runs of half of the steps, and again among runs of all of them for
an arm that is worse after all than after half. A row with a check that is not settled is trained
for twice as many, up to `Row.doublings` times. A row with a margin inside an interval gets
`MORE_SEEDS` seeds.
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any

import numpy as np

from benchmarks.systems.choosing import Candidate, Chosen, choose, choose_near
from benchmarks.systems.claims import Arm, Row, check_parameters, count_parameters_of, declaration
from benchmarks.systems.judging import doubts_rate, judge
from benchmarks.systems.store import (
    Store,
    digest_code,
    digest_scenes,
    modules_of,
)
from benchmarks.systems.training import Trainer, module_of, rounded
from nerf.runs.provenance import environment
from nerf.scenes import Scene

CHOOSING_SEED = 1000  # first seed of the runs that choose a learning rate; none is scored
SEEDS, MORE_SEEDS = 3, 5
LATE = 0.5  # part of the steps for which the last candidates for a rate are trained
HALF = ("psnr", "val", "numbers", "diverged")  # measurements with half of the steps that are kept
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
        self._digests: dict[str, str] = {}  # of scenes and of code, by what they are of
        self._said: set[str] = set()
        self._environment = environment()

    def measure(self, row: Row, seeds: int | None = None, steps: int | None = None) -> Result:
        """Measure all arms of a row and judge every check.

        Args:
          row: the claim.
          seeds: number of seeds; None: 3, or 5 if a margin is inside an interval with 3.
          steps: training steps, for a quick test; None: those of the configs, doubled until the
            checks are settled.

        Returns: what the page shows of the row.

        Raises:
          ConfigError: the arms have different numbers of parameters.
        """
        check_parameters(row)
        began = time.perf_counter()
        self._trainers.clear()
        self._read_code(row)
        size = steps or max(arm.resolve()["steps"] for arm in row.arms)
        chosen = {arm.name: self._choose(row, arm, size) for arm in row.arms}
        for left in reversed(range(0 if steps else row.doublings + 1)):
            # The first seed often shows already that the steps are not enough.
            settled = self._is_settled(row, chosen, 1, size)
            if settled or not left:
                settled = self._is_settled(row, chosen, seeds or SEEDS, size)
            if settled or not left:
                break
            size *= 2
            chosen = {arm.name: self._choose(row, arm, size, chosen[arm.name]) for arm in row.arms}
        arms = self._arms(row, chosen, seeds or SEEDS, size)
        checks = [judge(check, arms) for check in row.checks]
        whole = not any(arm["diverged"] for arm in arms.values())
        if seeds is None and whole and any(check["included"] for check in checks):
            arms = self._arms(row, chosen, MORE_SEEDS, size)
            checks = [judge(check, arms) for check in row.checks]
        return {
            "system": row.system,
            "claim": row.claim,
            "declared": declaration(row),
            "arms": arms,
            "checks": checks,
            "minutes": round((time.perf_counter() - began) / 60, 2),
        }

    def _is_settled(self, row: Row, chosen: dict[str, Chosen], seeds: int, steps: int) -> bool:
        """Report whether more steps would change nothing, or cannot help since a seed diverged.

        Args:
          row: the claim.
          chosen: the choice of each arm by name; replaced for those whose rate is in doubt.
          seeds: number of seeds.
          steps: training steps.
        """
        arms = self._arms(row, chosen, seeds, steps)
        doubted = [name for name, arm in arms.items() if doubts_rate(arm)]
        if doubted:
            for arm in row.arms:
                if arm.name in doubted:
                    chosen[arm.name] = self._choose(row, arm, steps, chosen[arm.name], late=1.0)
            arms = self._arms(row, chosen, seeds, steps)
        lost = any(arm["diverged"] for arm in arms.values())
        return lost or all(judge(check, arms)["settled"] for check in row.checks)

    def _read_code(self, row: Row) -> None:
        """Import and digest all code of a row, so that later edits of files change neither."""
        for arm in row.arms:
            for config in (arm.resolve(changes) for changes in arm.tries):
                modules = modules_of(config, _code_of(arm))
                self._digests[_code_name(arm, config)] = digest_code(modules)
                for module in modules:
                    import_module(module)

    def _arms(
        self, row: Row, chosen: Mapping[str, Chosen], seeds: int, steps: int
    ) -> dict[str, Result]:
        """Return the measurements of each arm by name.

        Args:
          row: the claim.
          chosen: the choice of each arm by name.
          seeds: number of seeds.
          steps: training steps.
        """
        found = {}
        for arm in row.arms:
            choice = chosen[arm.name]
            config = arm.resolve(arm.tries[choice.candidate.trial])
            rate = choice.candidate.rate
            halves = [
                self._run(arm, config, rate, seed, steps / 2) for seed in range(min(seeds, SEEDS))
            ]
            runs = [self._run(arm, config, rate, seed, steps) for seed in range(seeds)]
            half = _gather(halves)
            found[arm.name] = {
                **_gather(runs),
                "half": {key: half[key] for key in HALF},
                "parameters": count_parameters_of(config, self._scene(arm)["train"].classes),
                **_described(choice),
            }
        return found

    def _choose(
        self, row: Row, arm: Arm, steps: int, before: Chosen | None = None, late: float = LATE
    ) -> Chosen:
        """Choose the learning rate and the try of an arm on "val".

        Args:
          row: says how.
          arm: the arm.
          steps: training steps.
          before: an earlier choice, whose neighbours are tried; None: everything.
          late: part of the steps for which the last candidates are trained.
        """

        def score(one: Candidate, part: float) -> float:
            config = arm.resolve(arm.tries[one.trial])
            tried = range(CHOOSING_SEED, CHOOSING_SEED + row.choosing_seeds)
            scores = [self._try(arm, config, one.rate, seed, part * steps) for seed in tried]
            found = float(np.mean(scores))
            said = f"try {one.trial}, " if len(arm.tries) > 1 else ""
            steps_of = f"{part:g} of {steps} steps"
            self._say_once(f"{arm.name}: {said}rate x{one.rate:.3g}, {steps_of}: {found:.2f} dB")
            return found

        if before is not None:
            return choose_near(before, score, late)
        return choose(len(arm.tries), arm.rates, score, late)

    def _try(
        self, arm: Arm, config: Mapping[str, Any], rate: float, seed: int, steps: float
    ) -> float:
        """Return the score on "val" of a seed that helps to choose; see `_run`."""
        facts = {**self._facts(arm, config, seed, rate, steps), "choosing": True}
        made = self.store.get(
            facts, lambda: {"val": self._trainer(arm, config).choose(seed, rate, steps)}
        )
        return made["val"]

    def _run(
        self, arm: Arm, config: Mapping[str, Any], rate: float, seed: int, steps: float
    ) -> Result:
        """Return the measurements of one seed.

        Args:
          arm: the arm.
          config: its config with the chosen try.
          rate: the chosen factor of the learning rate.
          seed: the seed.
          steps: training steps.
        """
        measures = arm.measures
        facts = {**self._facts(arm, config, seed, rate, steps), "measures": list(measures)}
        result = self.store.get(
            facts, lambda: self._trainer(arm, config).measure(seed, rate, steps, measures)
        )
        said = f"{arm.name}: seed {seed}, {result['steps']} steps"
        if result["diverged"]:
            self._say_once(f"{said}: diverged")
            return result
        before, after = result["val"]
        self._say_once(
            f"{said}: {np.mean(result['psnr']):.2f} dB, last quarter {after - before:+.2f} dB"
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
        scene = _scene_name(arm)
        if scene not in self._digests:
            self._digests[scene] = digest_scenes(self._scene(arm))
        return {
            # The steps of the run are those below.
            "config": {key: value for key, value in config.items() if key != "steps"},
            "shifted": arm.shifted,
            "seed": seed,
            "rate": rate,
            "steps": rounded(config, steps),
            "code": self._digests[_code_name(arm, config)],
            "scene": self._digests[scene],
            **self._environment,
        }

    def _scene(self, arm: Arm) -> dict[str, Scene]:
        """Return the scene of an arm by split."""
        name = _scene_name(arm)
        if name not in self._scenes:
            self._scenes[name] = arm.scenes()
        return self._scenes[name]

    def _trainer(self, arm: Arm, config: Mapping[str, Any]) -> Trainer:
        """Return a config of an arm, compiled."""
        name = json.dumps([arm.file, arm.seen, arm.shifted, config])
        if name not in self._trainers:
            self._trainers[name] = Trainer(config, self._scene(arm), arm.shifted)
        return self._trainers[name]

    def _say_once(self, line: str) -> None:
        """Say a line unless it was said."""
        if line not in self._said:
            self._said.add(line)
            self.say(line)


def _code_of(arm: Arm) -> list[str]:
    """Return the modules that an arm uses in addition to those that its config names."""
    return sorted({module_of(name) for name in arm.measures})


def _code_name(arm: Arm, config: Mapping[str, Any]) -> str:
    """Return the key of the digest of the code that an arm uses with a config."""
    return json.dumps([config, _code_of(arm)])


def _scene_name(arm: Arm) -> str:
    """Return the key of an arm's scene."""
    return json.dumps([arm.file, arm.seen, dict(arm.scene)])


def _gather(runs: Sequence[Result]) -> Result:
    """Return the measurements of several seeds of an arm; those that diverged are only counted."""
    whole = [run for run in runs if not run["diverged"]]
    names = whole[0]["numbers"] if whole else []
    return {
        "psnr": [np.round(run["psnr"], 3).tolist() for run in whole],
        "val": [np.round(run["val"], 3).tolist() for run in whole],
        "diverged": len(runs) - len(whole),
        "numbers": {name: [run["numbers"][name] for run in whole] for name in names},
        "curve": np.mean([run["curve"] for run in whole], 0).round(2).tolist() if whole else [],
        "steps": runs[0]["steps"],
        "picture": next((run["picture"] for run in whole if run["picture"]), ""),
    }


def _described(chosen: Chosen) -> Result:
    """Return the choice of a learning rate and a try as JSON."""
    tried = [
        {"part": part, "trial": one.trial, "rate": one.rate, "psnr": round(score, 3)}
        for part, one, score in chosen.scores
    ]
    return {
        "rate": chosen.candidate.rate,
        "trial": chosen.candidate.trial,
        "interior": chosen.interior,
        "tried_on_val": tried,
    }
