"""Define claims as data, and measure them.

All arms of a row are trained in the same way. Each arm is compiled once for all seeds and learning
rates. Every run is bounded by steps. Learning rates are chosen on the views of "val" with a seed
that is not scored; scores are of "test".
"""

import copy
import dataclasses
import json
import time
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

import jax
import numpy as np
from flax import nnx

from nerf.evaluation.evaluate import evaluate
from nerf.foundation.instantiate import ConfigError, build
from nerf.rendering.model import Model
from nerf.runs.budget import Budget
from nerf.runs.config_checks import check_config
from nerf.scenes import Scene
from nerf.training.image_task import image_task
from nerf.training.session import Session

CHOOSING_SEED = 1000  # seed of the runs that choose a learning rate
MAX_PARAMETER_DIFFERENCE = 0.1  # relative to the first arm

# Results by arm, because several rows share arms.
_measured: dict[str, dict[str, Any]] = {}


@dataclasses.dataclass(frozen=True)
class Arm:
    """One side of a claim.

    Attributes:
      name: name in the table.
      config: a module of `configs` with `get_config()`, for example "systems.siren".
      changes: values or sections of the config to replace, by dotted key.
      scene: config section of the scene to train on.
      image: whether to train on one picture.
      rates: factors of the config's learning rates; the best on "val" is used.
      tries: further changes; the best on "val" is used.
      measures: names of functions in `benchmarks.systems.measures`, in addition to PSNR.
    """

    name: str
    config: str
    changes: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    scene: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    image: bool = False
    rates: Sequence[float] = (0.3, 1.0, 3.0)
    tries: Sequence[Mapping[str, Any]] = ({},)
    measures: Sequence[str] = ()

    def resolve(self, more: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Return the config to train, with `more` changes (default: the first try).

        Raises:
          ConfigError: a key names an unknown section.
        """
        config = json.loads(
            json.dumps(import_module(f"configs.{self.config}").get_config().to_dict())
        )
        for key, value in {**self.changes, **(self.tries[0] if more is None else more)}.items():
            *path, last = key.split(".")
            section = config
            for word in path:
                if word not in section:
                    raise ConfigError(
                        f"{self.name}: no section '{word}' in {self.config}: fix '{key}'"
                    )
                section = section[word]
            section[last] = copy.deepcopy(value)
        config = image_task(config) if self.image else config
        config["scene"] = dict(self.scene)
        check_config(config)
        return config


@dataclasses.dataclass(frozen=True)
class Check:
    """A margin for the difference of one number of two arms, set before measuring.

    The check holds if the mean over seeds of first - second is at least (or at most) the margin.

    Attributes:
      first: name of an arm.
      second: name of its control; None checks the number of the first arm itself.
      metric: "psnr", or a number from a measure of the arms.
      at_least: lower margin; give this or `at_most`.
      at_most: upper margin.
      ratio: check first / second instead of the difference.
    """

    first: str
    second: str | None = None
    metric: str = "psnr"
    at_least: float | None = None
    at_most: float | None = None
    ratio: bool = False

    def judge(self, arms: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
        """Compute mean and standard deviation over seeds, and whether the check holds."""
        values = np.array(arms[self.first]["values"][self.metric])
        if self.second is not None:
            control = np.array(arms[self.second]["values"][self.metric])
            values = values / control if self.ratio else values - control
        mean = float(values.mean())
        spread = float(values.std(ddof=1)) if len(values) > 1 else 0.0
        holds = (
            mean >= self.at_least if self.at_least is not None else mean <= (self.at_most or 0.0)
        )
        return {**dataclasses.asdict(self), "mean": mean, "spread": spread, "holds": bool(holds)}


@dataclasses.dataclass(frozen=True)
class Row:
    """A claim of a paper, and its test.

    Attributes:
      name: short name, used on the command line.
      system: name of the system, with its paper.
      claim: the claim in one sentence.
      arms: the system, its controls, and other methods for comparison.
      checks: the margins that the claim implies.
      equal_parameters: whether the numbers of parameters must agree to within a tenth, as for
        claims about representations.
    """

    name: str
    system: str
    claim: str
    arms: Sequence[Arm]
    checks: Sequence[Check]
    equal_parameters: bool = True


class Trainer:
    """An arm, compiled once: the seed and the learning rate are arguments of its step.

    Args:
      config: the complete config.
      scenes: the scene by split; default: built from the config.
    """

    def __init__(self, config: Mapping[str, Any], scenes: Mapping[str, Scene] | None = None):
        self.config = config
        self.scenes = scenes or {
            split: build(config["scene"], root=None, split=split)
            for split in ("train", "val", "test")
        }
        self.session = Session(config, self.scenes["train"])
        self.session.compile()

    def train(self, seed: int, rate: float) -> tuple[Model, float]:
        """Train with a seed and a factor of the learning rate.

        Returns: the trained model, and the median seconds per step.
        """
        self.session.restart(seed, rate)
        ends = [0.0, *(call.seconds for call in self.session.calls(Budget(self.config["steps"])))]
        per_call = self.config["steps_per_call"]
        return self.session.model(), float(np.median(np.diff(ends))) / per_call

    def score(self, model: Model, split: str) -> float:
        """Compute the mean PSNR of the held-out views, as nerf train scores them."""
        scores = evaluate(
            model,
            self.scenes[split],
            split,
            self.config["background"],
            self.config["chunk"],
            folder=None,
        )
        assert scores is not None
        return scores["mean"]["psnr"]


def choose(arm: Arm, steps: int | None) -> tuple[Trainer, float, dict[str, float]]:
    """Choose the try and the learning-rate factor with the best PSNR on "val".

    Args:
      arm: the arm.
      steps: training steps; None uses those of the config.

    Returns: the trainer of the best try, the best factor, and the PSNR of each combination (empty
    if there is only one).
    """
    scores: dict[str, float] = {}
    best: tuple[Trainer, float, float] | None = None
    for i, more in enumerate(arm.tries):
        config = arm.resolve(more)
        trainer = Trainer({**config, "steps": steps or config["steps"]})
        for rate in arm.rates:
            # A single combination needs no training to be chosen.
            alone = len(arm.tries) * len(arm.rates) == 1
            score = 0.0 if alone else trainer.score(trainer.train(CHOOSING_SEED, rate)[0], "val")
            scores |= {} if alone else {f"try {i}, rate {rate:g}": score}
            if best is None or score > best[2]:
                best = (trainer, rate, score)
    assert best is not None
    return best[0], best[1], scores


def measure_arm(arm: Arm, seeds: Sequence[int], steps: int | None = None) -> dict[str, Any]:
    """Measure every number of an arm for each seed.

    Results are cached, so an arm that several rows share is measured once per process.

    Args:
      arm: the arm.
      seeds: seeds to train and score.
      steps: training steps; None uses those of the config.

    Returns: the values by metric (a list over seeds), and the choices that were made.
    """
    key = json.dumps(
        [[arm.resolve(more) for more in arm.tries], arm.rates, arm.measures, list(seeds), steps]
    )
    if key not in _measured:
        _measured[key] = _measure_arm(arm, seeds, steps)
    return _measured[key]


def _measure_arm(arm: Arm, seeds: Sequence[int], steps: int | None) -> dict[str, Any]:
    trainer, rate, scores = choose(arm, steps)
    config = trainer.config
    values: dict[str, list[float]] = {}
    for seed in seeds:
        model, seconds = trainer.train(seed, rate)
        found = {"psnr": trainer.score(model, "test"), "ms_per_step": 1e3 * seconds}
        for name in arm.measures:
            found |= getattr(import_module("benchmarks.systems.measures"), name)(
                model, config, trainer.scenes["test"]
            )
        for key, value in found.items():
            values.setdefault(key, []).append(float(value))
    return {
        "values": values,
        "parameters": count_parameters(model),
        "rate": rate,
        "chosen_on_val": scores,
        "steps": config["steps"],
    }


def count_parameters(model: Model) -> int:
    """Return the number of trainable parameters."""
    return sum(leaf.size for leaf in jax.tree.leaves(nnx.state(model, nnx.Param)))


def check_parameters(row: Row) -> None:
    """Check that the arms of a row have equal numbers of parameters, without training.

    Raises:
      ConfigError: an arm differs from the first by more than a tenth.
    """
    if not row.equal_parameters:
        return
    counts = {}
    for arm in row.arms:
        config = arm.resolve()
        space = build(config["spaces"]["bounded"])

        def make(config=config, space=space):
            context = {"rngs": nnx.Rngs(0), "space": space, "num_dims": space.num_dims}
            return nnx.to_pure_dict(nnx.state(build(config["model"], **context), nnx.Param))

        counts[arm.name] = sum(leaf.size for leaf in jax.tree.leaves(jax.eval_shape(make)))
    first = next(iter(counts.values()))
    if wrong := [
        f"{name} {n}"
        for name, n in counts.items()
        if abs(n - first) > MAX_PARAMETER_DIFFERENCE * first
    ]:
        raise ConfigError(
            f"{row.name}: parameters differ from {first}: {', '.join(wrong)}: change the widths"
        )


def measure_row(row: Row, seeds: Sequence[int], steps: int | None = None) -> dict[str, Any]:
    """Measure all arms of a row and judge every check.

    Args:
      row: the claim.
      seeds: seeds to train and score.
      steps: training steps; None uses those of the configs.
    """
    check_parameters(row)
    began = time.perf_counter()
    arms = {arm.name: measure_arm(arm, seeds, steps) for arm in row.arms}
    return {
        "system": row.system,
        "claim": row.claim,
        "seeds": len(seeds),
        "arms": arms,
        "checks": [check.judge(arms) for check in row.checks],
        "minutes": round((time.perf_counter() - began) / 60, 2),
    }
