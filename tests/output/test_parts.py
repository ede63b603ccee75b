"""Films of two runs and for two eyes, and films all around."""

import subprocess
from pathlib import Path

import imageio.v3 as iio
import imageio_ffmpeg
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from nerf.cameras.cameras import Cameras, intrinsics
from nerf.cameras.lenses import COEFFICIENTS, EQUIRECTANGULAR
from nerf.output import video
from nerf.output.frames import RenderOptions
from nerf.output.parts import joined, layout_of, make_parts
from nerf.output.spherical import mark_spherical
from nerf.output.video_rendering import render_still, render_video
from nerf.paths.motion import level
from nerf.paths.video_cameras import all_around, to_cameras
from nerf.rendering.model import Model, Stage
from nerf.runs.read import Run
from nerf.sampling.stratified import UniformSteps
from nerf.scenes.base import Similarity

SIZE = (24, 18)
TURN = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
OTHER = Similarity(0.5, TURN, np.array([0.1, -0.2, 0.05]))


class Ball(nnx.Module):
    """A ball at the file's origin whose colour is the place, seen from any normalised world."""

    def __init__(self, transform):
        self.scale = transform.scale
        self.rotation = nnx.Variable(jnp.asarray(transform.rotation, jnp.float32))
        self.shift = nnx.Variable(jnp.asarray(transform.shift, jnp.float32))

    def __call__(self, samples):
        x = (
            (samples.points - self.shift[...].reshape(*[1] * (samples.points.ndim - 1), 3))
            @ self.rotation[...]
            / self.scale
        )
        inside = jnp.square(x).sum(-1) < 0.4**2
        # Per unit of the normalised world, in which lengths are `scale` times those of the file.
        return {
            "density": jnp.where(inside, 300.0 / self.scale, 0.0),
            "rgb": jnp.clip(x + 0.5, 0.0, 1.0),
        }


def look_at(places):
    """Poses in the file's world that look at the origin, with +z up."""
    back = places / np.linalg.norm(places, axis=-1, keepdims=True)
    right = np.cross([0.0, 0.0, 1.0], back)
    right /= np.linalg.norm(right, axis=-1, keepdims=True)
    return np.stack([right, np.cross(back, right), back, places], -1)


def run_of(transform, name):
    poses = transform.poses(look_at(np.array([[1.2, 0.3, 0.4], [-0.4, 1.1, 0.3]])))
    cameras = to_cameras(poses, empty_cameras(poses), SIZE, focal=24.0)
    model = Model({"main": Stage(UniformSteps(256), Ball(transform))}, ["main"])
    config = {"background": (0.0, 0.0, 0.0), "chunk": 512}
    views = {"train": cameras}
    return Run(Path("runs") / name, config, model, 1, transform, views, {"train": ["a", "b"]}, name)


def empty_cameras(poses):
    n, (width, height) = len(poses), SIZE
    K = np.tile(intrinsics(24.0, 24.0, width / 2, height / 2), (n, 1, 1)).astype(np.float32)
    size = np.tile(np.array([width, height], np.int32), (n, 1))
    return Cameras(poses.astype(np.float32), K, np.zeros((n, COEFFICIENTS), np.float32), size)


def described(file):
    """Return the report of ffmpeg on a film, including marks in its frames."""
    show = ["-vf", "showinfo", "-f", "null", "-"]
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-hide_banner", "-i", str(file), *show]
    return subprocess.run(command, capture_output=True, text=True).stderr


@pytest.mark.long
def test_two_runs_of_other_worlds_show_one_place_side_by_side(tmp_path):
    one, other = run_of(Similarity(), "one"), run_of(OTHER, "other")
    parts = make_parts([one, other], one.cameras["train"])
    wanted = RenderOptions(depth=True, raw_depth=True)
    files = render_still(parts, tmp_path / "both.png", wanted, number=1)
    assert [file.name for file in files] == ["both.png", "both_depth.png", "both_depth.npy"]
    width, height = SIZE
    for file in files[:2]:
        both = iio.imread(file).astype(int)
        assert both.shape == (height, 2 * width, 3)
        below = both[height // 2 :]  # the labels are above
        assert (np.abs(below[:, :width] - below[:, width:]) > 8).mean() < 0.03
        assert below.std() > 20.0
    left, right = np.split(np.load(files[2]), 2, 1)  # in units of the file
    there = (left > 0) & (right > 0)
    assert there.mean() > 0.2 and np.median(np.abs(left - right)[there]) < 0.01


@pytest.mark.whole
def test_a_film_for_two_eyes_has_the_parallax_of_their_distance(tmp_path):
    run = run_of(OTHER, "one")
    parts = make_parts([run], run.cameras["train"], stereo=0.1)
    left, right = (part.cameras.c2w.astype(float) for part in parts)
    moved = OTHER.points_back(right[:, :, 3]) - OTHER.points_back(left[:, :, 3])
    np.testing.assert_allclose(np.linalg.norm(moved, axis=-1), 0.1, rtol=1e-5)
    # The right eye is to the right, and sees what is near further to the left.
    assert ((right[:, :, 3] - left[:, :, 3]) * left[:, :, 0]).sum(-1).min() > 0.0
    (out,) = render_video(parts, tmp_path / "eyes.mp4", RenderOptions(fps=2.0))
    both = iio.imread(out, index=None).astype(float)
    assert both.shape == (2, SIZE[1], 2 * SIZE[0], 3)
    for frame in both:
        places = [
            np.average(np.arange(SIZE[0]), weights=half.sum((0, 2)) + 1e-9)
            for half in np.split(frame, 2, 1)
        ]
        disparity = places[0] - places[1]
        assert 24.0 * 0.1 / 1.6 < disparity < 24.0 * 0.1 / 0.8  # focal length x distance / depth
    assert "Stereo 3D: side by side" in described(out)
    # Frames of both eyes are kept: nothing is rendered again.
    folders = sorted(path.name for path in tmp_path.iterdir() if path.is_dir())
    assert folders == ["eyes_frames", "eyes_right_eye_frames"]
    frame = tmp_path / "eyes_right_eye_frames" / "rgb_00000.png"
    written = frame.stat().st_mtime_ns
    render_video(parts, tmp_path / "eyes.mp4", RenderOptions(fps=2.0))
    assert frame.stat().st_mtime_ns == written


def test_parts_are_joined_from_left_to_right_under_their_labels():
    pictures = [np.full((30, 80, 3), value, np.uint8) for value in (50, 150)]
    whole = joined(pictures, ["", ""])
    assert (whole[:, :80] == 50).all() and (whole[:, 80:] == 150).all()
    labelled = joined(pictures, ["a", "b"])
    changed = (labelled != whole).any(-1)
    assert changed[:15, :20].any() and changed[:15, 80:100].any()
    assert not changed[20:].any() and not changed[:, 40:80].any()


def test_players_are_told_what_frames_are():
    run = run_of(Similarity(), "one")
    cameras = run.cameras["train"]
    around = all_around(np.asarray(cameras.c2w, np.float64), cameras, width=32)
    assert (around.model == EQUIRECTANGULAR).all() and around.size.tolist() == [[32, 16]] * 2
    assert layout_of(make_parts([run], cameras)) == "flat"
    assert layout_of(make_parts([run], cameras, stereo=0.1)) == "stereo"
    assert layout_of(make_parts([run], around)) == "spherical"
    assert layout_of(make_parts([run, run], around)) == "flat"


def box(file, kind):
    """The place and the size of a box of a film."""
    data = file.read_bytes()
    place = data.index(kind)
    return place, int.from_bytes(data[place - 4 : place], "big")


@pytest.mark.whole
@pytest.mark.parametrize("ending", [".mp4", ".mov"])
def test_a_spherical_film_is_marked_and_its_pictures_stay(tmp_path, ending):
    rng = np.random.default_rng(0)
    frames = list(rng.integers(0, 256, (5, 32, 64, 3), np.uint8))
    for layout in ("flat", "spherical"):
        video.encode(frames, tmp_path / f"{layout}{ending}", 5.0, layout=layout)
    plain, marked = (tmp_path / f"{layout}{ending}" for layout in ("flat", "spherical"))
    assert "equirectangular" not in described(plain)
    assert "equirectangular" in described(marked)
    # Players look for the mark in the track.
    place, size = box(marked, b"trak")
    mark, length = box(marked, b"uuid")
    assert size == box(plain, b"trak")[1] + length and place < mark < place + size
    np.testing.assert_array_equal(iio.imread(plain, index=None), iio.imread(marked, index=None))
    # Marking twice is harmless, as is data before the index.
    mark_spherical(marked, tmp_path / f"twice{ending}")
    twice = iio.imread(tmp_path / f"twice{ending}", index=None)
    np.testing.assert_array_equal(twice, iio.imread(plain, index=None))


def test_a_file_without_a_track_is_refused(tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"\0\0\0\x08moov")
    with pytest.raises(ValueError, match="no track"):
        mark_spherical(tmp_path / "a.mp4", tmp_path / "b.mp4")


def test_a_level_view_looks_where_the_view_looked():
    rng = np.random.default_rng(0)
    poses = look_at(rng.normal(size=(20, 3)))
    down = np.array([[[1.0, 0, 0, 1], [0, 1, 0, 2], [0, 0, 1, 3]]])
    up = np.array([[[1.0, 0, 0, 1], [0, -1, 0, 2], [0, 0, -1, 3]]])
    poses = np.concatenate([poses, down, up])
    got = level(poses)
    rotations = got[:, :, :3]
    np.testing.assert_allclose(np.linalg.det(rotations), 1.0)
    np.testing.assert_array_equal(got[:, :, 3], poses[:, :, 3])
    np.testing.assert_allclose(got[:, :, 1], np.tile([0.0, 0.0, 1.0], (22, 1)), atol=1e-12)
    ahead = -poses[:20, :2, 2]
    ahead /= np.linalg.norm(ahead, axis=-1, keepdims=True)
    np.testing.assert_allclose(-got[:20, :2, 2], ahead, atol=1e-12)
    # The top of a picture straight down is ahead; so is the bottom of one straight up.
    np.testing.assert_allclose(-got[20:, :2, 2], [[0.0, 1.0], [0.0, 1.0]], atol=1e-12)
