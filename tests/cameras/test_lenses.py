"""Laws of the lenses.

Each is undone by its inverse, alone and mixed with others, and means what its formula says.
"""

import dataclasses
import json
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from PIL import Image

from nerf import scenes
from nerf.cameras.cameras import (
    Cameras,
    intrinsics,
    pixels_to_rays,
    project,
    seen_pixels,
    sees_whole_picture,
)
from nerf.cameras.lenses import (
    EQUIRECTANGULAR,
    FISHEYE,
    LENSES,
    ORTHOGRAPHIC,
    PERSPECTIVE,
    bend,
    distort,
    distort_fisheye,
    fisheye_radial,
    rational_radial,
    undistort,
)
from nerf.runs.record import cameras_from_json, cameras_to_json
from nerf.scenes.checks import check_camera
from tests.support.compiled import repeated, to_pixels, to_rays

FOX = (0.0578421, -0.0805099, -0.000980296, 0.00015575, 0.0, 0.0, 0.0, 0.0)
SHAPES = [(), (1,), (3, 1, 2)]
SIZE = 96  # of the pictures, both ways
# Of each lens: focal length that lets it see what it is for, and a distortion.
BENT = {
    PERSPECTIVE: (70.0, (-0.12, 0.03, 0.002, -0.001, 0.01, 0.05, 0.01, 0.002)),
    FISHEYE: (
        SIZE / np.pi * 0.9,
        (-0.03, 0.004, -0.001, 0.0002, 0.001, -0.002, 0.003, -0.001),
    ),  # 200 degrees
    EQUIRECTANGULAR: (SIZE / (2 * np.pi), (0,) * 8),
    ORTHOGRAPHIC: (30.0, (0,) * 8),
}
EACH_LENS = pytest.mark.parametrize("lens", BENT)


def random_rotation(rng) -> np.ndarray:
    q, r = np.linalg.qr(rng.normal(size=(3, 3)))
    q = q * np.sign(np.diag(r))
    return q * np.sign(np.linalg.det(q))


def cameras_of(lenses, seed=0) -> Cameras:
    """Cameras at random poses with these lenses (an array of any shape)."""
    rng, lenses = np.random.default_rng(seed), np.asarray(lenses, np.int32)
    c2w = [
        np.concatenate([random_rotation(rng), rng.normal(size=(3, 1))], -1)
        for _ in range(lenses.size)
    ]
    focal, distortion = (np.array([BENT[lens][i] for lens in lenses.ravel()]) for i in (0, 1))
    fy = (
        np.where(lenses.ravel() == EQUIRECTANGULAR, 2.0, 1.1) * focal
    )  # half as many degrees up as around
    K = intrinsics(focal, fy, 0.5 * SIZE, 0.5 * SIZE)
    arrays = [
        np.reshape(x, (*lenses.shape, *np.shape(x)[1:])) for x in (np.stack(c2w), K, distortion)
    ]
    c2w, K, distortion = (np.asarray(x, np.float32) for x in arrays)
    return Cameras(c2w, K, distortion, np.full((*lenses.shape, 2), SIZE, np.int32), lenses)


@pytest.mark.parametrize("lens", [PERSPECTIVE, FISHEYE])
def test_distortion_in_numpy_is_that_of_jax_in_double_precision(lens):
    xy = np.random.default_rng(0).uniform(-0.8, 0.8, (20, 2))
    (x, y), k = xy.T, np.array(BENT[lens][1])
    if lens == PERSPECTIVE:
        p1, p2, forward = *k[2:4], distort
        radial = np.divide(*rational_radial(x * x + y * y, k))
    else:
        k[6:] = 0.0  # a thin prism is added by the lens
        p1, p2, forward = *k[4:6], distort_fisheye
        radial = fisheye_radial(x * x + y * y, k)
    bent = np.stack(bend(x, y, radial, p1, p2), -1)
    assert bent.dtype == np.float64
    expected, _ = jax.jit(forward)(jnp.float32(xy), np.tile(np.float32(k), (20, 1)))
    np.testing.assert_allclose(bent, expected, atol=1e-6)
    assert np.abs(bent - xy).max() > 1e-2


def pixels_of(shape, seed=1):
    return np.random.default_rng(seed).uniform(1, SIZE - 1, (*shape, 2)).astype(np.float32)


def distorted_by_hand(x, y, k1, k2, p1, p2, k3=0, k4=0, k5=0, k6=0):
    """OpenCV's formula in float64, written apart from the code."""
    r = np.hypot(x, y)
    scale = (1 + k1 * r**2 + k2 * r**4 + k3 * r**6) / (1 + k4 * r**2 + k5 * r**4 + k6 * r**6)
    dx = 2 * p1 * x * y + p2 * (r**2 + 2 * x**2)
    dy = p1 * (r**2 + 2 * y**2) + 2 * p2 * x * y
    return np.array([x * scale + dx, y * scale + dy])


coordinates = st.tuples(*[st.floats(-0.75, 0.75, width=32)] * 2)
coefficients = st.tuples(
    st.floats(-0.375, 0.375, width=32),
    st.floats(-0.1875, 0.1875, width=32),
    *[st.floats(-(2**-7), 2**-7, width=32)] * 2,
    *[st.floats(-0.0625, 0.0625, width=32)] * 4,
) | st.just(FOX)
distort_jit, undistort_jit = jax.jit(distort), jax.jit(undistort, static_argnames="iterations")
lens_image = jax.jit(lambda lens, *given: LENSES[lens].image(*given), static_argnums=0)


def is_sane(xy, k) -> bool:
    """The radius grows at half its undistorted rate or more up to the point, and a bit beyond."""
    r = np.linspace(0, 1.1 * np.hypot(*xy), 50)
    no_tangents = [*k[:2], 0, 0, *k[4:]]
    return bool(np.all(np.diff(distorted_by_hand(r, 0 * r, *no_tangents)[0]) >= 0.5 * np.diff(r)))


@pytest.mark.long
@settings(max_examples=300, deadline=None)
@given(coordinates, coefficients)
def test_undistort_inverts_distort(xy, k):
    assume(is_sane(xy, k))
    distorted, _ = distort_jit(jnp.array(xy, jnp.float32), jnp.array(k, jnp.float32))
    back = undistort_jit(distorted, jnp.array(k, jnp.float32))
    np.testing.assert_allclose(back, xy, atol=1e-6)


@pytest.mark.long
@settings(max_examples=200, deadline=None)
@given(coordinates, coefficients)
def test_distort_is_opencv_s_formula(xy, k):
    distorted, _ = distort_jit(jnp.array(xy, jnp.float32), jnp.array(k, jnp.float32))
    np.testing.assert_allclose(distorted, distorted_by_hand(*xy, *k), atol=1e-6)


@partial(jax.jit, static_argnums=0)
def jacobians(forward, xy, k):
    """The derivative of a distortion as it says, and as JAX finds it."""
    return forward(xy, k)[1], jax.jacfwd(lambda x: forward(x, k)[0])(xy)


@pytest.mark.parametrize("forward", [distort, distort_fisheye])
@pytest.mark.parametrize("k", [FOX, (0.3, -0.2, 0.02, -0.03, 0.1, 0.2, -0.1, 0.3), (0.0,) * 8])
def test_jacobian_is_the_derivative(k, forward):
    k = jnp.array(k)
    for xy in np.random.default_rng(0).uniform(-1, 1, (10, 2)).astype(np.float32):
        np.testing.assert_allclose(*jacobians(forward, xy, k), atol=5e-6)


@pytest.mark.long
def test_no_distortion_is_the_identity():
    xy = jnp.array([[0.3, -0.7], [0.0, 0.0]])
    np.testing.assert_array_equal(undistort_jit(xy, jnp.zeros((2, 8))), xy)


@pytest.mark.long
@EACH_LENS
@pytest.mark.parametrize("shape", [*SHAPES, (500,)])
def test_a_point_on_a_pixel_s_ray_is_seen_in_that_pixel(lens, shape):
    cameras, pixels = cameras_of(np.full(shape, lens)), pixels_of(shape)
    assert cameras.lenses == (lens,)
    rays = jax.tree.map(np.asarray, to_rays(cameras, pixels))
    np.testing.assert_allclose(np.linalg.norm(rays.directions, axis=-1), 1.0, atol=1e-6)
    for t in (0.1, 1.0, 40.0):
        back, visible = to_pixels(cameras, rays.origins + t * rays.directions)
        assert back.shape == (*shape, 2) and visible.shape == shape and bool(visible.all())
        np.testing.assert_allclose(back, pixels, atol=3e-3)


@pytest.mark.long
def test_a_mixed_batch_is_what_each_lens_gives_alone():
    lenses = np.array([[0, 1, 2, 3], [3, 3, 0, 1], [2, 1, 1, 0]])
    cameras, pixels = cameras_of(lenses), pixels_of(lenses.shape)
    assert cameras.lenses == (0, 1, 2, 3)
    rays = jax.tree.map(np.asarray, to_rays(cameras, pixels))
    points = rays.origins + 2.0 * rays.directions
    seen, visible = map(np.asarray, to_pixels(cameras, points))
    assert bool(visible.all())
    for lens in BENT:
        mine = lenses == lens
        alone = cameras[mine]
        alone = dataclasses.replace(alone, model=np.asarray(alone.model))
        assert alone.lenses == (lens,)
        own = to_rays(alone, pixels[mine])
        np.testing.assert_allclose(own.directions, rays.directions[mine], atol=1e-6)
        np.testing.assert_allclose(own.origins, rays.origins[mine], atol=1e-6)
        np.testing.assert_allclose(to_pixels(alone, points[mine])[0], seen[mine], atol=1e-4)


@pytest.mark.long
def test_the_lens_stays_known_inside_a_compiled_function_that_moves_the_cameras():
    @jax.jit
    def moved(cameras, by):
        new = dataclasses.replace(cameras, c2w=cameras.c2w + by)
        assert new.lenses == (FISHEYE,)
        assert Cameras(new.c2w, new.K, new.distortion, new.size, new.model).lenses == (
            0,
            1,
            2,
            3,
        )  # not known: any
        return pixels_to_rays(new, jnp.full((2, 2), 9.0)).directions

    assert bool(jnp.isfinite(moved(cameras_of([FISHEYE, FISHEYE]), 0.0)).all())


@pytest.mark.long
@pytest.mark.parametrize(
    "lenses", [[PERSPECTIVE], [FISHEYE], [EQUIRECTANGULAR], [ORTHOGRAPHIC], [0, 1, 2, 3]]
)
def test_gradients_are_finite_everywhere(lenses):
    """Rays of pixels at the principal point and in corners.

    Points on every axis, at the camera and behind it.
    """
    cameras = dataclasses.replace(
        cameras_of(lenses), c2w=jnp.tile(jnp.eye(3, 4), (len(lenses), 1, 1))
    )
    n = len(lenses)

    def total(function, x):
        leaves = jax.tree.leaves(function(cameras, jnp.broadcast_to(x, (n, *x.shape))))
        return sum(leaf.sum() for leaf in leaves if jnp.issubdtype(leaf.dtype, jnp.floating))

    by_pixel = jax.jit(jax.grad(lambda x: total(pixels_to_rays, x)))
    for pixel in ([SIZE / 2, SIZE / 2], [0.0, 0.0], [SIZE, SIZE / 2]):
        assert bool(jnp.isfinite(by_pixel(jnp.array(pixel))).all()), pixel
    by_point = jax.jit(jax.grad(lambda x: total(lambda *a: project(*a)[0], x)))
    for point in np.concatenate([np.zeros((1, 3)), np.eye(3), -np.eye(3), [[0.1, 0.2, 1.0]]]):
        assert bool(jnp.isfinite(by_point(jnp.asarray(point, jnp.float32))).all()), point


def test_cameras_survive_a_run_s_file():
    cameras = jax.tree.map(np.asarray, cameras_of([3, 0, 1, 2]))
    back = cameras_from_json(json.loads(json.dumps(cameras_to_json(cameras))))
    assert jax.tree.structure(back) == jax.tree.structure(cameras)
    jax.tree.map(np.testing.assert_array_equal, back, cameras)


def see(lens, point, distortion=(0,) * 8):
    """Where on the plane of the picture a point in camera axes is seen."""
    return lens_image(lens, jnp.array(point, jnp.float32), jnp.array(distortion, jnp.float32))


def test_a_fisheye_lens_puts_an_angle_where_opencv_does():
    """The direction stays, and the angle follows a polynomial.

    theta_d = theta (1 + k1 theta^2 + k2 theta^4 + k3 theta^6 + k4 theta^8).
    """
    k, phi = (-0.02, 0.01, -0.003, 0.0004), 0.7
    for theta in (1e-4, 0.3, 1.2, 1.6, 2.0):  # 1.6 and more: behind the camera
        point = np.array(
            [np.sin(theta) * np.cos(phi), -np.sin(theta) * np.sin(phi), -np.cos(theta)]
        )
        bent = theta * (1 + sum(c * theta ** (2 * i + 2) for i, c in enumerate(k)))
        plane, seen = see(FISHEYE, 3.0 * point, (*k, 0, 0, 0, 0))
        np.testing.assert_allclose(plane, bent * np.array([np.cos(phi), np.sin(phi)]), rtol=2e-6)
        assert bool(seen)


def test_a_thin_prism_adds_what_colmap_adds():
    """COLMAP's THIN_PRISM_FISHEYE, written apart from the code."""
    k1, k2, k3, k4, p1, p2, sx, sy = BENT[FISHEYE][1]
    x, y, z = 0.3, -0.4, -0.5
    u, v = x / -z, -y / -z
    r = np.hypot(u, v)
    u, v = u * np.arctan(r) / r, v * np.arctan(r) / r
    t2 = u * u + v * v
    radial = k1 * t2 + k2 * t2**2 + k3 * t2**3 + k4 * t2**4
    du = u * radial + 2 * p1 * u * v + p2 * (t2 + 2 * u * u) + sx * t2
    dv = v * radial + 2 * p2 * u * v + p1 * (t2 + 2 * v * v) + sy * t2
    np.testing.assert_allclose(
        see(FISHEYE, (x, y, z), BENT[FISHEYE][1])[0], [u + du, v + dv], rtol=1e-6
    )


def test_an_equirectangular_picture_holds_every_direction_once():
    """Its pixels have the area of the sphere and no mean direction.

    They are weighted by the cosine of their latitude.
    """
    n = 64
    y, x = np.mgrid[:n, : 2 * n].reshape(2, -1) + 0.5
    focal = n / np.pi
    camera = Cameras(
        np.eye(3, 4),
        intrinsics(focal, focal, n, n / 2),
        np.zeros(8),
        np.array([2 * n, n]),
        np.array(2),
    )
    cameras = repeated(camera, len(x))
    directions = np.asarray(to_rays(cameras, np.stack([x, y], -1)).directions)
    area = np.cos((y - n / 2) / focal) / focal**2
    np.testing.assert_allclose(area.sum(), 4 * np.pi, rtol=1e-3)
    np.testing.assert_allclose(area @ directions, np.zeros(3), atol=1e-4)
    np.testing.assert_allclose(
        (directions.T * area) @ directions, 4 * np.pi / 3 * np.eye(3), atol=5e-3
    )
    everywhere = np.random.default_rng(0).normal(size=(len(x), 3)).astype(np.float32)
    assert bool(to_pixels(cameras, everywhere)[1].all())


def test_an_equirectangular_picture_has_ahead_in_its_middle_and_up_above():
    for point, plane in [
        ((0, 0, -1), (0, 0)),
        ((1, 0, 0), (np.pi / 2, 0)),
        ((0, 1, 0), (0, -np.pi / 2)),
    ]:
        np.testing.assert_allclose(see(EQUIRECTANGULAR, point)[0], plane, atol=1e-6)


@pytest.mark.long
def test_orthographic_rays_are_parallel_and_begin_where_their_pixel_is():
    camera, pixels = cameras_of(np.full(50, ORTHOGRAPHIC)), pixels_of((50,))
    camera = jax.tree.map(lambda x: jnp.broadcast_to(x[:1], x.shape), camera)
    rays = to_rays(camera, pixels)
    c2w, K = np.asarray(camera.c2w[0]), np.asarray(camera.K[0])
    np.testing.assert_allclose(rays.directions, np.tile(-c2w[:, 2], (50, 1)), atol=1e-6)
    right, down = ((np.asarray(pixels) - K[:2, 2]) / K[[0, 1], [0, 1]]).T
    np.testing.assert_allclose(
        rays.origins, c2w[:, 3] + right[:, None] * c2w[:, 0] - down[:, None] * c2w[:, 1], atol=1e-5
    )


def test_what_a_lens_folds_back_into_the_picture_is_not_seen():
    inside, beyond = (0.5, 0.0, -1.0), (5.0, 0.0, -1.0)
    barrel = (
        -0.1,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
    )  # turns back at a radius of 1.8, and comes over to the other side at 3.2
    assert [
        bool(see(PERSPECTIVE, point, barrel)[1]) for point in (inside, beyond, (2.5, 0.0, -1.0))
    ] == [
        True,
        False,
        False,
    ]
    for behind in (0.3, 1.0):  # straight behind: everywhere on the rim
        assert not bool(see(FISHEYE, (0.0, 0.0, behind))[1])


def strong_lenses(count: int):
    """Focal lengths and OPENCV distortions, many strong, that a scene accepts at 1920x1080."""
    rng, found = np.random.default_rng(0), []
    while len(found) < count:
        focal = 1920 * rng.uniform(0.4, 1.5)
        k = np.zeros(8)
        k[:4] = rng.normal(0, [0.3, 0.3, 0.005, 0.005])
        k[4] = rng.normal(0, 0.2) * rng.integers(0, 2)
        problems: list = []
        K = intrinsics(focal, focal, 960.0, 540.0)
        no_file = Path("no.png")
        check_camera(
            K,
            (1920, 1080),
            (1920.0, 1080.0),
            k.tolist(),
            lambda *what: problems.append(what),  # noqa: B023
            no_file,
        )
        found += [] if problems else [(focal, k)]
    focals, distortions = zip(*found, strict=True)
    return np.array(focals), np.stack(distortions)


@pytest.mark.long
def test_corners_of_strong_lenses_come_back_or_are_known_not_to():
    focal, distortion = strong_lenses(1000)
    identity = np.tile(np.eye(3, 4, dtype=np.float32), (1000, 1, 1))
    K = intrinsics(focal, focal, 960.0, 540.0).astype(np.float32)
    cameras = Cameras(
        identity,
        K,
        distortion.astype(np.float32),
        np.tile([1920, 1080], (1000, 1)).astype(np.int32),
    )
    corners = np.array([[0.5, 0.5], [1919.5, 0.5], [0.5, 1079.5], [1919.5, 1079.5]], np.float32)
    each = jax.tree.map(lambda x: np.repeat(x[:, None], 4, 1), cameras)
    pixels = np.tile(corners, (1000, 1, 1))
    rays = jax.tree.map(np.asarray, to_rays(each, pixels))
    back, seen = map(np.asarray, to_pixels(each, rays.origins + rays.directions))
    wrong = (np.abs(back - pixels).max(-1) > 0.5) | ~seen
    whole = sees_whole_picture(cameras)
    assert not wrong[whole].any(), "a lens that sees its whole picture has every corner"
    assert wrong[~whole].any() and (~whole).mean() < 0.25, "only corners are accepted to lie beyond"
    # Where a corner has no inverse, none exists: the radius the lens reaches falls short of it.
    for lens in np.flatnonzero(wrong.any(-1)).tolist():
        k1, k2, p1, p2, k3, *_ = distortion[lens]
        radius = np.linspace(0, 3, 3001)
        reached = radius * (1 + k1 * radius**2 + k2 * radius**4 + k3 * radius**6)
        fold = radius[int(np.argmax(np.diff(reached) <= 0.02 * np.diff(radius)))]
        sideways = 4 * (abs(p1) + abs(p2)) * fold**2
        assert np.hypot(960, 540) / focal[lens] > reached[radius <= fold].max() - sideways


@pytest.mark.long
def test_pixels_that_no_direction_leads_to_are_masked_for_every_lens(tmp_path):
    """A lens that passes for one to one by its radius.

    Its tangential part puts two corners out of reach.
    """
    focal, frames = np.hypot(160, 90) / 0.585, []
    for i, x in enumerate((0.0, 0.5, 1.0, 1.5)):
        Image.new("RGB", (320, 180), (9, 99, 199)).save(tmp_path / f"{i}.png")
        pose = [[1, 0, 0, x], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
        frames.append({"file_path": f"{i}.png", "transform_matrix": pose})
    lens = {"fl_x": focal, "fl_y": focal, "k1": -0.467, "k2": 0.055, "p1": -0.007, "p2": -0.002}
    (tmp_path / "transforms.json").write_text(
        json.dumps({"camera_model": "OPENCV", **lens, "frames": frames})
    )
    scene = scenes.load(tmp_path, "train")
    assert "mask" in scene.maps
    seen = seen_pixels(scene.cameras[0])
    for mask in scene.maps["mask"]:
        assert (
            0.95 < mask.mean() < 1.0
            and mask[20:160, 20:300].all()
            and mask[0, 0]
            and not mask[-1, -1]
        )
        np.testing.assert_array_equal(mask, seen)


@pytest.mark.long
def test_the_inverse_needs_its_iterations():
    """Three steps leave a corner near the fold of a lens where it is seen to be off."""
    k = jnp.array([-0.467, 0.055, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0], jnp.float32)
    radius = np.linspace(0, 2, 20001)
    reached = radius * (1 - 0.467 * radius**2 + 0.055 * radius**4)
    corner = jnp.array([reached[:12000].max() * 0.9999, 0.0], jnp.float32)
    back = distort_jit(undistort_jit(corner, k), k)[0]
    np.testing.assert_allclose(back, corner, atol=2e-7)
    early = distort_jit(undistort_jit(corner, k, iterations=3), k)[0]
    assert abs(float(early[0] - corner[0])) > 1e-5


@pytest.mark.long
@pytest.mark.parametrize(
    ("lens", "k1", "k2", "reach"), [(PERSPECTIVE, -0.3, 0.4, 2.0), (FISHEYE, -0.15, 0.02, 2.9)]
)
def test_corners_that_need_many_iterations_come_back_to_a_hundredth_of_a_pixel(lens, k1, k2, reach):
    """Lenses whose pictures shrink first and grow again towards the corners.

    There, Newton's first steps lead astray.
    """
    bent = reach * (1 + k1 * reach**2 + k2 * reach**4)
    focal = np.hypot(960.0, 540.0) / bent
    K = jnp.asarray(intrinsics(focal, focal, 960.0, 540.0), jnp.float32)
    camera = Cameras(
        jnp.eye(3, 4),
        K,
        jnp.zeros(8).at[:2].set(jnp.array([k1, k2])),
        np.array([1920, 1080]),
        np.array(lens),
    )
    corners = jnp.array(
        [[0.5, 0.5], [1919.5, 0.5], [0.5, 1079.5], [1919.5, 1079.5], [1919.5, 540.0]]
    )
    cameras = jax.tree.map(lambda x: jnp.broadcast_to(jnp.asarray(x), (5, *jnp.shape(x))), camera)
    rays = to_rays(cameras, corners)
    back, seen = to_pixels(cameras, rays.origins + rays.directions)
    assert bool(seen.all())
    np.testing.assert_allclose(back, corners, atol=0.01)
    angle = np.arctan(reach) if lens == PERSPECTIVE else reach
    np.testing.assert_allclose(np.arccos(-rays.directions[:4, 2]), np.full(4, angle), atol=1e-3)


@pytest.mark.long
def test_on_the_axis_a_fisheye_lens_sees_what_a_pinhole_does():
    for depth in (0.1, 0.5, 3.0):
        plane, seen = see(FISHEYE, (2e-9, -1e-9, -depth))
        np.testing.assert_allclose(plane, [2e-9 / depth, 1e-9 / depth], rtol=1e-5)
        assert bool(seen) and bool(see(FISHEYE, (0.0, 0.0, -depth))[1])
    turn = jax.jit(jax.jacobian(LENSES[FISHEYE].direction))(jnp.zeros(2), jnp.zeros(8))
    np.testing.assert_allclose(turn, [[1.0, 0.0], [0.0, -1.0], [0.0, 0.0]], atol=1e-6)


def test_an_orthographic_lens_sees_everything_before_it_at_its_own_place():
    for depth in (1e-3, 0.5, 9.0):
        plane, seen = see(ORTHOGRAPHIC, (0.3, -0.7, -depth))
        np.testing.assert_allclose(plane, [0.3, 0.7], rtol=1e-6)
        assert bool(seen) and not bool(see(ORTHOGRAPHIC, (0.3, -0.7, depth))[1])


@pytest.mark.long
def test_two_lenses_in_one_batch_have_each_their_own_rays():
    cameras, pixels = cameras_of([FISHEYE, PERSPECTIVE]), pixels_of((2,))
    rays = to_rays(cameras, pixels)
    for i in range(2):
        alone = dataclasses.replace(cameras[i : i + 1], model=np.asarray(cameras.model)[i : i + 1])
        assert len(alone.lenses) == 1
        np.testing.assert_allclose(
            to_rays(alone, pixels[i : i + 1]).directions[0], rays.directions[i], atol=1e-6
        )
