"""Where a scene's middle is, how large it is and which way is up, whatever the cameras did."""

import json

import numpy as np
import pytest
from PIL import Image

from nerf import scenes
from nerf.check.layout import lay_out, place_diagnostics, up_diagnostics
from nerf.scenes.focus import axes_meet, focus_point
from nerf.scenes.normalise import up_direction
from nerf.scenes.ply import write_points

NEAR = 0.1  # of the normalised world, where sampling begins: see nerf.sampling.spaces.Contracted
UP = np.array([0.0, 0.0, 1.0])


def poses(position, view, up) -> np.ndarray:
    """Camera-to-world at each position, looking along each view, each up about the picture's up."""
    back = -view / np.linalg.norm(view, axis=-1, keepdims=True)
    right = np.cross(up, back)
    right /= np.linalg.norm(right, axis=-1, keepdims=True)
    return np.stack([right, np.cross(back, right), back, position], -1)


def drone(jitter: float, seed: int = 0, height: float = 50.0) -> np.ndarray:
    """8 x 5 cameras in a grid above the ground z = 0 look straight down, north up in pictures."""
    x, y = np.meshgrid(np.arange(8) * 10.0, np.arange(5) * 10.0)
    position = np.stack([x.ravel(), y.ravel(), np.full(40, height)], -1)
    view = np.concatenate(
        [np.random.default_rng(seed).normal(0, jitter, (40, 2)), -np.ones((40, 1))], -1
    )
    return poses(position, view, np.broadcast_to([0.0, 1.0, 0.0], (40, 3)))


def ring(count: int = 24, tilt: float = 0.5) -> np.ndarray:
    """Cameras around the origin that look at it from somewhat above."""
    angle = 2 * np.pi * np.arange(count) / count
    position = 4 * np.stack([np.cos(angle), np.sin(angle), np.full(count, tilt)], -1)
    return poses(position, -position, np.broadcast_to(UP, (count, 3)))


def stored(c2w: np.ndarray, orientation: int) -> np.ndarray:
    """The same cameras for pixels that are stored as an EXIF orientation says."""
    quarters = {1: 0, 6: 1, 3: 2, 8: 3}[orientation]
    turn = np.linalg.matrix_power(
        np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]), -quarters
    )
    return np.concatenate([c2w[..., :3] @ turn, c2w[..., 3:]], -1)


def write(
    root,
    c2w,
    orientation: int = 1,
    size=(32, 24),
    angle: float = 0.9,
    shift=(0.0, 0.0, 0.0),
    scale=1.0,
):
    """A nerfstudio scene of noise at these poses, its photos with an EXIF orientation."""
    (root / "images").mkdir(parents=True)
    rng, frames = np.random.default_rng(0), []
    for i, matrix in enumerate(c2w):
        exif = Image.Exif()
        exif[0x0112] = orientation
        pixels = Image.fromarray(rng.integers(0, 255, (size[1], size[0], 3), np.uint8))
        pixels.save(root / "images" / f"{i:03d}.jpg", exif=exif)
        moved = matrix.copy()
        moved[:, 3] = scale * matrix[:, 3] + np.array(shift)
        frames.append(
            {
                "file_path": f"images/{i:03d}.jpg",
                "transform_matrix": [*moved.tolist(), [0, 0, 0, 1]],
            }
        )
    (root / "transforms.json").write_text(json.dumps({"camera_angle_x": angle, "frames": frames}))
    return root


@pytest.mark.parametrize("jitter", [0.0, 1e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1])
def test_jitter_of_parallel_axes_moves_no_focus_and_leaves_the_ground_in_reach(tmp_path, jitter):
    middle, extent = np.array([35.0, 20.0, 50.0]), np.hypot(35.0, 20.0)
    for seed in range(20):
        c2w = drone(jitter, seed)
        assert not axes_meet(c2w)
        assert np.linalg.norm(focus_point(c2w) - middle) < 0.1 * extent
    scene = scenes.load(write(tmp_path, drone(jitter), size=(16, 8)), "train")
    np.testing.assert_allclose(scene.transform.scale * extent, 1.0, rtol=0.1)
    assert 50.0 * scene.transform.scale > 10 * NEAR


def test_a_slider_with_jitter_has_its_focus_on_the_slider():
    position = np.stack([np.linspace(0, 1, 30), np.zeros(30), np.zeros(30)], -1)
    for seed in range(20):
        view = np.concatenate(
            [np.random.default_rng(seed).normal(0, 1e-3, (30, 2)), -np.ones((30, 1))], -1
        )
        c2w = poses(position, view, np.broadcast_to([0.0, 1.0, 0.0], (30, 3)))
        assert np.linalg.norm(focus_point(c2w) - [0.5, 0, 0]) < 0.05


@pytest.mark.parametrize("distance", [3.0, 30.0, 300.0])
def test_axes_that_meet_far_away_are_believed(distance):
    rng = np.random.default_rng(1)
    position = np.concatenate([rng.uniform(-1, 1, (20, 2)), np.zeros((20, 1))], -1)
    target = np.array([0.0, 0.0, -distance])
    view = (
        target - position + distance * rng.normal(0, 0.1 / distance, (20, 3))
    )  # a tenth of the baseline
    c2w = poses(position, view, np.broadcast_to([0.0, 1.0, 0.0], (20, 3)))
    assert axes_meet(c2w)
    np.testing.assert_allclose(focus_point(c2w), target, atol=0.1 * distance)


def test_axes_that_part_have_no_focus_behind_the_cameras():
    position = np.stack([np.linspace(-1, 1, 9), np.zeros(9), np.zeros(9)], -1)
    c2w = poses(position, position - [0, 0, 20.0], np.broadcast_to([0.0, 1.0, 0.0], (9, 3)))
    assert not axes_meet(c2w)
    np.testing.assert_allclose(focus_point(c2w), 0.0, atol=1e-9)


def test_known_distances_place_the_focus_of_parallel_axes_only():
    for jitter in (0.0, 3e-3):
        np.testing.assert_allclose(focus_point(drone(jitter), 50.0), [35, 20, 0], atol=0.5)
    np.testing.assert_allclose(focus_point(ring(), 50.0), 0.0, atol=1e-9)


@pytest.mark.parametrize("jitter", [0.0, 3e-3])
@pytest.mark.parametrize("known", ["points", "depth"])
def test_points_and_depth_of_a_file_put_the_ground_in_the_middle(tmp_path, jitter, known):
    root = write(tmp_path, drone(jitter), size=(16, 8))
    data = json.loads((root / "transforms.json").read_text())
    if known == "points":
        ground = np.random.default_rng(0).uniform([-20, -20, 0], [90, 60, 0], (500, 3))
        write_points(root / "ground.ply", ground, np.zeros((500, 3)), np.zeros((500, 3), np.uint8))
        data["ply_file_path"] = "ground.ply"
    else:
        for i, frame in enumerate(data["frames"]):
            np.save(root / f"{i}.npy", np.full((8, 16), 50_000, np.float32))  # millimetres
            frame["depth_file_path"] = f"{i}.npy"
    (root / "transforms.json").write_text(json.dumps(data))
    transform = scenes.load(root, "train").transform
    np.testing.assert_allclose(transform.points(np.array([35.0, 20.0, 0.0])), 0.0, atol=0.1)
    np.testing.assert_allclose(transform.scale * np.sqrt(50.0**2 + 35**2 + 20**2), 1.0, rtol=0.05)


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_up_is_that_of_the_photos_as_they_are_to_be_seen(tmp_path, orientation):
    root = write(tmp_path, stored(ring(), orientation), orientation)
    scene = scenes.load(root, "train")
    np.testing.assert_allclose(scene.transform.rotation @ UP, UP, atol=1e-6)
    assert any("EXIF" in note for note in scene.notes) == (orientation != 1)
    assert not list(up_diagnostics(scene, lay_out(scene)))


@pytest.mark.parametrize(
    ("number", "up"), [(1, "y"), (2, "y"), (3, "-y"), (4, "-y"), (5, "-x"), (6, "-x"), (7, "x")]
)
def test_each_exif_orientation_has_its_up(number, up):
    """Turned as EXIF says, a picture that is bright at that side is bright at its top."""
    stored_picture = np.zeros((8, 8), np.uint8)
    side = {"y": np.s_[0], "-y": np.s_[-1], "-x": np.s_[:, 0], "x": np.s_[:, -1]}[up]
    stored_picture[side] = 255
    image = Image.fromarray(stored_picture)
    image.getexif()[0x0112] = number
    from PIL import ImageOps

    seen = np.asarray(ImageOps.exif_transpose(image))
    assert (seen[0] == 255).all()
    axis = {"x": [1.0, 0, 0], "y": [0, 1.0, 0]}[up[-1]] * np.array(-1.0 if up[0] == "-" else 1.0)
    one = np.concatenate([np.eye(3), np.zeros((3, 1))], -1)[None]
    np.testing.assert_allclose(up_direction(one, [number]), axis, atol=1e-12)


def test_a_tag_that_was_left_behind_is_not_believed():
    np.testing.assert_allclose(up_direction(ring(), [6] * 24), UP, atol=1e-6)


def test_up_of_cameras_that_look_down_is_against_their_view():
    np.testing.assert_allclose(up_direction(drone(3e-3), [1] * 40), UP, atol=1e-12)
    yawing = drone(3e-3)
    yawing[::2, :, :2] *= -1.0  # every other line is flown the other way
    yawing[:, 2, 3] = 0.0  # and coordinates begin at the drone's height
    np.testing.assert_allclose(up_direction(yawing, [1] * 40), UP, atol=0.02)


def test_a_capture_of_a_wall_in_recentred_axes_keeps_its_own_up():
    wall = drone(3e-3)
    wall[:, :, 3] -= wall[:, :, 3].mean(0)
    np.testing.assert_allclose(up_direction(wall, [1] * 40), [0.0, 1.0, 0.0], atol=0.02)


@pytest.mark.parametrize(
    "shift", [(651234.5, 4798765.25, 312.0), (-2700123.0, -4292345.0, 3855678.0)]
)
def test_coordinates_of_maps_are_no_single_place(tmp_path, shift):
    scene = scenes.load(write(tmp_path / "far", ring(), shift=shift), "train")
    assert not list(place_diagnostics(scene, lay_out(scene)))
    np.testing.assert_allclose(scene.transform.points(np.array(shift)), 0.0, atol=1e-3)
    one_place = scenes.load(write(tmp_path / "one", ring(), shift=shift, scale=0.0), "train")
    assert "in one place" in str(*place_diagnostics(one_place, lay_out(one_place)))


def test_one_camera_far_from_others_in_one_place_is_named(tmp_path):
    c2w = ring()
    c2w[:, :, 3] = c2w[0, :, 3]
    c2w[4, :, 3] += 5.0
    scene = scenes.load(write(tmp_path, c2w), "train")
    with np.errstate(all="raise"):
        (found,) = place_diagnostics(scene, lay_out(scene))
    assert len(found.views) == 1 and "most of the other cameras stand in one place" in str(found)


def test_a_scene_of_microns_in_metres_is_no_single_place(tmp_path):
    scene = scenes.load(write(tmp_path, ring(), scale=1e-6), "train")
    assert not list(place_diagnostics(scene, lay_out(scene)))
    np.testing.assert_allclose(
        np.linalg.norm(scene.cameras.c2w[:, :, 3], axis=-1).max(), 1.0, rtol=1e-4
    )
