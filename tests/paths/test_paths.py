"""Camera paths: laws of every path, of the motion along poses, and errors."""

import dataclasses
import math
import re

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from nerf.cameras.cameras import Cameras, intrinsics
from nerf.cameras.lenses import EQUIRECTANGULAR, PERSPECTIVE
from nerf.foundation.instantiate import ConfigError
from nerf.paths import motion, paths
from nerf.paths.path_options import NAMES, parse_path
from nerf.paths.paths import PathError
from nerf.paths.video_cameras import film_size
from nerf.scenes.base import Similarity
from nerf.scenes.focus import focus_point

IDENTITY = Similarity()


def cameras_at(c2w, width=80, height=60, focal=70.0):
    n = len(c2w)
    K = np.tile(intrinsics(focal, focal, width / 2, height / 2), (n, 1, 1))
    size = np.tile([width, height], (n, 1))
    return Cameras(np.asarray(c2w), K, np.zeros((n, 8)), size.astype(np.int32))


def look_at(positions, target):
    return paths.look_at(positions, np.asarray(target, float), paths.Z_UP)


def ring(n=60, radius=2.0, height=0.8, turns=1.0, target=(0.1, -0.2, 0.05)):
    """A smooth capture: `turns` round the target."""
    angle = 0.3 + 2 * math.pi * turns * np.arange(n) / n
    heights = np.full(n, height)
    positions = np.stack([radius * np.cos(angle), radius * np.sin(angle), heights], -1) + target
    return look_at(positions, target)


def random_views(n=100, seed=0):
    """Blender's synthetic scenes: views drawn at random on a hemisphere."""
    v = np.random.default_rng(seed).normal(size=(n, 3))
    v[:, 2] = np.abs(v[:, 2]) + 0.05
    return look_at(3 * v / np.linalg.norm(v, axis=-1, keepdims=True), (0, 0, 0))


def front_views(n=20, seed=0):
    """A forward-facing capture along -z of a camera that looks at +y."""
    offsets = np.random.default_rng(seed).uniform(-0.3, 0.3, (n, 3)) * [1, 0.5, 1]
    return look_at(offsets + [0, -4, 0], (0, 0, 0))


def training(name):
    return cameras_at(front_views() if name == "spiral" else ring())


def steps(c2w):
    return np.linalg.norm(np.diff(c2w[:, :, 3], axis=0), axis=-1)


def a_similarity(only_about_z=False):
    rng = np.random.default_rng(3)
    rotation = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    rotation *= np.linalg.det(rotation)
    if only_about_z:
        c, s = math.cos(2.2), math.sin(2.2)
        rotation = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
    return Similarity(37.0, rotation, np.array([5.0, -11.0, 2.5]))


# Laws of every path.


@pytest.mark.parametrize("frames", [1, 2, 45])
@pytest.mark.parametrize("name", NAMES)
def test_poses_are_rigid_and_up_is_up(name, frames):
    c2w = getattr(paths, name)(training(name), frames)
    assert c2w.shape == (frames, 3, 4) and c2w.dtype == np.float64
    R = c2w[:, :, :3]
    np.testing.assert_allclose(
        R @ R.swapaxes(-1, -2), np.broadcast_to(np.eye(3), R.shape), atol=1e-6
    )
    np.testing.assert_allclose(np.linalg.det(R), 1.0, atol=1e-6)
    assert (R[:, 2, 1] > 0.3).all()  # +z of the world points up in the image
    np.testing.assert_allclose(R[:, 2, 0], 0.0, atol=0.02)  # and the horizon is level


# The principal axes of a circle are arbitrary, so the ellipse round it is only nearly the same.
@pytest.mark.parametrize(
    "name, reordered, atol",
    [
        ("orbit", False, 1e-6),
        ("ellipse", False, 1e-3),
        ("ellipse", True, 1e-6),
        ("spiral", False, 1e-6),
        ("follow", False, 1e-6),
        ("follow", True, 1e-6),
    ],
)
def test_paths_move_with_the_training_cameras(name, reordered, atol):
    about_z, train = (
        a_similarity(only_about_z=True),
        cameras_at(random_views(40)) if reordered else training(name),
    )
    moved = cameras_at(about_z.poses(train.c2w))
    path = getattr(paths, name)
    np.testing.assert_allclose(about_z.poses_back(path(moved, 50)), path(train, 50), atol=atol)


@pytest.mark.parametrize("name", ["orbit", "ellipse", "spiral"])
def test_loops_close_without_a_repeated_frame(name):
    c2w = getattr(paths, name)(training(name), 60)
    positions = c2w[:, :, 3]
    gap, inner = np.abs(positions[0] - positions[-1]), np.abs(np.diff(positions, axis=0))
    assert np.linalg.norm(gap) > 0.5 * steps(c2w).min()
    assert (gap < 1.2 * inner.max(0) + 1e-9).all()


@pytest.mark.parametrize("name", ["orbit", "ellipse"])
def test_the_focus_stays_in_the_middle_of_the_image(name):
    train = cameras_at(ring(turns=0.7, height=1.5))
    c2w = getattr(paths, name)(train, 20)
    x, y, z = np.einsum("nij,ni->jn", c2w[:, :, :3], focus_point(train.c2w) - c2w[:, :, 3])
    np.testing.assert_allclose([x, y], 0.0, atol=1e-9)
    assert (z < 0).all()


# orbit, ellipse, spiral.


def test_orbit_repeats_a_ring_at_equal_steps():
    views = ring(n=36)
    c2w = paths.orbit(cameras_at(views), 36)
    np.testing.assert_allclose(c2w, views, atol=1e-5)
    np.testing.assert_allclose(steps(c2w), steps(c2w)[0], rtol=1e-9)


def test_orbit_takes_elevation_and_radius():
    train = training("orbit")
    c2w = paths.orbit(train, 12, elevation=60, radius=5)
    offsets = c2w[:, :, 3] - focus_point(train.c2w)
    np.testing.assert_allclose(np.linalg.norm(offsets, axis=-1), 5.0)
    np.testing.assert_allclose(offsets[:, 2], 5.0 * math.sin(math.radians(60)))
    from_above = paths.orbit(
        train, 12, elevation=90.0
    )  # is held where azimuth still means something
    assert steps(from_above).min() > 0.01


@pytest.mark.parametrize("turn", [np.eye(3), a_similarity(only_about_z=True).rotation])
def test_ellipse_fits_an_oblong_capture_at_constant_speed(turn):
    angle = 2 * np.pi * np.arange(200) / 200
    positions = np.stack([4 * np.cos(angle), 1.5 * np.sin(angle), np.full(200, 0.5)], -1) @ turn.T
    c2w = paths.ellipse(cameras_at(look_at(positions, (0, 0, 0))), 100, percentile=100.0)
    x, y, z = turn.T @ c2w[:, :, 3].T
    np.testing.assert_allclose((x / 4) ** 2 + (y / 1.5) ** 2, 1.0, atol=1e-3)
    np.testing.assert_allclose(z, 0.5, atol=1e-6)
    assert (x[:-1] * y[1:] - x[1:] * y[:-1] > 0).all()  # counterclockwise seen from above, as orbit
    np.testing.assert_allclose(steps(c2w), steps(c2w).mean(), rtol=0.01)


def test_ellipse_over_a_line_of_cameras_never_turns_over():
    positions = np.stack([np.linspace(-2, 2, 30), np.zeros(30), np.ones(30)], -1)
    c2w = paths.ellipse(cameras_at(look_at(positions, (0, 1e-3, 0))), 120)
    assert (np.sum(c2w[1:, :, 0] * c2w[:-1, :, 0], -1) > 0.5).all()


def test_spiral_stays_among_the_cameras_and_looks_at_one_point():
    train = cameras_at(front_views(60))
    c2w = paths.spiral(train, 80, focus_depth=4.0)
    assert (np.abs(c2w[:, :, 3] - train.c2w[:, :, 3].mean(0)) < 0.35).all()
    np.testing.assert_allclose(focus_point(c2w), train.c2w[:, :, 3].mean(0) + [0, 4, 0], atol=0.05)


def test_spiral_of_parallel_cameras_looks_far_ahead():
    views = front_views()
    views[:, :, :3] = views[0, :, :3]
    c2w = paths.spiral(cameras_at(views), 40)
    forward = -c2w[:, :, 2]
    assert (forward @ -views[0, :, 2] > 0.9).all()


def test_spiral_refuses_a_capture_all_round():
    with pytest.raises(PathError, match="do not face one way"):
        paths.spiral(cameras_at(ring()), 10)


# follow.


@pytest.mark.parametrize("turns, n", [(0.8, 60), (3.0, 300), (0.5, 12)])
def test_follow_passes_close_to_a_smooth_capture(turns, n):
    views = ring(n=n, turns=turns)
    c2w = paths.follow(cameras_at(views), 1000)
    nearest = np.linalg.norm(c2w[None, :, :, 3] - views[:, None, :, 3], axis=-1)
    assert nearest.min(1).max() < 0.3 * steps(views).mean()
    facing = np.einsum("ni,ni->n", c2w[nearest.argmin(1), :, 2], views[:, :, 2])
    assert facing.min() > math.cos(math.radians(3))
    np.testing.assert_allclose(steps(c2w), steps(c2w).mean(), rtol=0.02)


def test_follow_without_smoothing_passes_through_every_view():
    views = ring(n=15, turns=0.8)
    views[4, :, 3] += 0.1
    c2w = paths.follow(cameras_at(views), 5000, smooth=0)
    nearest = np.linalg.norm(c2w[None, :, :, 3] - views[:, None, :, 3], axis=-1)
    assert nearest.min(1).max() < 2e-3
    np.testing.assert_allclose(c2w[nearest.argmin(1)], views, atol=5e-3)


def jittered(n=120):
    rng = np.random.default_rng(1)
    views = ring(n=n, turns=0.8)
    size = 0.4 * steps(views).mean()
    shaken = look_at(views[:, :, 3] + rng.normal(scale=size, size=(n, 3)), (0.1, -0.2, 0.05))
    angles = rng.normal(scale=0.02, size=(n, 3))
    for c2w, (a, b, _) in zip(shaken, angles, strict=True):
        c2w[:, :3] @= np.array([[1, 0, a], [0, 1, b], [-a, -b, 1]]) / math.sqrt(1 + a * a + b * b)
    q, _ = np.linalg.qr(shaken[:, :, :3])
    shaken[:, :, :3] = q * np.sign(np.sum(q * shaken[:, :, :3], axis=1, keepdims=True))
    return views, shaken


def test_follow_takes_the_shake_out():
    views, shaken = jittered()
    smooth = paths.follow(cameras_at(views), 240)
    calm = paths.follow(cameras_at(shaken), 240)
    raw = paths.follow(cameras_at(shaken), 240, smooth=0)

    def jerk(c2w):
        return np.sqrt(np.mean(np.diff(c2w.reshape(-1, 12), 3, axis=0) ** 2))

    assert jerk(raw) > 30 * jerk(calm)
    assert jerk(calm) < 10 * jerk(smooth)
    assert np.std(steps(calm)) < 0.15 * np.mean(steps(calm))
    assert np.abs(calm - smooth)[:, :, 3].max() < 1.5 * steps(views).mean()


@pytest.mark.parametrize("period", [8.0, 20.0])
def test_smoothing_halves_a_wave_of_its_period_and_keeps_parabolas(period):
    i = np.arange(400.0)
    parabola = 3 - 0.2 * i + 0.01 * i**2
    wave = np.cos(2 * math.pi * i / period)
    calm = motion.smoothed(np.stack([parabola, wave], -1), period)
    np.testing.assert_allclose(calm[:, 0], parabola, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(calm[100:300, 1], 0.5 * wave[100:300], atol=0.05)


def test_follow_keeps_the_order_of_a_walk():
    every_eighth_held_out = np.arange(120) % 8 != 0
    rows_of_three = np.stack(np.meshgrid([-1.0, 0.0, 1.0], [-4.0], [-1.0, 0.0, 1.0]), -1).reshape(
        -1, 3
    )
    walks = [
        ring(n=100, turns=3.3),
        jittered()[1],
        ring()[::-1],
        ring(n=8),
        ring(n=120)[every_eighth_held_out],
        look_at(rows_of_three, (0, 0, 0)),
    ]
    for walk in walks:
        np.testing.assert_array_equal(motion.travel_order(walk), np.arange(len(walk)))


@pytest.mark.parametrize("n", [40, 300])
def test_follow_mends_an_order_that_is_none(n):
    line = ring(n=n, turns=0.8)
    for names in (sorted(range(1, n + 1), key=str), np.random.default_rng(n).permutation(n) + 1):
        order = np.array(names)[motion.travel_order(line[np.array(names) - 1])]
        assert set(np.abs(np.diff(order))) == {1}


def test_no_reversal_shortens_a_tour():
    points = np.random.default_rng(2).normal(size=(30, 3))
    distance = np.linalg.norm(points[:, None] - points, axis=-1)
    tour = motion.short_tour(distance)
    assert sorted(tour) == list(range(30))

    def length(order):
        return distance[order[:-1], order[1:]].sum()

    for i in range(30):
        for j in range(i + 2, 31):
            other = np.concatenate([tour[:i], tour[i:j][::-1], tour[j:]])
            assert length(other) > length(tour) - 1e-9


def test_follow_through_random_views_is_a_sane_path():
    views = random_views()
    c2w = paths.follow(cameras_at(views), 300)
    length_as_filed = steps(views).sum()
    assert steps(c2w).sum() < 0.2 * length_as_filed
    assert np.linalg.norm(np.diff(c2w[:, :, 2], axis=0), axis=-1).max() < 0.2
    assert (np.linalg.norm(c2w[:, :, 3], axis=-1) > 2).all()


def test_follow_in_a_loop_closes():
    c2w = paths.follow(cameras_at(ring(n=40)), 100, loop=True)
    np.testing.assert_allclose(steps(np.concatenate([c2w, c2w[:1]])), steps(c2w).mean(), rtol=0.02)
    np.testing.assert_allclose(np.linalg.norm(c2w[:, :2, 3] - [0.1, -0.2], axis=-1), 2.0, rtol=0.01)


def test_follow_takes_part_of_very_many_views(monkeypatch):
    views = ring(n=32, turns=0.8)
    views[1::2, 2, 3] += 1.0
    monkeypatch.setattr(paths, "MAX_VIEWS", 16)
    c2w = paths.follow(cameras_at(views), 20, smooth=0)
    np.testing.assert_allclose(c2w[:, 2, 3], 0.85, atol=1e-9)


# Intrinsics.


@pytest.mark.parametrize(
    "width, height, size, focal",
    [
        (None, None, (80, 60), 70.0),
        (160, None, (160, 120), 140.0),
        (None, 30, (40, 30), 35.0),
        (
            160,
            60,
            (160, 60),
            70.0,
        ),  # twice as wide: the shorter side sees the same, so that the subject stays in view
        (60, 160, (60, 160), 70.0),
        (81, 31, (81, 31), 70.0 * 31 / 60),
        (1280, 960, (1280, 960), 1120.0),
    ],
)
def test_the_shorter_side_of_the_picture_shows_what_that_of_a_training_view_shows(
    width, height, size, focal
):
    train = training("orbit")
    cameras = paths.make_path("orbit", train, IDENTITY, frames=3, width=width, height=height)
    np.testing.assert_array_equal(cameras.size, [size] * 3)
    expected = intrinsics(focal, focal, size[0] / 2, size[1] / 2)
    np.testing.assert_allclose(cameras.K, [expected] * 3, rtol=1e-6)
    np.testing.assert_array_equal(cameras.distortion, np.zeros((3, 8)))
    assert cameras.c2w.dtype == cameras.K.dtype == np.float32


def test_without_perspective_views_the_picture_is_90_degrees_wide():
    around = dataclasses.replace(
        training("orbit"), model=np.full(len(training("orbit")), EQUIRECTANGULAR, np.int32)
    )
    cameras = paths.make_path("orbit", around, IDENTITY, frames=2, width=80, height=60)
    np.testing.assert_allclose(cameras.K[:, 0, 0], 40.0)
    assert cameras.lenses == (PERSPECTIVE,)


# Names.


def test_a_path_of_ones_own_is_called_by_its_import_path(tmp_path, monkeypatch):
    (tmp_path / "my_paths.py").write_text(
        "from nerf.paths import paths\n"
        "def slow(train, frames, factor): return paths.orbit(train, frames * factor)[:frames]\n"
        "def wrong(train, frames): return paths.orbit(train, frames)[:, :, :3]\n"
        "def mirrored(train, frames): return paths.orbit(train, frames) * [-1, 1, 1, 1]\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    train, plugins = training("orbit"), ("my_paths",)
    cameras = paths.make_path("my_paths:slow", train, IDENTITY, frames=5, plugins=plugins, factor=4)
    np.testing.assert_allclose(cameras.c2w, paths.orbit(train, 20)[:5], atol=1e-6)
    with pytest.raises(ConfigError, match="--plugin=my_paths"):
        paths.make_path("my_paths:slow", train, IDENTITY)
    with pytest.raises(PathError, match=r"shape \(5, 3, 3\)"):
        paths.make_path("my_paths:wrong", train, IDENTITY, frames=5, plugins=plugins)
    with pytest.raises(PathError, match="frame 4: rotation mirrors"):
        paths.make_path("my_paths:mirrored", train, IDENTITY, frames=5, plugins=plugins)


def test_wrong_names_options_and_numbers_say_what_to_do():
    train = training("orbit")
    with pytest.raises(PathError, match="did you mean 'orbit'"):
        paths.make_path("orbti", train, IDENTITY)
    with pytest.raises(PathError, match="did you mean 'elevation'"):
        paths.make_path("orbit", train, IDENTITY, elevaton=3.0)
    with pytest.raises(PathError, match="0 is not from 1 to"):
        paths.make_path("orbit", train, IDENTITY, frames=0)
    for sides in ({"width": 0}, {"height": -3}, {"width": 20_000}):
        with pytest.raises(PathError, match="choose sides from 1"):
            paths.make_path("orbit", train, IDENTITY, **sides)
    for fov in (0.0, 180.0, -5.0, math.nan):
        with pytest.raises(PathError, match="not between 0 and 180"):
            paths.make_path("orbit", train, IDENTITY, fov=fov)
    with pytest.raises(PathError, match="give one of them"):
        paths.make_path("orbit", train, IDENTITY, fov=30.0, focal=50.0)
    with pytest.raises(PathError, match="above zero"):
        paths.make_path("orbit", train, IDENTITY, focal=-1.0)


def head_turn(n=16):
    """Photos of a panorama: all round from one place."""
    angle = 2 * math.pi * np.arange(n) / n
    targets = np.stack([np.cos(angle), np.sin(angle), 0.1 * np.sin(3 * angle)], -1)
    return np.concatenate([look_at(np.zeros((1, 3)), target) for target in targets])


@pytest.mark.parametrize("capture", [ring()[:1], head_turn()], ids=["one view", "one place"])
def test_what_is_proposed_for_captures_without_size_works(capture):
    train = cameras_at(capture)
    for name in NAMES:
        try:
            paths.make_path(name, train, IDENTITY, frames=5, distance=2.0)
        except PathError as error:
            (proposed,) = re.findall(r"use (\w+)", str(error))
            assert paths.make_path(proposed, train, IDENTITY, frames=5, distance=2.0).c2w.shape == (
                5,
                3,
                4,
            )
    usual = paths.usual_path(train, unbounded=True)
    assert (
        np.ptp(paths.make_path(usual, train, IDENTITY, frames=5, distance=2.0).c2w, axis=0).max()
        > 0.1
    )


def test_one_view_without_a_depth_needs_a_point_to_circle():
    one = cameras_at(ring()[:1])
    with pytest.raises(PathError, match="orbit:focus=X,Y,Z"):
        paths.make_path("orbit", one, IDENTITY)
    c2w = paths.make_path("orbit", one, IDENTITY, frames=6, focus=(0.1, -0.2, 0.05)).c2w
    np.testing.assert_allclose(c2w[0], ring()[0], atol=1e-5)


# Nearly parallel axes.


def drone(jitter=0.0, seed=0):
    """A grid of views straight down, at height 1 over the ground, north up."""
    x, y = np.meshgrid(np.linspace(-0.7, 0.7, 8), np.linspace(-0.4, 0.4, 5))
    c2w = np.tile(np.eye(3, 4), (40, 1, 1))
    c2w[:, :, 3] = np.stack([x.ravel(), y.ravel(), np.ones(40)], -1)
    angles = np.random.default_rng(seed).normal(size=(40, 3)) * jitter * [1, 1, 0]
    c2w[:, :, :3] = Rotation.from_rotvec(angles).as_matrix()
    return c2w


@pytest.mark.parametrize("jitter, seed", [(0.0, 0), (3e-3, 0), (3e-3, 1), (1e-2, 2)])
@pytest.mark.parametrize("name", ["orbit", "ellipse"])
def test_a_drone_film_circles_above_the_ground_and_looks_down_at_it(name, jitter, seed):
    c2w = getattr(paths, name)(cameras_at(drone(jitter, seed)), 24, depth=1.0)
    np.testing.assert_allclose(c2w[:, 2, 3], c2w[0, 2, 3], atol=1e-9)
    assert 0.5 < c2w[0, 2, 3] < 1.3
    ground = (
        c2w[:, :, 3] + c2w[:, :, 2] * (-c2w[:, 2, 3] / c2w[:, 2, 2])[:, None]
    )  # where the axes meet z = 0
    np.testing.assert_allclose(ground, 0.0, atol=0.1)
    assert (c2w[:, 2, 2] > 0.5).all()  # looking down by more than 30 degrees


def test_without_a_depth_a_drone_film_looks_down_too():
    c2w = paths.orbit(cameras_at(drone(3e-3)), 24)
    assert (c2w[:, 2, 2] > 0.5).all() and c2w[0, 2, 3] > 0.5


@pytest.mark.parametrize("depth", [None, 1.0])
def test_a_drone_film_moves_with_its_cameras(depth):
    about_z = a_similarity(only_about_z=True)
    scaled = None if depth is None else depth * about_z.scale
    moved = paths.orbit(cameras_at(about_z.poses(drone())), 12, depth=scaled)
    np.testing.assert_allclose(
        about_z.poses_back(moved), paths.orbit(cameras_at(drone()), 12, depth=depth), atol=1e-6
    )


# Options in the units of the scene's file.


def test_lengths_and_points_are_those_of_the_file():
    transform, train = a_similarity(), training("orbit")
    focus = np.array([0.3, 0.2, -0.1])
    c2w = paths.make_path(
        "orbit", train, transform, frames=8, radius=0.05, focus=tuple(focus), elevation=20
    ).c2w
    in_file = transform.poses_back(c2w.astype(np.float64))
    np.testing.assert_allclose(np.linalg.norm(in_file[:, :, 3] - focus, axis=-1), 0.05, rtol=1e-3)
    at_focus = np.einsum("nij,ni->nj", in_file[:, :, :3], focus - in_file[:, :, 3])
    np.testing.assert_allclose(at_focus, np.tile([0, 0, -0.05], (8, 1)), atol=1e-4)


@pytest.mark.parametrize(
    "text, expected",
    [
        ("orbit", ("orbit", {})),
        ("orbit:radius=1.5,elevation=-30", ("orbit", {"radius": 1.5, "elevation": -30})),
        ("orbit:focus=1,-2.5,3e-1,radius=2", ("orbit", {"focus": (1, -2.5, 0.3), "radius": 2})),
        ("follow:loop=true,smooth=0", ("follow", {"loop": True, "smooth": 0})),
        ("my.module:fly", ("my.module:fly", {})),
        ("my.module:fly:height=2,style=slow", ("my.module:fly", {"height": 2, "style": "slow"})),
        ("a/path.json:dataparser=b/c.json", ("a/path.json", {"dataparser": "b/c.json"})),
        ("C:\\paths\\a.JSON", ("C:\\paths\\a.JSON", {})),
    ],
)
def test_options_stand_after_a_colon(text, expected):
    assert parse_path(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "orbit:radius=0",
        "orbit:radius=far",
        "orbit:radius=nan",
        "orbit:focus=1,2",
        "orbit:elevation=120",
        "ellipse:percentile=200",
        "spiral:turns=1.5",
        "spiral:turns=0",
        "follow:loop=3",
        "follow:smooth=-1",
    ],
)
def test_a_wrong_option_is_refused_with_an_example_that_works(text):
    name, options = parse_path(text)
    with pytest.raises(PathError, match="write for example") as caught:
        paths.make_path(name, training(name), IDENTITY, frames=3, **options)
    name, options = parse_path(str(caught.value).partition("write for example ")[2])
    assert paths.make_path(name, training(name), IDENTITY, frames=3, **options).c2w.shape == (
        3,
        3,
        4,
    )


# Photos stored sideways.


@pytest.mark.parametrize("turns", ["all", "random"])
def test_views_stored_sideways_give_the_same_upright_film(turns):
    rng = np.random.default_rng(4)
    for name, views in (("follow", ring(turns=0.8)), ("spiral", front_views())):
        quarter = np.ones(len(views)) if turns == "all" else rng.integers(4, size=len(views))
        about_axis = Rotation.from_rotvec(0.5 * math.pi * quarter[:, None] * [0, 0, 1]).as_matrix()
        rolled = views.copy()
        rolled[:, :, :3] = views[:, :, :3] @ about_axis
        path = getattr(paths, name)
        np.testing.assert_allclose(
            path(cameras_at(rolled), 30), path(cameras_at(views), 30), atol=1e-6
        )


def test_a_view_straight_down_is_turned_as_its_like():
    # It looks straight down, with that up in its picture to which the view most like it leans.
    like = ring(n=20, height=3.0)
    ahead = -like[0, :, 2] * [1, 1, 0]
    ahead /= np.linalg.norm(ahead)
    down_there = np.stack([np.cross(ahead, paths.Z_UP), ahead, paths.Z_UP, [0, 0, 3.0]], -1)
    views = np.concatenate([like[:1], ring(n=20), down_there[None]])
    down = views.copy()
    for quarter in range(4):
        down[-1, :, :3] = (
            views[-1, :, :3] @ Rotation.from_rotvec([0, 0, 0.5 * math.pi * quarter]).as_matrix()
        )
        np.testing.assert_allclose(motion.upright(down), motion.upright(views), atol=1e-9)
    np.testing.assert_allclose(
        motion.upright(drone()), drone(), atol=1e-12
    )  # none has an up: as they are


def test_the_default_picture_is_upright_and_not_huge():
    sideways = ring()
    sideways[:, :, :3] = (
        sideways[:, :, :3] @ Rotation.from_rotvec([0, 0, 0.5 * math.pi]).as_matrix()
    )
    assert film_size(cameras_at(ring(), 80, 60)) == (80, 60)
    assert film_size(cameras_at(sideways, 80, 60)) == (60, 80)
    assert film_size(cameras_at(sideways, 80, 60), width=30) == (30, 40)
    assert film_size(cameras_at(ring(), 4000, 3000)) == (640, 480)
    assert film_size(cameras_at(ring(), 4000, 3000), height=3000) == (4000, 3000)


def test_the_vertical_field_of_view_is_what_is_asked():
    cameras = paths.make_path("orbit", training("orbit"), IDENTITY, frames=2, height=200, fov=90.0)
    np.testing.assert_allclose(cameras.K[:, [0, 1], [0, 1]], 100.0, rtol=1e-6)


@pytest.mark.parametrize(
    "views, unbounded, name",
    [
        (ring(), False, "orbit"),
        (ring(), True, "follow"),
        (head_turn(), False, "follow"),
        (ring(n=40, turns=0.6), False, "follow"),
        (ring(n=40, turns=0.75), False, "orbit"),
        (ring()[:1], True, "orbit"),
    ],
)
def test_the_usual_path_suits_the_capture(views, unbounded, name):
    assert paths.usual_path(cameras_at(views), unbounded) == name
