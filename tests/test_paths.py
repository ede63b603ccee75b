"""Camera paths: laws of every path, keyframe files, and the errors of both."""

import json
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nerf import paths
from nerf.building import ConfigError
from nerf.cameras import Cameras, intrinsics, project
from nerf.paths import PathError
from nerf.scenes.base import Similarity, focus_point

IDENTITY = Similarity()
AROUND = ("orbit", "ellipse", "follow")


def cameras_at(c2w, width=80, height=60, focal=70.0):
    n = len(c2w)
    K = np.tile(intrinsics(focal, focal, width / 2, height / 2), (n, 1, 1))
    size = np.tile([width, height], (n, 1))
    return Cameras(np.asarray(c2w), K, np.zeros((n, 4)), size.astype(np.int32))


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


def turned(c2w, similarity):
    return similarity.poses(np.asarray(c2w, np.float64))


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
@pytest.mark.parametrize("name", paths.NAMES)
def test_poses_are_rigid_and_up_is_up(name, frames):
    c2w = getattr(paths, name)(training(name), frames)
    assert c2w.shape == (frames, 3, 4) and c2w.dtype == np.float64
    R = c2w[:, :, :3]
    np.testing.assert_allclose(R @ R.swapaxes(-1, -2), np.broadcast_to(np.eye(3), R.shape), atol=1e-6)
    np.testing.assert_allclose(np.linalg.det(R), 1.0, atol=1e-6)
    assert (R[:, 2, 1] > 0.3).all()  # +z of the world points up in the image
    np.testing.assert_allclose(R[:, 2, 0], 0.0, atol=0.02)  # and the horizon is level


@pytest.mark.parametrize("name", paths.NAMES)
def test_paths_move_with_the_training_cameras(name):
    about_z, train = a_similarity(only_about_z=True), training(name)
    moved = cameras_at(turned(train.c2w, about_z))
    path = getattr(paths, name)
    np.testing.assert_allclose(about_z.poses_back(path(moved, 50)), path(train, 50), atol=1e-3)


@pytest.mark.parametrize("name", AROUND)
def test_a_reordered_capture_moves_alike(name):
    about_z, views = a_similarity(only_about_z=True), random_views(40)
    path = getattr(paths, name)
    moved = path(cameras_at(turned(views, about_z)), 50)
    np.testing.assert_allclose(about_z.poses_back(moved), path(cameras_at(views), 50), atol=1e-5)


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
    cameras = jax.tree.map(jnp.asarray, paths.make_path(name, train, IDENTITY, frames=20))
    focus = focus_point(train.c2w)
    pixels, inside = project(cameras, jnp.tile(jnp.asarray(focus, jnp.float32), (20, 1)))
    np.testing.assert_allclose(pixels, np.tile([40.0, 30.0], (20, 1)), atol=1e-2)
    assert np.asarray(inside).all()


def test_cameras_are_float32_pinholes():
    cameras = paths.make_path("orbit", training("orbit"), IDENTITY, frames=7)
    assert [x.dtype for x in (cameras.c2w, cameras.K, cameras.distortion)] == [np.float32] * 3
    assert cameras.size.dtype == np.int32 and len(cameras) == 7
    np.testing.assert_array_equal(cameras.distortion, 0)


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
    from_above = paths.orbit(train, 12, elevation=90.0)  # is held where azimuth still means something
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


def test_ellipse_swings_in_height_when_asked():
    train = cameras_at(random_views())
    heights = train.c2w[:, 2, 3]
    low, high = np.percentile(heights, [10, 90])
    z = paths.ellipse(train, 100, height_variation=1.0)[:, 2, 3]
    assert np.ptp(z) == pytest.approx(high - low, rel=0.01)


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


def test_follow_keeps_the_order_of_a_walk():
    every_eighth_held_out = np.arange(120) % 8 != 0
    rows_of_three = np.stack(np.meshgrid([-1.0, 0.0, 1.0], [-4.0], [-1.0, 0.0, 1.0]), -1).reshape(-1, 3)
    walks = [
        ring(n=100, turns=3.3),
        jittered()[1],
        ring()[::-1],
        ring(n=8),
        ring(n=120)[every_eighth_held_out],
        look_at(rows_of_three, (0, 0, 0)),
    ]
    for walk in walks:
        np.testing.assert_array_equal(paths.travel_order(walk), np.arange(len(walk)))


@pytest.mark.parametrize("n", [40, 100, 200, 500])
def test_follow_mends_an_order_that_is_none(n):
    line = ring(n=n, turns=0.8)
    for names in (sorted(range(1, n + 1), key=str), np.random.default_rng(n).permutation(n) + 1):
        order = np.array(names)[paths.travel_order(line[np.array(names) - 1])]
        assert set(np.abs(np.diff(order))) == {1}


def test_no_reversal_shortens_a_tour():
    points = np.random.default_rng(2).normal(size=(30, 3))
    distance = np.linalg.norm(points[:, None] - points, axis=-1)
    tour = paths._short_tour(distance)
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
        (160, 60, (160, 60), 140.0),  # twice as wide: as wide as a training view, lower
        (81, 31, (81, 31), 70.0 * 81 / 80),
    ],
)
def test_the_picture_shows_no_more_than_a_training_view(width, height, size, focal):
    train = training("orbit")
    cameras = paths.make_path("orbit", train, IDENTITY, frames=3, width=width, height=height)
    np.testing.assert_array_equal(cameras.size, [size] * 3)
    expected = intrinsics(focal, focal, size[0] / 2, size[1] / 2)
    np.testing.assert_allclose(cameras.K, [expected] * 3, rtol=1e-6)


def test_focal_can_be_given():
    cameras = paths.make_path("orbit", training("orbit"), IDENTITY, frames=2, focal=33.0)
    np.testing.assert_allclose(cameras.K[:, [0, 1], [0, 1]], 33.0)


# Names.


def test_a_path_of_ones_own_is_called_by_its_import_path(tmp_path, monkeypatch):
    (tmp_path / "my_paths.py").write_text(
        "from nerf import paths\n"
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
    with pytest.raises(ConfigError, match="did you mean 'elevation'"):
        paths.make_path("orbit", train, IDENTITY, elevaton=3.0)
    with pytest.raises(PathError, match="0 is not in 1"):
        paths.make_path("orbit", train, IDENTITY, frames=0)
    with pytest.raises(PathError, match="above zero"):
        paths.make_path("orbit", train, IDENTITY, width=0)


def test_captures_of_one_pose_are_refused():
    one = cameras_at(ring()[:1])
    for name in paths.NAMES:
        with pytest.raises(PathError, match="give a|use"):
            paths.make_path(name, one, IDENTITY)


# Keyframe files.


def write(tmp_path, data, name="path.json"):
    file = tmp_path / name
    file.write_text(data if isinstance(data, str) else json.dumps(data))
    return file


def keys_of(c2w, **more):
    return [{"c2w": pose.tolist(), **{k: float(v[i]) for k, v in more.items()}} for i, pose in enumerate(c2w)]


@pytest.mark.parametrize("name", paths.NAMES)
def test_exported_keyframes_read_back_as_the_same_cameras(name, tmp_path):
    transform, train = a_similarity(), training(name)
    cameras = paths.make_path(name, train, transform, frames=31, focal=50.0)
    file = tmp_path / "path.json"
    paths.save_keyframes(file, cameras, transform, fps=12.0)
    again = paths.make_path(file, train, transform)
    np.testing.assert_allclose(again.c2w, cameras.c2w, atol=1e-5)
    np.testing.assert_allclose(again.K, cameras.K, rtol=1e-5)
    assert paths.keyframes(file, transform).fps == 12.0
    assert [p.name for p in tmp_path.iterdir()] == ["path.json"]


def test_exported_keyframes_are_in_the_units_of_the_file(tmp_path):
    transform = a_similarity()
    in_file = ring(n=9)
    cameras = cameras_at(transform.poses(in_file))
    paths.save_keyframes(tmp_path / "p.json", cameras, transform)
    entries = json.loads((tmp_path / "p.json").read_text())["keyframes"]
    np.testing.assert_allclose([entry["c2w"] for entry in entries], in_file, atol=1e-9)


def test_few_exported_keyframes_keep_the_path(tmp_path):
    cameras = paths.make_path("orbit", training("orbit"), IDENTITY, frames=100)
    paths.save_keyframes(tmp_path / "p.json", cameras, IDENTITY, every=8)
    assert len(json.loads((tmp_path / "p.json").read_text())["keyframes"]) == 14
    again = paths.make_path(tmp_path / "p.json", training("orbit"), IDENTITY)
    assert len(again) == 100
    np.testing.assert_allclose(again.c2w, cameras.c2w, atol=0.03)


def test_keyframes_without_time_are_passed_at_constant_speed(tmp_path):
    views = ring(n=40, turns=0.9)[np.array([0, 3, 5, 10, 18, 25, 31, 39])]
    file = write(tmp_path, {"keyframes": keys_of(views), "fps": 20, "seconds": 6})
    path = paths.keyframes(file, IDENTITY)
    assert len(path.c2w) == 120 and path.fov is None and path.size is None
    np.testing.assert_allclose(steps(path.c2w), steps(path.c2w).mean(), rtol=0.05)
    np.testing.assert_allclose(path.c2w[[0, -1]], views[[0, -1]], atol=1e-9)


def test_times_and_fields_of_view_are_kept(tmp_path):
    views, times, fovs = ring(n=40)[:4], [1.0, 2.0, 2.5, 5.0], [40.0, 50.0, 60.0, 90.0]
    file = write(tmp_path, {"keyframes": keys_of(views, time=times, fov=fovs), "fps": 10})
    path = paths.keyframes(file, IDENTITY)
    assert len(path.c2w) == 41
    np.testing.assert_allclose(path.c2w[[0, 10, 15, 40]], views, atol=1e-9)
    np.testing.assert_allclose(path.fov[[0, 10, 15, 40]], fovs, rtol=1e-9)
    cameras = paths.make_path(file, training("orbit"), IDENTITY, height=200)
    np.testing.assert_allclose(cameras.K[-1, 1, 1], 100.0, rtol=1e-6)  # 90 degrees of 200 pixels
    cameras = paths.make_path(file, training("orbit"), IDENTITY, focal=33.0)
    np.testing.assert_allclose(cameras.K[:, 1, 1], 33.0)


@pytest.mark.parametrize("timed", [True, False])
def test_a_loop_of_keyframes_returns_smoothly(tmp_path, timed):
    more = {"time": np.arange(8.0)} if timed else {}
    data = {"keyframes": keys_of(ring(n=8), **more), "loop": True, "fps": 10, "seconds": 8}
    if timed:
        del data["seconds"]
    c2w = paths.keyframes(write(tmp_path, data), IDENTITY).c2w
    assert len(c2w) == 80 and np.isfinite(c2w).all()
    np.testing.assert_allclose(steps(np.concatenate([c2w, c2w[:2]])), steps(c2w).mean(), rtol=0.1)


def test_a_keyframe_given_twice_is_no_trouble(tmp_path):
    views = ring(n=8)[[0, 1, 1, 2, 3, 0]]
    for loop in (False, True):
        file = write(tmp_path, {"keyframes": keys_of(views), "loop": loop})
        c2w = paths.keyframes(file, IDENTITY).c2w
        assert np.isfinite(c2w).all()
        np.testing.assert_allclose(c2w[0], views[0], atol=1e-9)


def test_a_turn_on_the_spot_takes_time(tmp_path):
    angles = np.radians([0, 60, 120, 180])
    targets = np.stack([np.cos(angles), np.sin(angles), 0 * angles], -1)
    views = np.concatenate([look_at(np.zeros((1, 3)), target) for target in targets])
    c2w = paths.keyframes(write(tmp_path, {"keyframes": keys_of(views)}), IDENTITY, frames=37).c2w
    turns = np.degrees(np.arccos(np.clip(np.sum(c2w[1:, :, 2] * c2w[:-1, :, 2], -1), -1, 1)))
    np.testing.assert_allclose(turns, 5.0, rtol=0.2)


def nerfstudio(c2w, **more):
    path = [
        {"camera_to_world": np.vstack([pose, [0, 0, 0, 1]]).ravel().tolist(), "fov": 50.0, "aspect": 1.5}
        for pose in c2w
    ]
    data = {"camera_type": "perspective", "render_height": 120, "render_width": 180, "camera_path": path}
    return data | {"fps": 24, "seconds": 4, "keyframes": [], "is_cycle": False} | more


def test_nerfstudio_paths_give_one_frame_an_entry(tmp_path):
    transform, views = a_similarity(), random_views(23)  # jumps between frames stay jumps
    file = write(tmp_path, nerfstudio(views))
    path = paths.keyframes(file, transform)
    np.testing.assert_allclose(path.c2w, transform.poses(views), atol=1e-6)
    np.testing.assert_allclose(path.fov, 50.0)
    assert path.size == (180, 120) and path.fps == 24.0
    cameras = paths.make_path(file, training("orbit"), transform)
    np.testing.assert_array_equal(cameras.size, [(180, 120)] * 23)
    np.testing.assert_allclose(cameras.K[:, 1, 1], 60 / math.tan(math.radians(25)), rtol=1e-6)


def test_interpolation_commutes_with_the_similarity(tmp_path):
    transform = a_similarity()
    file = write(tmp_path, {"keyframes": keys_of(random_views(6))})
    there = paths.keyframes(file, IDENTITY).c2w
    np.testing.assert_allclose(paths.keyframes(file, transform).c2w, transform.poses(there), atol=1e-5)


def test_all_problems_of_a_file_are_reported_at_once(tmp_path):
    entries = keys_of(ring(n=9), fov=[40.0] * 9, time=np.arange(9.0))
    entries[0]["c2w"] = [[1, 0], [0, 1]]
    entries[1]["c2w"] = [[str(x) for x in row] for row in entries[1]["c2w"]]
    entries[2]["c2w"][0][0] = math.nan
    entries[3]["c2w"] = (2 * np.array(entries[3]["c2w"])).tolist()
    entries[4]["fov"] = 180
    entries[5]["time"] = 0.5
    entries[6] = 7
    entries[7]["c2w"] = np.vstack([entries[7]["c2w"], [0, 0, 0, 1]]).T.tolist()
    entries[8]["fvo"] = 3
    data = {"keyframes": entries, "loop": "yes", "fps": -1, "seconds": 3, "lop": True}
    file = write(tmp_path, data)
    with pytest.raises(PathError) as caught:
        paths.keyframes(file, IDENTITY)
    lines = str(caught.value).split("\n")
    assert all(line.startswith(str(file)) and line.count(": ") >= 2 for line in lines)
    for part in [
        "keyframes[0].c2w: not 3x4 or 4x4 numbers",
        "keyframes[1].c2w: not",
        "keyframes[2].c2w: numbers that are not finite",
        "keyframes[3].c2w: rotation is not orthonormal",
        "keyframes[4].fov: 180 is not a number between 0 and 180",
        "time: does not increase",
        "keyframes[6]: not an object",
        "keyframes[7].c2w: last row is not 0 0 0 1",
        "keyframes[8].fvo: unknown key: did you mean 'fov'?",
        "fov: in 7 of 9 keyframes only",
        'loop: "yes" is neither true nor false',
        "fps: -1 is not a number",
        "seconds: given as well as",
        "lop: unknown key: did you mean 'loop'?",
    ]:
        assert any(line.startswith(f"{file}: {part}") for line in lines), part


@pytest.mark.parametrize(
    "data, message",
    [
        ("{", "not valid JSON"),
        ("[" * 100_000, "not valid JSON"),
        ("[]", "no list of keyframes"),
        ({"frames": []}, "no list of keyframes"),
        ({"keyframes": []}, "a path needs at least two"),
        ({"keyframes": keys_of(ring()[:1])}, "a path needs at least two"),
        ({"keyframes": keys_of(ring()[[0, 0, 0]])}, "fewer than two different poses"),
        ({"keyframes": keys_of(ring()[[0, 0, 0]]), "loop": True}, "fewer than two different poses"),
        ({"keyframes": keys_of(ring()), "seconds": 9e5}, "frames, not 1 ..."),
        ({"keyframes": keys_of(ring()), "seconds": 0.001}, "makes 0 frames"),
        (nerfstudio(ring(), camera_type="equirectangular"), "is not supported"),
        (nerfstudio(ring(), camera_path=[{}, {}]), "not 16 or 4x4 numbers"),
        (nerfstudio(ring(), camera_path=[{"camera_to_world": np.eye(4).ravel().tolist()}]), "at least two"),
    ],
)
def test_malformed_files_are_refused(tmp_path, data, message):
    file = write(tmp_path, data)
    with pytest.raises(PathError, match=message) as caught:
        paths.keyframes(file, IDENTITY)
    assert str(caught.value).startswith(str(file))


def test_a_missing_file_and_options_to_a_file_are_refused(tmp_path):
    with pytest.raises(PathError, match="No such file"):
        paths.make_path(tmp_path / "none.json", training("orbit"), IDENTITY)
    file = write(tmp_path, {"keyframes": keys_of(ring())})
    with pytest.raises(PathError, match="radius: a keyframe file takes no options"):
        paths.make_path(file, training("orbit"), IDENTITY, radius=2.0)


def test_a_failed_export_leaves_the_old_file(tmp_path, monkeypatch):
    file = write(tmp_path, "old")

    def full_disk(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(paths.os, "fsync", full_disk)
    with pytest.raises(OSError, match="No space"):
        paths.save_keyframes(file, training("orbit"), IDENTITY)
    assert file.read_text() == "old" and len(list(tmp_path.iterdir())) == 1
