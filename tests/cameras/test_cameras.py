"""Laws of the camera maps: pixels <-> rays."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nerf.cameras.cameras import (
    Cameras,
    Rays,
    axis_cosines,
    intrinsics,
    points_at_depth,
    project,
    seen_pixels,
    sees_whole_picture,
)
from tests.cameras.test_lenses import FOX, SHAPES, distorted_by_hand
from tests.support.compiled import to_pixels, to_rays


def random_rotation(rng) -> np.ndarray:
    q, r = np.linalg.qr(rng.normal(size=(3, 3)))
    q = q * np.sign(np.diag(r))
    return q * np.sign(np.linalg.det(q))


def random_cameras(shape, seed=0, distortion=FOX) -> Cameras:
    rng = np.random.default_rng(seed)
    count = int(np.prod(shape))
    rotation = np.stack([random_rotation(rng) for _ in range(count)]).reshape(*shape, 3, 3)
    c2w = np.concatenate([rotation, rng.normal(size=(*shape, 3, 1))], -1)
    K = intrinsics(
        rng.uniform(80, 120, shape),
        rng.uniform(80, 120, shape),
        np.full(shape, 47.0),
        np.full(shape, 33.0),
    )
    arrays = (c2w, K, np.broadcast_to(distortion, (*shape, 8)))
    return Cameras(
        *(jnp.asarray(a, jnp.float32) for a in arrays),
        size=jnp.asarray(np.full((*shape, 2), 100, np.int32)),
    )


def axis_camera(size=4, focal=5.0) -> Cameras:
    K = jnp.asarray(intrinsics(focal, focal, size / 2, size / 2), jnp.float32)
    return Cameras(jnp.eye(3, 4), K, jnp.zeros(8), jnp.array([size, size]))


@pytest.mark.long
def test_points_at_a_depth_lie_there_and_project_to_the_centres_of_their_pixels():
    camera = dataclasses.replace(random_cameras(()), size=jnp.array([7, 5]))
    depth = np.random.default_rng(2).uniform(0.5, 3.0, (5, 7)).astype(np.float32)
    points = points_at_depth(camera, depth)
    distance = np.linalg.norm(points - np.asarray(camera.position), axis=-1)
    np.testing.assert_allclose(distance, depth, rtol=1e-5)
    y, x = np.mgrid[:5, :7] + 0.5
    repeated = jax.tree.map(lambda v: jnp.broadcast_to(v, (5, 7, *v.shape)), camera)
    back, _ = to_pixels(repeated, jnp.asarray(points))
    np.testing.assert_allclose(back, np.stack([x, y], -1), atol=2e-3)


@pytest.mark.long
@pytest.mark.parametrize("shape", SHAPES)
def test_a_point_on_a_pixel_s_ray_projects_to_that_pixel(shape):
    cameras = random_cameras(shape)
    pixels = jnp.asarray(np.random.default_rng(1).uniform(5, 95, (*shape, 2)), jnp.float32)
    rays = jax.tree.map(np.asarray, to_rays(cameras, pixels))
    for t in (0.1, 1.0, 40.0):
        back, visible = to_pixels(cameras, rays.origins + t * rays.directions)
        assert back.shape == (*shape, 2) and visible.shape == shape and bool(visible.all())
        np.testing.assert_allclose(back, pixels, atol=2e-3)


@pytest.mark.long
@pytest.mark.parametrize("shape", SHAPES)
def test_rays_are_unit_and_start_at_the_camera(shape):
    cameras = random_cameras(shape)
    rays = to_rays(cameras, np.full((*shape, 2), 12.5))
    np.testing.assert_allclose(np.linalg.norm(rays.directions, axis=-1), 1.0, atol=1e-6)
    np.testing.assert_array_equal(rays.origins, np.asarray(cameras.c2w)[..., 3])
    np.testing.assert_array_equal(rays.origins, jax.tree.map(np.asarray, cameras).position)
    np.testing.assert_array_equal(rays.viewdirs, rays.directions)


@pytest.mark.parametrize("shape", SHAPES)
def test_batches_give_what_single_rays_give(shape):
    cameras = random_cameras(shape)
    pixels = jnp.asarray(np.random.default_rng(2).uniform(0, 100, (*shape, 2)), jnp.float32)
    batch = to_rays(cameras, pixels)
    for index in np.ndindex(shape):
        single = to_rays(cameras[index], pixels[index])
        np.testing.assert_allclose(batch.directions[index], single.directions, atol=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_rays_agree_with_a_formula_in_numpy(seed):
    """The undistorted direction of pixel (u, v): R ((u - cx)/fx, -(v - cy)/fy, -1), normalised."""
    camera = random_cameras((), seed, distortion=(0,) * 8)
    K, c2w, (u, v) = np.float64(camera.K), np.float64(camera.c2w), (13.5, 71.5)
    local = np.array([(u - K[0, 2]) / K[0, 0], -(v - K[1, 2]) / K[1, 1], -1.0])
    expected = c2w[:, :3] @ local / np.linalg.norm(local)
    rays = to_rays(camera, jnp.array([u, v]))
    np.testing.assert_allclose(rays.directions, expected, atol=1e-6)


def test_a_distorted_ray_is_the_one_whose_distorted_image_is_the_pixel():
    camera, point = random_cameras(()), np.array([0.4, -0.3])
    K, c2w = np.float64(camera.K), np.float64(camera.c2w)
    pixel = K[:2, :2] @ distorted_by_hand(*point, *FOX) + K[:2, 2]
    direction = c2w[:, :3] @ [point[0], -point[1], -1.0]
    rays = to_rays(camera, jnp.asarray(pixel, jnp.float32))
    np.testing.assert_allclose(rays.directions, direction / np.linalg.norm(direction), atol=1e-6)


def test_the_centre_of_the_image_looks_along_minus_z():
    rays = to_rays(axis_camera(size=4), jnp.array([2.0, 2.0]))
    np.testing.assert_array_equal(rays.directions, [0, 0, -1])


def test_the_top_left_pixel_looks_left_and_up():
    x, y, z = to_rays(axis_camera(size=4, focal=5.0), jnp.array([0.5, 0.5])).directions
    np.testing.assert_allclose([x / -z, y / -z], [-1.5 / 5, 1.5 / 5], rtol=1e-6)


def test_what_is_behind_or_beside_is_not_visible():
    camera = axis_camera(size=4, focal=4.0)
    ahead, behind, beside, edge = ([0, 0, -1.0], [0, 0, 1.0], [0.51, 0, -1.0], [0.49, 0.49, -1.0])
    seen = [bool(to_pixels(camera, jnp.array(p))[1]) for p in (ahead, behind, beside, edge)]
    assert seen == [True, False, False, True]


def test_projection_has_finite_gradients_at_and_behind_the_camera():
    jacobian = jax.jit(jax.jacfwd(lambda p: project(axis_camera(), p)[0]))
    for z in (0.0, 1.0, -1.0):
        assert bool(jnp.isfinite(jacobian(jnp.array([0.1, 0.2, z]))).all())


@pytest.mark.long
def test_indexing_selects_cameras():
    cameras = random_cameras((4,))
    assert len(cameras) == 4 and len(cameras[1:3]) == 2
    np.testing.assert_array_equal(cameras[2].K, cameras.K[2])
    np.testing.assert_array_equal(
        cameras[np.array([3, 0])].position, cameras.position[np.array([3, 0])]
    )


@pytest.mark.long
def test_rays_know_the_view_they_are_of():
    cameras, pixels = random_cameras((3,)), jnp.full((3, 2), 12.5)
    np.testing.assert_array_equal(to_rays(cameras, pixels).image, [-1, -1, -1])
    np.testing.assert_array_equal(to_rays(cameras, pixels, jnp.array([2, 0, 1])).image, [2, 0, 1])
    assert Rays(*[jnp.ones((4, 2, 3))] * 3).image.shape == (4, 2)


def test_indexing_keeps_arrays_where_they_are():
    """Cameras of numpy arrays stay on the host, those of JAX on the device.

    One camera has arrays too.
    """
    on_device = random_cameras((3,))
    on_host = jax.tree.map(np.asarray, on_device)
    for index in (1, slice(0, 2)):
        assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(on_device[index])[:4])
        assert all(isinstance(leaf, np.ndarray) for leaf in jax.tree.leaves(on_host[index]))


def test_rays_are_lines_and_of_no_view_unless_told_otherwise():
    three = [jnp.ones((2, 3))] * 3
    plain = Rays(*three)
    np.testing.assert_array_equal(plain.radius, [0.0, 0.0])
    np.testing.assert_array_equal(plain.image, [-1, -1])
    wide = Rays(*three, jnp.array([4, 5]), jnp.array([0.1, 0.2]))
    np.testing.assert_array_equal(wide.radius, np.float32([0.1, 0.2]))
    np.testing.assert_array_equal(wide.image, [4, 5])


def test_the_disc_of_a_cone_has_the_variance_of_its_pixel():
    """A disc of radius r has r^2 / 4 along each axis, a square pixel of width w has w^2 / 12."""
    camera = axis_camera(size=8, focal=5.0)
    middle, corner = (to_rays(camera, jnp.array(p)) for p in ([4.0, 4.0], [0.5, 1.5]))
    np.testing.assert_allclose(middle.radius**2 / 4, (1 / 5.0) ** 2 / 12, rtol=1e-5)
    away = np.sqrt(
        1 + (3.5 / 5) ** 2 + (2.5 / 5) ** 2
    )  # the pixel is this much farther from the camera
    np.testing.assert_allclose(corner.radius, middle.radius / away, rtol=1e-5)


@pytest.mark.long
def test_the_cosine_of_each_pixel_is_that_of_its_formula():
    """For a picture computed in two pieces.

    cos = 1 / sqrt(1 + x^2 + y^2), wherever the camera looks.
    """
    width, height, (fx, fy, cx, cy) = 300, 250, (200.0, 240.0, 140.0, 130.0)
    camera = Cameras(
        np.asarray(random_cameras(()).c2w),
        intrinsics(fx, fy, cx, cy).astype(np.float32),
        np.zeros(8, np.float32),
        np.array([width, height]),
    )
    y, x = np.mgrid[:height, :width] + 0.5
    expected = 1 / np.sqrt(1 + ((x - cx) / fx) ** 2 + ((y - cy) / fy) ** 2)
    np.testing.assert_allclose(axis_cosines(camera), expected, atol=1e-5)


@pytest.mark.long
def test_a_whole_picture_is_one_of_which_every_pixel_is_seen():
    """Barrels of growing strength.

    At first every pixel comes from a direction, then all but those in corners.
    """
    strengths = np.linspace(-0.08, -0.18, 9)
    whole = []
    for k1 in strengths:
        distortion = np.array([k1, *[0.0] * 7], np.float32)
        K = intrinsics(10.0, 10.0, 6.0, 5.0).astype(np.float32)
        camera = Cameras(np.eye(3, 4, dtype=np.float32), K, distortion, np.array([16, 12]))
        every = seen_pixels(camera)
        assert every[2:-2, 2:-2].all()
        whole.append(bool(every.all()))
        assert sees_whole_picture(jax.tree.map(lambda x: x[None], camera)).tolist() == [whole[-1]]
    reaches_corner = (
        strengths > -(4 / 27) / (np.hypot(9.5, 6.5) / 10.0) ** 2
    )  # the last corner is the farthest
    assert (
        all(np.array(whole)[reaches_corner])
        and whole == sorted(whole, reverse=True)
        and not whole[-1]
    )
