"""The scene of open surfaces: exact distances and intersections, and two sides of each surface."""

import numpy as np
import pytest

from nerf.scenes import open_surfaces, toybox
from nerf.scenes.open_surfaces import BOWL, SHEET, SURFACES, Bowl

EACH = pytest.mark.parametrize("surface", SURFACES, ids=lambda s: type(s).__name__)


def random_rays(count, seed=0):
    """Rays from a sphere around the scene to points inside of it."""
    rng = np.random.default_rng(seed)
    origins = rng.normal(size=(count, 3))
    origins *= 3.0 / np.linalg.norm(origins, axis=-1, keepdims=True)
    directions = rng.uniform(-0.8, 0.8, (count, 3)) - origins
    return origins, directions / np.linalg.norm(directions, axis=-1, keepdims=True)


@EACH
@pytest.mark.long
def test_the_distance_is_that_to_the_nearest_of_many_points(surface):
    rng = np.random.default_rng(1)
    points = rng.uniform(-1.0, 1.0, (300, 3))
    cloud = surface.sample(40_000, rng)
    nearest = np.sqrt(((points[:, None] - cloud) ** 2).sum(-1).min(-1))
    exact = surface.distance(points)
    assert (exact <= nearest + 1e-12).all(), "no sampled point is nearer than the nearest one"
    np.testing.assert_allclose(exact, nearest, atol=0.02)
    np.testing.assert_allclose(surface.distance(cloud), 0.0, atol=1e-12)


@EACH
def test_rays_meet_the_surface_for_the_first_time(surface):
    origins, directions = random_rays(400)
    t = surface.meet(origins, directions)
    hit = np.isfinite(t)
    assert 0.05 < hit.mean() < 0.95
    points = origins[hit] + t[hit, None] * directions[hit]
    np.testing.assert_allclose(surface.distance(points), 0.0, atol=1e-9)
    # Before it, and along a ray that misses, there is nothing.
    steps = np.linspace(0.0, 1.0, 4001)[:-1, None, None]
    end = np.where(hit, t - 0.01, 5.0)
    along = origins + steps * end[:, None] * directions
    assert surface.distance(along).min() > 0
    far = surface.distance(along).min(0)
    assert (far[~hit] > 1e-5).all()


@EACH
def test_normals_are_unit_and_perpendicular(surface):
    rng = np.random.default_rng(2)
    points = surface.sample(200, rng)
    normal = surface.normal(points)
    np.testing.assert_allclose(np.linalg.norm(normal, axis=-1), 1.0, atol=1e-9)
    np.testing.assert_allclose(surface.distance(points + 1e-3 * normal), 1e-3, atol=1e-6)


def test_each_side_is_a_class_with_a_normal_towards_the_viewer():
    down, inwards = np.array([[0.0, 0.0, -1.0]]), np.array([[-1.0, 0.0, 0.0]])
    above = np.array(BOWL.centre)[None] + [[0.0, 0.0, 2.0]]
    outside = np.array(SHEET.centre)[None] + [[2.0, 0.0, 0.0]]
    within = np.array(SHEET.centre)[None]
    rays = [(above, down), (above - [[0.0, 0.0, 4.0]], -down)]
    rays += [(outside, inwards), (within, -inwards)]
    found = [open_surfaces.trace(*ray) for ray in rays]
    assert [int(hits.label[0]) for hits in found] == [1, 0, 2, 3]
    for hits, (_, direction) in zip(found, rays, strict=True):
        np.testing.assert_allclose(hits.normal, -direction, atol=1e-9)
    # Through the opening, the bottom of the bowl is seen, and not a lid.
    np.testing.assert_allclose(found[0].t, 2.0 + BOWL.radius)


def test_points_of_a_lid_are_over_the_opening_and_points_of_the_bowl_are_not():
    rng = np.random.default_rng(3)
    bowl = Bowl((0.0, 0.0, 0.0), 0.5, 0.1)
    assert not bowl.is_over_opening(bowl.sample(500, rng)).any()
    angle, radius = rng.uniform(0.0, 7.0, 500), np.sqrt(rng.uniform(0.0, 0.3**2, 500))
    lid = np.stack([radius * np.cos(angle), radius * np.sin(angle), np.full(500, 0.1)], -1)
    assert bowl.is_over_opening(lid).all()
    assert not bowl.is_over_opening(lid + [0.0, 0.0, 0.5]).any()


def test_images_show_both_sides_of_both_surfaces():
    scene = open_surfaces.load(None, "train", sizes=(32,), views=6, cycles=0)
    assert len(scene) == 6 and scene.images[0].shape == (32, 32, 4)
    seen = set()
    for c2w in toybox.place("train", 6):
        seen |= set(open_surfaces.trace(*toybox.look(c2w, 32)).label.tolist())
    assert seen == {0, 1, 2, 3, toybox.NOTHING}
    for image, c2w in zip(scene.images, toybox.place("train", 6), strict=True):
        hits = open_surfaces.trace(*toybox.look(c2w, 32))
        agree = (image[..., 3] > 127).reshape(-1) == np.isfinite(hits.t)
        assert agree.mean() > 0.95
