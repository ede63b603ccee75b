"""Splats of fields of known surfaces: where they lie, how they face, and what colours they have."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from nerf.foundation.errors import UserError
from nerf.rendering.images import make_render_image
from nerf.rendering.model import Model, Stage
from nerf.sampling.spaces import Contracted
from nerf.sampling.stratified import UniformSteps
from nerf.scenes import synthetic
from nerf.splats import fitting
from nerf.splats.fitting import fit_splats, thin, turn_to
from nerf.splats.rasterizer import rasterize
from nerf.splats.splats import rotation_matrices
from tests.output.test_export import CENTRE, RADIUS, ball, run_of
from tests.splats.test_splats import colours_from

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def around():
    """Return cameras around the ball of `tests.output.test_export`."""
    scene = synthetic.load(None, "train", size=32, views=24)
    return {"train": scene.cameras}, {"train": scene.names}


def shiny(samples):
    """Return the ball with a colour that depends on the direction alone."""
    return {**ball(samples), "rgb": 0.5 + 0.3 * samples.viewdirs}


def fitted(run, count=1500, degree=1):
    return fit_splats(run, count, degree, np.random.default_rng(0))


def test_splats_lie_flat_on_the_surface_and_cover_it(around):
    run = run_of(*around)
    splats = fitted(run)
    assert 1200 < len(splats) <= 1500
    radial = splats.means - CENTRE
    away = np.linalg.norm(radial, axis=-1, keepdims=True)
    assert np.quantile(np.abs(away - RADIUS), 0.95) < 0.015
    normals = np.asarray(rotation_matrices(splats.quaternions))[..., 2]
    assert np.median(np.abs((normals * radial / away).sum(-1))) > 0.98
    assert (splats.scales[:, 2] < 0.2 * splats.scales[:, 0]).all()
    # What is behind the ball does not shine through, but for the rim of its picture.
    camera = run.cameras["train"][0]
    field = make_render_image(run.model, [1.0, 1.0, 1.0])(camera)
    dark = dataclasses.replace(splats, harmonics=np.full_like(splats.harmonics[:, :1], -2.0))
    through = rasterize(dark, camera, np.ones(3, np.float32))[..., 0]
    inside = field["opacity"] > 0.99
    assert inside.sum() > 100 and np.quantile(through[inside], 0.9) < 0.25
    assert (through[field["opacity"] < 0.01] > 0.9).mean() > 0.85


def test_colours_are_those_of_the_field_from_the_cameras_that_see_them(around):
    run = run_of(*around, shiny)
    splats = fitted(run)
    for eye in np.asarray(run.cameras["train"].position)[::6]:
        towards = splats.means - eye
        towards /= np.linalg.norm(towards, axis=-1, keepdims=True)
        facing = (towards * (splats.means - CENTRE)).sum(-1) < -0.1
        error = np.abs(colours_from(splats, eye) - (0.5 + 0.3 * towards))[facing]
        assert np.median(error) < 0.02
    assert np.abs(fitted(run, degree=0).colours - splats.colours).max() > 0.02


def test_what_is_far_gets_fewer_and_larger_splats(around):
    def wall(samples):
        """Return a ball in the middle and a sphere around everything, in contracted space."""
        length = jnp.linalg.norm(samples.points, axis=-1)
        matter = (length < 0.2) | (length > 0.9)  # |x| < 0.4, |x| > 5
        return {"density": jnp.where(matter, 4000.0, 0.0), "rgb": 0.5 + 0.5 * samples.points}

    model = Model({"main": Stage(UniformSteps(512), wall)}, ("main",), Contracted())
    splats = fitted(dataclasses.replace(run_of(*around), model=model))
    length = np.linalg.norm(splats.means, axis=-1)
    near, far = length < 1.0, length > 4.0
    assert near.sum() > 100 and far.sum() > 100
    assert np.median(splats.scales[far, 0]) > 3.0 * np.median(splats.scales[near, 0])
    assert splats.scales.max() < 1.0, "no splat covers the sky"


def test_fog_has_no_surface(around):
    def fog(samples):
        return {**ball(samples), "density": jnp.full(samples.points.shape[:-1], 0.5)}

    with pytest.raises(UserError, match="no surface for splats: .* only fog: train longer"):
        fitted(run_of(*around, fog))


def test_fog_of_an_unbounded_scene_becomes_splats_too(around):
    def haze(samples):
        return {**ball(samples), "density": jnp.full(samples.points.shape[:-1], 3.0)}

    run = dataclasses.replace(run_of(*around, haze), unbounded=True)
    assert len(fitted(run)) > 1000


def test_no_splat_hangs_in_the_air_between_a_veil_and_what_is_behind_it(around):
    def veiled(samples):
        """Return the ball in a shell that blocks a fifth of the light."""
        seen = ball(samples)
        place = samples.points
        away = jnp.linalg.norm(place - jnp.broadcast_to(CENTRE, place.shape), axis=-1)
        shell = jnp.abs(away - 0.9) < 0.02
        return {**seen, "density": seen["density"] + jnp.where(shell, 5.0, 0.0)}

    run = dataclasses.replace(run_of(*around, veiled), unbounded=True)
    away = np.linalg.norm(fitted(run).means - CENTRE, axis=-1)
    in_the_air = (away > RADIUS + 0.06) & (away < 0.85)
    assert in_the_air.mean() < 0.01
    assert (np.abs(away - RADIUS) < 0.06).mean() > 0.4


def test_thinned_points_are_one_for_each_cell_and_about_as_many_as_asked_for():
    points = np.random.default_rng(0).uniform(size=(5000, 3)) * [1.0, 1.0, 0.01]
    kept, cell = thin(points, 800)
    assert 700 < len(kept) <= 800 and len(set(kept)) == len(kept)
    cells = np.floor((points - points.min(0)) / cell).astype(int)
    assert len(np.unique(cells[kept], axis=0)) == len(kept)
    assert len(np.unique(cells, axis=0)) == len(kept), "no occupied cell is without a point"
    every, _ = thin(points, 5000)
    np.testing.assert_array_equal(every, np.arange(5000))


def test_rotations_turn_up_to_normals_by_the_shortest_way():
    normals = np.random.default_rng(0).normal(size=(50, 3))
    normals = np.concatenate([normals, [[0.0, 0.0, 1.0], [0.0, 0.0, -1.0]]])
    normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
    quaternions = turn_to(normals)
    turned = np.asarray(rotation_matrices(quaternions.astype(np.float32)))
    np.testing.assert_allclose(turned[..., 2], normals, atol=1e-6)
    np.testing.assert_allclose(2.0 * quaternions[:-1, 0] ** 2 - 1.0, normals[:-1, 2], atol=1e-9)


def test_isolated_points_do_not_become_huge_splats(around, monkeypatch):
    largest = fitted(run_of(*around)).scales.max()
    monkeypatch.setattr(fitting, "MAX_SIZE", 0.2)
    assert fitted(run_of(*around)).scales.max() < 0.5 * largest
