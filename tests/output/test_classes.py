"""A run by its classes: only some of them, all but some, and in their colours."""

import dataclasses

import imageio.v3 as iio
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from nerf.fields.with_head import WithHead
from nerf.foundation.instantiate import ConfigError
from nerf.geometry.density import VolumeDensity
from nerf.geometry.selected import FAR, Selected, SelectedSheets, SelectedSurface, select
from nerf.geometry.signed_distance import SignedDistance
from nerf.geometry.udf import UnsignedDistance
from nerf.output.classes import colour_labels, in_class_colours, only_classes, shows_classes
from nerf.output.frames import RenderOptions, frame_pixels
from nerf.output.parts import make_parts
from nerf.output.video_rendering import render_still
from nerf.rendering.images import make_render_image
from nerf.rendering.model import Model, Stage, classes_of
from nerf.sampling.stratified import UniformSteps
from nerf.scenes.base import LabelClass, Similarity
from tests.output.test_parts import Ball, run_of

LEFT, RIGHT = LabelClass(3, "left", (250, 10, 20)), LabelClass(40, "right", (20, 30, 240))


class Halves(WithHead):
    """A ball of two classes, or of two objects."""

    def __init__(self, field, quantity="logits", shown_as="labels"):
        self.quantity, self.shown_as = quantity, shown_as
        self.field, self.classes = field, (LEFT, RIGHT)
        self.behind = nnx.Param(jnp.zeros(2))

    def __call__(self, samples):
        x = samples.points[..., 0]
        return {**self.field(samples), self.quantity: jnp.stack([-9.0 * x, 9.0 * x], -1)}


def halves(*names):
    run = run_of(Similarity(), "halves")
    field = Halves(Ball(Similarity()), *names)
    model = Model({"main": Stage(UniformSteps(256), field)}, ["main"])
    return dataclasses.replace(run, model=model)


def picture_of(run):
    """The ball from the second camera, which sees both of its halves."""
    return make_render_image(run.model, (1.0, 1.0, 1.0), 512)(run.cameras["train"][1])


@pytest.mark.long
def test_each_class_alone_and_all_but_it_make_up_the_whole():
    run = halves()
    whole = picture_of(run)
    left, right = (picture_of(only_classes(run, [name], "--only")) for name in ("left", "40"))
    others = picture_of(only_classes(run, ["left"], "--without", keep=False))
    np.testing.assert_allclose(right["rgb"], others["rgb"], atol=1e-6)
    assert set(np.unique(left["labels"][left["opacity"] > 0.9])) == {4}
    assert set(np.unique(right["labels"][right["opacity"] > 0.9])) == {41}
    assert min((x["opacity"] > 0.9).mean() for x in (left, right)) > 0.1
    seen = np.maximum(left["opacity"], right["opacity"])
    np.testing.assert_allclose(seen, whole["opacity"], atol=1e-3)
    both = only_classes(run, ["left", "right"], "--only")
    np.testing.assert_allclose(picture_of(both)["rgb"], whole["rgb"], atol=1e-6)
    assert shows_classes(both) and shows_classes(in_class_colours(run)) and not shows_classes(run)
    # Frames of other choices are not taken for one another.
    chosen = [only_classes(run, names, "--only").stamp for names in (["left"], ["right"])]
    assert len({run.stamp, *chosen, in_class_colours(run).stamp}) == 4


@pytest.mark.long
def test_colours_of_exports_are_those_of_the_classes():
    picture = picture_of(in_class_colours(halves()))
    for each in (LEFT, RIGHT):
        there = (picture["labels"] == each.number + 1) & (picture["opacity"] > 0.999)
        # A ray along the border of the classes has a mixture of both.
        errors = np.abs(picture["rgb"][there] - np.array(each.colour) / 255.0).max(-1)
        assert there.sum() > 20 and (errors < 0.01).mean() > 0.9


def test_a_picture_of_classes_is_written_beside_the_colours(tmp_path):
    run = halves()
    parts = make_parts([run], run.cameras["train"])
    files = render_still(parts, tmp_path / "a.png", RenderOptions(labels=True), number=1)
    assert [file.name for file in files] == ["a.png", "a_labels.png"]
    shown = iio.imread(files[1])
    labels = picture_of(run)["labels"]
    assert set(np.unique(labels)) == {4, 41}
    for each in (LEFT, RIGHT):
        assert (shown[labels == each.number + 1] == each.colour).all()
    assert not colour_labels(np.zeros((2, 2), np.uint16), (LEFT, RIGHT)).any()


@pytest.mark.long
def test_objects_are_chosen_and_coloured_as_classes_are():
    objects = halves("objects", "instances")
    for run, other in zip(
        (only_classes(halves(), ["3"], "--only"), in_class_colours(halves())),
        (only_classes(objects, ["3"], "--only"), in_class_colours(objects)),
        strict=True,
    ):
        np.testing.assert_array_equal(picture_of(run)["rgb"], picture_of(other)["rgb"])
    picture, classes = picture_of(objects), classes_of(objects.model)
    assert "objects" not in picture
    np.testing.assert_array_equal(picture["instances"], picture_of(halves())["labels"])
    shown = frame_pixels(picture, "labels", None, False, classes)
    np.testing.assert_array_equal(shown, colour_labels(picture["instances"], classes))
    assert {tuple(colour) for colour in shown.reshape(-1, 3)} == {LEFT.colour, RIGHT.colour}


def test_a_wrong_name_and_a_run_without_classes_are_refused():
    with pytest.raises(ConfigError) as caught:
        only_classes(halves(), ["lef", "right", "7"], "--only")
    assert str(caught.value).splitlines() == [
        "--only=lef: no such class: did you mean 'left'?",
        "--only=7: no such class: known: 3, 40, left, right",
    ]
    with pytest.raises(ConfigError, match="--without: names no class"):
        only_classes(halves(), [], "--without", keep=False)
    plain = run_of(Similarity(), "plain")
    for refused in (lambda: only_classes(plain, ["a"], "--only"), lambda: in_class_colours(plain)):
        with pytest.raises(ConfigError, match="plain has no classes: train it with --config=lab"):
            refused()


def test_other_classes_are_outside_of_every_kind_of_surface():
    logits = jnp.array([[2.0, 1.0], [2.0, 1.0], [1.0, 2.0], [1.0, 2.0]])
    values = jnp.array([0.5, -0.5, 0.5, -0.5])
    quantities = {"logits": logits, "sdf": values, "udf": jnp.abs(values), "density": values + 1.0}
    surface = select(SignedDistance(), [1])
    assert isinstance(surface, SelectedSurface) and not isinstance(surface, SelectedSheets)
    np.testing.assert_array_equal(surface.level(quantities), [-0.5, -0.5, -0.5, 0.5])
    sheets = select(UnsignedDistance(), [0])
    np.testing.assert_array_equal(sheets.distance(quantities), [0.5, 0.5, FAR, FAR])
    volume = select(VolumeDensity(), [1])
    assert type(volume) is Selected and "logits" in volume.reads
    np.testing.assert_array_equal(volume.density(quantities), [0.0, 0.0, 1.5, 0.5])
    nothing = select(VolumeDensity(), [])
    assert not nothing.density(quantities).any()
