"""The visual hull holds all that can be seen, and little else."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nerf.cameras.cameras import Cameras, pixels_to_rays, project
from nerf.cameras.lenses import EQUIRECTANGULAR, FISHEYE, ORTHOGRAPHIC
from nerf.check.looks import wrong_silhouettes
from nerf.scenes import Scene, Similarity, synthetic
from nerf.scenes.hull import contradicting_views, visual_hull


def points_in_balls(count=4000, seed=0):
    rng = np.random.default_rng(seed)
    directions = rng.normal(size=(count, 3))
    directions *= rng.uniform(size=(count, 1)) ** (1 / 3) / np.linalg.norm(
        directions, axis=-1, keepdims=True
    )
    ball = rng.integers(0, 3, count)
    return synthetic.CENTRES[ball] + 0.97 * synthetic.RADII[ball, None] * directions


def cells_of(points, resolution):
    return tuple(np.clip((points + 1) * 0.5 * resolution, 0, resolution - 1).astype(int).T)


def centres_of(resolution):
    return (np.stack(np.meshgrid(*[np.arange(resolution)] * 3, indexing="ij"), -1) + 0.5) * (
        2 / resolution
    ) - 1


@pytest.mark.long
@pytest.mark.parametrize("resolution", [16, 32, 64])
def test_the_hull_of_the_balls_holds_them_and_little_of_the_empty_space(resolution):
    hull = visual_hull(synthetic.load(None, "train", size=64, views=24), resolution)
    assert hull.shape == (resolution,) * 3
    assert hull[cells_of(points_in_balls(), resolution)].all()
    offset = (
        np.linalg.norm(centres_of(resolution)[..., None, :] - synthetic.CENTRES, axis=-1)
        - synthetic.RADII
    )
    far = offset.min(-1) > 0.2 + 2 * np.sqrt(3) / resolution
    assert hull[far].mean() < 0.05
    if resolution == 64:
        balls = (4 / 3 * np.pi * synthetic.RADII**3).sum() / 8
        assert balls < hull.mean() < 2 * balls


def random_cameras(seed, distortion):
    """Wide lenses near the box, at random poses, with pictures of different sizes."""
    rng = np.random.default_rng(seed)
    rotations = np.linalg.qr(rng.normal(size=(3, 3, 3)))[0]
    rotations *= np.sign(np.linalg.det(rotations))[:, None, None]
    c2w = np.concatenate([rotations, rng.uniform(1.0, 2.2, (3, 1, 1)) * rotations[..., 2:]], -1)
    sizes = rng.integers(100, 300, (3, 2))
    K = np.array([[[0.6 * w, 0, 0.45 * w], [0, 0.5 * w, 0.55 * h], [0, 0, 1]] for w, h in sizes])
    bend = distortion * rng.uniform(-1, 1, (3, 8)) * [1.0, 0.3, 0.1, 0.1, 0.1, 0.0, 0.0, 0.0]
    floats = {
        name: x.astype(np.float32) for name, x in (("c2w", c2w), ("K", K), ("distortion", bend))
    }
    return Cameras(**floats, size=sizes.astype(np.int32))


@jax.jit
def _see(camera, points):
    cameras = jax.tree.map(lambda x: jnp.broadcast_to(x, (len(points), *x.shape)), camera)
    pixels, inside = project(cameras, points)
    return pixels, inside, pixels_to_rays(cameras, pixels).directions


def see(camera, points):
    """Which pixel of a camera sees each point, and whether one does.

    A lens that folds may show none twice.
    """
    pixels, inside, directions = _see(camera, jnp.asarray(points, jnp.float32))
    towards = points - np.asarray(camera.position)
    towards /= np.linalg.norm(towards, axis=-1, keepdims=True)
    inside = np.asarray(inside) & ((np.asarray(directions) * towards).sum(-1) > 1 - 1e-5)
    return np.floor(pixels).astype(int).clip(0, camera.size - 1), inside


def scene_of(cameras, images):
    return Scene(
        images, cameras, [str(i) for i in range(len(images))], Similarity(), unbounded=False
    )


@pytest.mark.long
@pytest.mark.parametrize("distortion", [0.0, 0.1, 0.5])
def test_what_every_view_sees_as_matter_or_not_at_all_is_never_carved(distortion):
    """A few points, in the corners of cells, where the ball that stands for a cell is tightest."""
    left = []
    for seed in range(30):
        resolution = (8, 16, 32)[seed % 3]
        rng, cameras = np.random.default_rng(seed), random_cameras(seed, distortion)
        cells = rng.integers(0, resolution, (12, 3)) + 0.5 + 0.499 * rng.choice([-1, 1], (12, 3))
        points = cells * (2 / resolution) - 1
        images = [np.zeros((h, w, 4), np.uint8) for w, h in cameras.size]
        for view, image in enumerate(images):
            pixels, seen = see(cameras[view], points)
            image[pixels[seen, 1], pixels[seen, 0], 3] = 1
        hull = visual_hull(scene_of(cameras, images), resolution)
        assert hull[cells_of(points, resolution)].all()
        left.append(hull.mean())
    assert np.mean(left) < 0.9  # the law is not kept by doing nothing


@pytest.mark.long
def test_distortion_is_followed():
    """Matter at the picture's rim, moved by pixels by the lens, is found where the lens puts it."""
    scene = synthetic.load(None, "train", size=64, views=8)
    lens = np.array([-0.4, 0.1, 0.01, -0.01, 0, 0, 0, 0], np.float32)
    scene = dataclasses.replace(
        scene, cameras=dataclasses.replace(scene.cameras, distortion=np.tile(lens, (8, 1)))
    )
    points = np.random.default_rng(0).uniform(-0.04, 0.04, (500, 3)) + [0.6, 0.5, 0.0]
    images = []
    for view in range(8):
        (x, y), image = see(scene.cameras[view], points)[0].T, np.zeros((64, 64, 4), np.uint8)
        image[y, x] = 255
        images.append(image)
    hull = visual_hull(dataclasses.replace(scene, images=images), 32)
    assert hull[cells_of(points, 32)].all()
    assert hull.mean() < 0.02


@pytest.mark.parametrize("lens", [FISHEYE, EQUIRECTANGULAR, ORTHOGRAPHIC])
def test_views_through_other_lenses_and_masked_pixels_carve_nothing(lens):
    scene = synthetic.load(None, "train", size=16, views=4)
    blind = dataclasses.replace(scene, images=[np.zeros_like(image) for image in scene.images])
    assert not visual_hull(blind, 16).all()
    through = dataclasses.replace(scene.cameras, model=np.full(4, lens, np.int32))
    assert visual_hull(dataclasses.replace(blind, cameras=through), 16).all()
    masked = dataclasses.replace(blind, maps={"mask": [np.zeros((16, 16), bool)] * 4})
    assert visual_hull(masked, 16).all()


def test_a_view_that_sees_nothing_empties_what_it_covers_and_full_views_carve_nothing():
    scene = synthetic.load(None, "train", size=16, views=4)
    full = [np.full_like(image, 255) for image in scene.images]
    assert visual_hull(dataclasses.replace(scene, images=full), 16).all()
    blind = [*full[:3], np.zeros_like(full[0])]
    hull = visual_hull(dataclasses.replace(scene, images=blind), 16)
    middle = (
        np.linalg.norm(centres_of(16), axis=-1) < 0.5
    )  # a lens of 1.5 widths sees 1 / 3 of its distance, 3
    assert not hull[middle].any()


@pytest.mark.long
def test_finer_hulls_lie_inside_coarser_ones():
    scene = synthetic.load(None, "train", size=32, views=8)
    for coarse in (8, 16, 32):
        blocks = visual_hull(scene, coarse).repeat(2, 0).repeat(2, 1).repeat(2, 2)
        fine = visual_hull(scene, 2 * coarse)
        assert not (fine & ~blocks).any()
        assert fine.sum() < blocks.sum()


@pytest.mark.parametrize("resolution", [1, 5, 24, 48])
def test_any_resolution_is_the_one_that_was_asked_for(resolution):
    hull = visual_hull(synthetic.load(None, "train", size=32, views=8), resolution)
    assert hull.shape == (resolution,) * 3
    assert hull[cells_of(points_in_balls(500), resolution)].all()


@pytest.mark.long
@pytest.mark.parametrize("wrong", [[], [5], [5, 11]])
def test_photos_whose_alpha_is_wrong_are_named_and_carve_nothing_of_what_all_others_see(wrong):
    scene = synthetic.load(None, "train", size=64, views=24)
    images = [image.copy() for image in scene.images]
    for view in wrong:
        columns = np.nonzero(images[view][..., 3])[1]
        images[view][:, : int(np.median(columns)), 3] = 0  # half of what it shows
    spoiled = dataclasses.replace(scene, images=images)
    found = contradicting_views(spoiled)
    assert sorted(found) == wrong
    assert [diagnostic.views for diagnostic in wrong_silhouettes(spoiled)] == [
        (scene.names[view],) for view in found
    ]
    whole, hull = visual_hull(scene, 32), visual_hull(spoiled, 32)
    assert hull[whole].all() and hull.sum() < 1.1 * whole.sum()


def test_few_silhouettes_are_not_held_against_each_other():
    assert contradicting_views(synthetic.load(None, "train", size=32, views=8)) == []
