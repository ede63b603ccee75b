"""Pictures of splats: closed forms, a slow reference without tiles, and gradients."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nerf.cameras.cameras import Cameras, intrinsics, project, repeat_camera
from nerf.cameras.lenses import EQUIRECTANGULAR, FISHEYE, ORTHOGRAPHIC, PERSPECTIVE
from nerf.paths.paths import look_at
from nerf.scenes import Similarity
from nerf.splats.blending import CUTOFF
from nerf.splats.rasterizer import BLUR, find_tiles, rasterize, render_tiles, show
from nerf.splats.splats import Y_00, Splats, transform_splats
from tests.splats.test_splats import random_splats

SIZE, FOCAL, AWAY = 65, 60.0, 3.0
BLACK = np.zeros(3, np.float32)

pytestmark = pytest.mark.long  # they compile


def camera_at(eye, lens=PERSPECTIVE, distortion=(), size=SIZE, focal=FOCAL):
    """Return a camera that looks at the origin."""
    c2w = look_at(np.array([eye], float), np.zeros(3), np.array([0.0, 0.0, 1.0]))[0]
    K = intrinsics(focal, focal, size / 2, size / 2)
    coefficients = np.zeros(8, np.float32)
    coefficients[: len(distortion)] = distortion
    shape, model = np.array([size, size], np.int32), np.array(lens, np.int32)
    return Cameras(c2w.astype(np.float32), K.astype(np.float32), coefficients, shape, model)


FRONT = camera_at([AWAY, 0.0, 0.0])  # sees +y to the right and +z up


def one(
    mean=(0.0, 0.0, 0.0), scales=(0.15, 0.15, 0.15), opacity=0.6, colour=1.0, turn=(1, 0, 0, 0)
):
    """Return a single splat of one colour."""
    harmonics = np.full((1, 1, 3), (colour - 0.5) / Y_00)
    rows = (np.array([x], float) for x in (mean, scales, turn, opacity))
    return jax.tree.map(np.float32, Splats(*rows, harmonics))


def together(*parts):
    return jax.tree.map(lambda *x: np.concatenate(x), *parts)


def reference(splats, camera, background):
    """Render every splat in every pixel, without tiles and with JAX's own gradient."""
    distance = jnp.linalg.norm(splats.means - camera.position[None], axis=-1)
    splats = jax.tree.map(lambda x: x[jnp.argsort(distance)], splats)
    shown, _ = show(splats, camera)
    pixels = jnp.stack(jnp.meshgrid(*[jnp.arange(SIZE) + 0.5] * 2), -1).reshape(-1, 2)
    offset = pixels[:, None] - shown.centre[None]
    xx, xy, yy = (shown.conic[None, :, i] for i in range(3))
    x, y = offset[..., 0], offset[..., 1]
    square = xx * x * x + 2.0 * xy * x * y + yy * y * y
    alpha = jnp.where(square < CUTOFF**2, shown.opacity[None] * jnp.exp(-0.5 * square), 0.0)
    after = jnp.cumprod(1.0 - alpha, -1)
    before = jnp.concatenate([jnp.ones((len(pixels), 1)), after[:, :-1]], -1)
    colour = (before * alpha) @ shown.rgb + after[:, -1:] * background[None]
    return colour.reshape(SIZE, SIZE, 3)


def test_the_peak_and_the_integral_of_one_splat_are_those_of_its_formula():
    picture = rasterize(one(), FRONT, BLACK)[..., 0]
    # Its centre is the centre of the picture, which is that of a pixel.
    assert picture[SIZE // 2, SIZE // 2] == pytest.approx(0.6, abs=1e-6)
    variance = (FOCAL * 0.15 / AWAY) ** 2 + BLUR
    whole = 2.0 * np.pi * 0.6 * variance * (1.0 - np.exp(-0.5 * CUTOFF**2))
    assert picture.sum() == pytest.approx(whole, rel=2e-3)
    y, x = np.mgrid[:SIZE, :SIZE] - SIZE // 2
    r2 = (x * x + y * y) / variance
    expected = np.where(r2 < CUTOFF**2, 0.6 * np.exp(-0.5 * r2), 0.0)
    np.testing.assert_allclose(picture, expected, atol=1e-5)


def test_a_long_splat_turns_with_its_rotation():
    long = (0.05, 0.3, 0.1)
    lying = rasterize(one(scales=long), FRONT, BLACK)
    y, x = np.mgrid[:SIZE, :SIZE] - SIZE // 2
    weights = lying[..., 0] / lying[..., 0].sum()
    assert (weights * x * x).sum() > 4.0 * (weights * y * y).sum()
    # A quarter turn about the optical axis, +x.
    half = np.sqrt(0.5)
    standing = rasterize(one(scales=long, turn=(half, half, 0.0, 0.0)), FRONT, BLACK)
    np.testing.assert_allclose(standing, np.rot90(lying), atol=1e-5)
    # Half of it turns the axes of the ellipse to the diagonal: right and up, as x is to the viewer.
    angle = np.pi / 8.0
    tilted = rasterize(one(scales=long, turn=(np.cos(angle), np.sin(angle), 0, 0)), FRONT, BLACK)
    weights = tilted[..., 0] / tilted[..., 0].sum()
    assert (weights * x * y).sum() < -2.0
    assert (weights * x * x).sum() == pytest.approx((weights * y * y).sum(), rel=1e-3)


@pytest.mark.parametrize(
    ("lens", "distortion", "focal"),
    [
        (PERSPECTIVE, (), FOCAL),
        (PERSPECTIVE, (-0.2, 0.05, 0.002, -0.001), FOCAL),
        (FISHEYE, (0.05, -0.01), FOCAL),
        (EQUIRECTANGULAR, (), 20.0),
        (ORTHOGRAPHIC, (), 20.0),
    ],
)
def test_the_picture_of_a_small_splat_has_the_spread_of_its_projected_points(
    lens, distortion, focal
):
    camera = jax.tree.map(jnp.asarray, camera_at([2.0, 1.5, 0.7], lens, distortion, focal=focal))
    splats = random_splats(5)
    splats = dataclasses.replace(splats, means=0.4 * splats.means, scales=0.1 * splats.scales)
    shown, _ = show(jax.tree.map(jnp.asarray, splats), camera)
    rng = np.random.default_rng(0)
    for i in range(len(splats)):
        normal = rng.normal(size=(20_000, 3)) * splats.scales[i]
        w, v = splats.quaternions[i, 0], splats.quaternions[i, 1:]
        # Rotation by a quaternion: x + 2 w (v * x) + 2 v * (v * x), where * is the cross product.
        crossed = np.cross(v[None], normal)
        points = splats.means[i] + normal + 2.0 * w * crossed + 2.0 * np.cross(v[None], crossed)
        many = repeat_camera(camera, len(points))
        pixels = np.asarray(project(many, jnp.asarray(points, jnp.float32))[0], float)
        a, b, c = np.asarray(shown.conic[i], float)
        covariance = np.linalg.inv([[a, b], [b, c]]) - BLUR * np.eye(2)
        found = np.cov(pixels.T)
        np.testing.assert_allclose(covariance, found, atol=0.05 * np.trace(found) + 1e-3)
        np.testing.assert_allclose(shown.centre[i], pixels.mean(0), atol=0.05)


def test_the_nearer_splat_covers_the_farther_one_from_either_side():
    red, blue = one((0.3, 0.0, 0.0), opacity=0.75), one((-0.3, 0.0, 0.0), opacity=0.5)
    paint = {"red": ([1.0, 0.0, 0.0], red), "blue": ([0.0, 0.0, 1.0], blue)}
    for name, (colour, splat) in paint.items():
        harmonics = (np.array(colour, np.float32).reshape(1, 1, 3) - 0.5) / Y_00
        paint[name] = dataclasses.replace(splat, harmonics=harmonics)
    # In either order in the file: it is the distance that counts.
    for both in (together(*paint.values()), together(*reversed(paint.values()))):
        for eye, expected in (
            ([AWAY, 0, 0], [0.75 + 0.125, 0.125, 0.25 * 0.5 + 0.125]),
            ([-AWAY, 0, 0], [0.5 * 0.75 + 0.125, 0.125, 0.5 + 0.125]),
        ):
            found = rasterize(both, camera_at(eye), np.ones(3, np.float32))[SIZE // 2, SIZE // 2]
            np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("degree", [0, 2])
def test_tiles_show_what_every_splat_in_every_pixel_shows(degree):
    splats = random_splats(300, degree)
    camera = camera_at([2.5, 1.0, 0.8])
    background = np.array([0.2, 0.5, 1.0], np.float32)
    found = rasterize(splats, camera, background)
    numbers = jax.tree.map(jnp.asarray, splats)
    expected = reference(numbers, jax.tree.map(jnp.asarray, camera), jnp.asarray(background))
    assert found.std() > 0.1
    np.testing.assert_allclose(found, expected, atol=2e-5)


def test_a_camera_that_moves_with_the_splats_sees_the_same_picture():
    moved = Similarity(2.0, camera_at([1.0, 2.0, 0.5]).c2w[:, :3].astype(float), np.ones(3))
    splats = random_splats(100)
    c2w = moved.poses(FRONT.c2w.astype(float)).astype(np.float32)
    other = dataclasses.replace(FRONT, c2w=c2w)
    there = jax.tree.map(np.float32, transform_splats(splats, moved))
    first, second = rasterize(splats, FRONT, BLACK), rasterize(there, other, BLACK)
    np.testing.assert_allclose(second, first, atol=2e-4)


def test_the_gradient_is_that_of_the_slow_reference_and_of_finite_differences():
    splats = jax.tree.map(jnp.asarray, random_splats(60, 1, seed=3))
    camera = jax.tree.map(jnp.asarray, camera_at([2.5, 1.0, 0.8]))
    background = jnp.array([0.2, 0.5, 1.0])
    target = jnp.asarray(
        np.random.default_rng(1).uniform(size=(SIZE + 8, SIZE + 8, 3)), jnp.float32
    )
    groups = list(find_tiles(splats, camera))

    def by_tiles(splats, background):
        total = 0.0
        for tiles in groups:
            shown = render_tiles(splats, camera, tiles, background)
            for i in np.flatnonzero(tiles.used.any(-1)):
                x, y = (int(c) for c in tiles.corners[i])
                wide, high = min(8, SIZE - x), min(8, SIZE - y)
                part = target[y : y + high, x : x + wide]
                total += jnp.square(shown[i, :high, :wide] - part).sum()
        return total

    def by_pixels(splats, background):
        covered = np.zeros((SIZE + 8, SIZE + 8, 1), bool)
        for tiles in groups:
            for x, y in tiles.corners[tiles.used.any(-1)]:
                covered[y : y + 8, x : x + 8] = True
        error = jnp.square(reference(splats, camera, background) - target[:SIZE, :SIZE])
        return jnp.where(covered[:SIZE, :SIZE], error, 0.0).sum()

    found = jax.grad(by_tiles, (0, 1))(splats, background)
    expected = jax.grad(by_pixels, (0, 1))(splats, background)
    for name in ("means", "scales", "quaternions", "opacities", "harmonics"):
        mine, theirs = getattr(found[0], name), getattr(expected[0], name)
        scale = float(jnp.abs(theirs).max())
        assert scale > 1e-2
        np.testing.assert_allclose(mine, theirs, atol=1e-3 * scale, err_msg=name)
    np.testing.assert_allclose(found[1], expected[1], rtol=1e-3)
    # Along the gradient of the opacities and colours, in which the picture is smooth.
    step = 1e-3 / float(jnp.linalg.norm(found[0].opacities))
    ends = [
        by_pixels(
            dataclasses.replace(splats, opacities=splats.opacities + s * step * found[0].opacities),
            background,
        )
        for s in (1, -1)
    ]
    slope = float(ends[0] - ends[1]) / (2.0 * step)
    assert slope == pytest.approx(float(jnp.square(found[0].opacities).sum()), rel=0.02)


def test_what_is_behind_beside_or_at_the_camera_is_not_drawn():
    places = ([AWAY + 1.0, 0, 0], [AWAY, 0.0, 0.0], [AWAY - 1e-4, 0, 0], [0.0, 50.0, 0.0])
    nothing = rasterize(together(*[one(place) for place in places]), FRONT, BLACK)
    np.testing.assert_array_equal(nothing, 0.0)
    assert rasterize(one([0.0, 1.7, 0.0]), FRONT, BLACK).max() > 0.05, "it reaches into the picture"


def test_no_light_passes_many_opaque_splats_and_nothing_breaks():
    many = together(*[one((0.01 * i, 0.0, 0.0), opacity=1.0) for i in range(30)])
    picture = rasterize(many, FRONT, BLACK)
    assert np.isfinite(picture).all()
    assert picture[SIZE // 2, SIZE // 2] == pytest.approx(1.0, abs=1e-5)
    tiles = next(find_tiles(many, FRONT))
    camera = jax.tree.map(jnp.asarray, FRONT)

    def total(splats):
        return render_tiles(splats, camera, tiles, jnp.zeros(3)).sum()

    slopes = jax.grad(total)(jax.tree.map(jnp.asarray, many))
    assert all(bool(jnp.isfinite(x).all()) for x in jax.tree.leaves(slopes))
