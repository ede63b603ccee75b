"""Show a run by its classes or its objects: only some of them, or in their colours."""

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, UInt8, UInt16

from nerf.fields import Samples
from nerf.fields.with_head import WithHead
from nerf.foundation.instantiate import ConfigError, did_you_mean
from nerf.geometry.selected import Selected, select
from nerf.rendering.model import Stage, last_field
from nerf.runs.read import Run
from nerf.scenes.base import LabelClass


class InClassColours(nnx.Module):
    """A labelled field whose colour is that of the most likely class.

    Args:
      field: the labelled field.
    """

    def __init__(self, field: WithHead):
        self.field: Any = field

    @property
    def encoding(self) -> Any:
        """Return the encoding of the field."""
        return self.field.encoding

    @property
    def code_features(self) -> int:
        """Return the length of the codes that the field reads."""
        return self.field.code_features

    def picture(self, composited: Mapping[str, Array], opacity: Array) -> dict[str, Array]:
        """Return what an image shows of the composited quantities, see `WithHead`."""
        return self.field.picture(composited, opacity)

    def __call__(self, samples: Samples) -> dict[str, Array]:
        quantities = self.field(samples)
        stored = np.array([each.colour for each in self.field.classes], np.float32)
        colours = jnp.asarray(stored / 255.0)
        best = jnp.argmax(quantities[self.field.quantity], -1)
        return {**quantities, "rgb": colours[best]}


def in_class_colours(run: Run) -> Run:
    """Return a run that shows the class of each point as its colour.

    Args:
      run: a run with classes.

    Raises:
      ConfigError: it has none.
    """
    field, _ = _labelled(run, "--labels")

    *stages, last = run.model.stages
    coloured = Stage(last.sampler, InClassColours(field))
    # Classes have no light of their own.
    return with_parts(run, "class colours", stages=nnx.List([*stages, coloured]), exposure=None)


def only_classes(run: Run, names: Sequence[str], flag: str, keep: bool = True) -> Run:
    """Return a run that shows only some of its classes, or all but these.

    Args:
      run: a run with classes.
      names: names or numbers of classes.
      flag: the flag that named them, for messages.
      keep: whether these are the ones to show.

    Raises:
      ConfigError: the run has no classes, or none of a name.
    """
    field, known = _labelled(run, flag)
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        lines = [f"{flag}={name}: no such class: {did_you_mean(name, known)}" for name in unknown]
        raise ConfigError("\n".join(lines or [f"{flag}: names no class: give one of its classes"]))
    numbers = {known[name] for name in names}
    chosen = [i for i, number in enumerate(field.numbers) if (number in numbers) == keep]

    geometry = select(run.model.geometry, chosen, field.quantity)
    return with_parts(run, chosen, geometry=geometry)


def shows_classes(run: Run) -> bool:
    """Report whether a run shows only some classes, or their colours."""
    in_colours = isinstance(last_field(run.model), InClassColours)
    return in_colours or isinstance(run.model.geometry, Selected)


def _labelled(run: Run, flag: str) -> tuple[WithHead, dict[str, int]]:
    """Return the field of a run with classes, and the number of each class by name and number."""
    field = last_field(run.model)
    if not isinstance(field, WithHead):
        fix = "train it with --config=labels or --config=instances on a scene with labels"
        raise ConfigError(f"{flag}: {run.folder} has no classes: {fix}")
    numbers = {str(number): number for number in field.numbers}
    return field, {**numbers, **{each.name: each.number for each in field.classes}}


def with_parts(run: Run, what: object, **parts: Any) -> Run:
    """Return a run with other parts of its model.

    Args:
      run: the run.
      what: what is changed; its `repr` becomes a part of the stamp.
      **parts: attributes of the model.
    """
    model = nnx.merge(*nnx.split(run.model))
    for name, part in parts.items():
        setattr(model, name, nnx.data(part) if isinstance(part, nnx.Module) else part)
    stamp = hashlib.sha256(repr([run.stamp, what]).encode()).hexdigest()
    return dataclasses.replace(run, model=model, stamp=stamp)


def colour_labels(
    labels: UInt16[np.ndarray, "h w"], classes: Sequence[LabelClass]
) -> UInt8[np.ndarray, "h w 3"]:
    """Return a picture of classes in their colours; unknown pixels are black.

    Args:
      labels: 1 + the number of the class of each pixel, 0 if unknown.
      classes: the classes that may occur.
    """
    colours = np.zeros((2**16, 3), np.uint8)
    for each in classes:
        colours[each.number + 1] = each.colour
    return colours[labels]
