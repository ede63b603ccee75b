"""Define claims as data: a row has arms, which are trained, and checks with margins.

The margin of a check is set before the first measurement.
"""

import copy
import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import jax
from flax import nnx

from nerf.foundation.instantiate import ConfigError, build
from nerf.runs.config_checks import check_config
from nerf.scenes import Scene
from nerf.scenes.base import LabelClass
from nerf.training.image_task import image_task

ROOT = Path(__file__).parents[2]
MAX_PARAMETER_DIFFERENCE = 0.1  # relative to the first arm


@dataclasses.dataclass(frozen=True)
class Arm:
    """One side of a claim.

    Attributes:
      name: name in the table.
      config: a module of `configs` with `get_config()`, for example "systems.siren".
      changes: values or sections of the config to replace, by dotted key.
      scene: config section of the scene to train on.
      file: file or folder of the scene, below the repository; None for a scene that is computed.
      image: whether to train on one picture.
      seen: whether a picture is trained and scored on all of its pixels, to measure how well they
        are fitted.
      shifted: whether a picture is scored after its mean colour is set to that of the truth, as
        for training that does not determine a constant.
      rates: first factors of the config's learning rates to try; see `choosing`.
      tries: further changes to try, such as bandwidths.
      measures: names of functions in `benchmarks.systems.measures` or
        `benchmarks.systems.surface_measures`, for numbers in addition to PSNR.
    """

    name: str
    config: str
    changes: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    scene: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    file: str | None = None
    image: bool = False
    seen: bool = False
    shifted: bool = False
    rates: Sequence[float] = (1 / 3, 1.0, 3.0)
    tries: Sequence[Mapping[str, Any]] = ({},)
    measures: Sequence[str] = ()

    def scenes(self) -> dict[str, Scene]:
        """Return the scene by split."""
        root = None if self.file is None else ROOT / self.file
        found = {
            split: build(dict(self.scene), root=root, split=split)
            for split in ("train", "val", "test")
        }
        if self.seen:
            scene = found["train"]
            maps = {name: arrays for name, arrays in scene.maps.items() if name != "mask"}
            whole = dataclasses.replace(scene, maps=maps)
            return dict.fromkeys(found, whole)
        return found

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
    """A margin for the difference of one number of two arms.

    Attributes:
      first: name of an arm.
      second: name of its control; None checks the number of the first arm itself.
      metric: "psnr", or a number from a measure of the arms.
      at_least: lower margin; give this or `at_most`.
      at_most: upper margin.
      ratio: check first / second instead of first - second.
      paired: whether both arms draw the same random numbers for a seed, so that the interval is
        that of the differences seed by seed; of numbers that are one per seed.
      added: whether the margin was added after the first table; such ones are counted apart.
    """

    first: str
    second: str | None = None
    metric: str = "psnr"
    at_least: float | None = None
    at_most: float | None = None
    ratio: bool = False
    paired: bool = False
    added: bool = False


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
      doublings: how often the steps of the configs may be doubled until every check is settled.
      choosing_seeds: number of seeds, none of them scored, with which learning rates are chosen:
        more than one where a seed may fail at a rate at which others do well.
      evidence: what is known about a check that does not hold or is undecided, for the page.
    """

    name: str
    system: str
    claim: str
    arms: Sequence[Arm]
    checks: Sequence[Check]
    equal_parameters: bool = True
    doublings: int = 1
    choosing_seeds: int = 1
    evidence: str = ""


def declaration(row: Row) -> str:
    """Return a digest of the arms of a row, to see whether measurements are of the present ones."""
    arms = json.dumps([dataclasses.asdict(arm) for arm in row.arms], sort_keys=True)
    return hashlib.sha256(arms.encode()).hexdigest()[:16]


def check_parameters(row: Row) -> None:
    """Check that the arms of a row have equal numbers of parameters, without training.

    Raises:
      ConfigError: an arm differs from the first by more than a tenth.
    """
    if not row.equal_parameters:
        return
    counts = [
        (arm.name, count_parameters_of(arm.resolve(changes)))
        for arm in row.arms
        for changes in arm.tries
    ]
    first = counts[0][1]
    if wrong := [
        f"{name} {n}" for name, n in counts if abs(n - first) > MAX_PARAMETER_DIFFERENCE * first
    ]:
        raise ConfigError(
            f"{row.name}: parameters differ from {first}: {', '.join(wrong)}: change the widths"
        )


def count_parameters_of(config: Mapping[str, Any], classes: Sequence[LabelClass] = ()) -> int:
    """Return the number of trainable parameters of a config's model.

    Args:
      config: the complete config.
      classes: those of the scene.
    """
    space = build(config["spaces"]["bounded"])

    def make():
        context = {"rngs": nnx.Rngs(0), "space": space, "num_dims": space.num_dims}
        context["classes"] = classes
        return nnx.to_pure_dict(nnx.state(build(config["model"], **context), nnx.Param))

    return sum(leaf.size for leaf in jax.tree.leaves(jax.eval_shape(make)))
