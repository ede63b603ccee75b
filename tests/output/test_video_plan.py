"""What render.py films.

Which frames show what no photo shows, crops, and flags that do not go together.
"""

import math

import jax.numpy as jnp
import numpy as np
import pytest

from nerf.cameras.cameras import Rays
from nerf.cli.render_flags import check_flags
from nerf.foundation.instantiate import ConfigError
from nerf.output.video_plan import _unknown
from nerf.paths import paths
from nerf.paths.coverage import unknown_frames, usual_distance
from nerf.paths.path_options import parse_range
from nerf.paths.video_cameras import all_around
from nerf.sampling.spaces import Box, Contracted, Cropped
from tests.paths.test_paths import IDENTITY, cameras_at, look_at, ring
from tests.support.compiled import repeated, to_rays

# What photos saw.


def ball(radius=0.5, centre=(0.1, -0.2, 0.05)):
    """A renderer of a ball, by its equation."""

    def render_image(camera):
        width, height = (int(n) for n in camera.size)
        y, x = np.mgrid[:height, :width].reshape(2, -1) + 0.5
        rays = to_rays(repeated(camera, len(x)), np.stack([x, y], -1))
        offset = np.asarray(rays.origins) - centre
        along = (offset * np.asarray(rays.directions)).sum(-1)
        inside = along**2 - (offset**2).sum(-1) + radius**2
        near = -along - np.sqrt(np.maximum(inside, 0.0))
        hit = (inside > 0) & (-along + np.sqrt(np.maximum(inside, 0.0)) > 0)
        depth = np.where(hit, np.maximum(near, 1e-3), 0.0)
        return {"opacity": hit.reshape(height, width), "depth": depth.reshape(height, width)}

    return render_image


@pytest.mark.long
def test_the_usual_distance_is_that_of_matter_in_the_middle_of_the_views():
    train = cameras_at(ring(radius=2.0, height=0.0))
    assert 1.5 < usual_distance(train, ball(0.5)) < 1.7
    assert usual_distance(cameras_at(look_at(ring()[:, :, 3], (9, 9, 9))), ball()) is None


@pytest.mark.parametrize("name", ["orbit", "ellipse", "follow"])
@pytest.mark.parametrize("turns", [1.0, 0.5])
def test_paths_along_the_photos_are_known(name, turns):
    train = cameras_at(ring(turns=turns))
    film = paths.make_path(name, train, IDENTITY, frames=30)
    numbers, unknown = unknown_frames(film, train, ball(), 1.6)
    if turns == 1.0 or name == "follow":
        assert not unknown.any()
    else:  # the far side was never photographed
        assert 0.15 < unknown.mean() < 0.6


@pytest.mark.parametrize(
    "film",
    [
        look_at(
            ring(radius=0.2, height=0.08)[:8, :, 3], (0.1, -0.2, 0.05)
        ),  # within the ball, as the photos look
        look_at(ring()[:8, :, 3], (9, 9, 9)),  # away from everything
        look_at(ring()[:8, :, 3] * [1, 1, -8], (0.1, -0.2, 0.05)),  # from below
    ],
    ids=["within", "away", "below"],
)
def test_films_of_what_no_photo_shows_are_found(film):
    train = cameras_at(ring())
    numbers, unknown = unknown_frames(cameras_at(film), train, ball(), 1.6)
    assert unknown.all() and numbers == list(range(8))


def test_the_frames_looked_at_are_spread_over_a_long_film():
    train = cameras_at(ring())
    numbers, unknown = unknown_frames(
        paths.make_path("orbit", train, IDENTITY, frames=500), train, ball(), 1.6
    )
    assert numbers[0] == 0 and numbers[-1] == 499 and len(numbers) == len(unknown) < 50


def test_a_film_of_all_directions_gets_no_hint_to_move_its_cameras():
    train = cameras_at(ring())
    flat = paths.make_path("orbit", train, IDENTITY, frames=4)
    around = all_around(np.asarray(flat.c2w), train, 64, 32)
    (warning,) = _unknown(around, train, ball(), 1.6, range(4), "orbit", None)
    assert "4 of 4 frames" in warning and "trust them only where the photos look" in warning
    assert "--path" not in warning
    assert _unknown(flat, train, ball(), 1.6, range(4), "orbit", None) == []


# Crops.


@pytest.mark.long
def test_a_crop_keeps_the_part_of_a_ray_within_a_turned_box():
    turn = math.radians(30)
    turned = np.array(
        [[math.cos(turn), math.sin(turn), 0], [-math.sin(turn), math.cos(turn), 0], [0, 0, 1]]
    )
    half = np.array([0.2, 0.1, 0.3])
    centre = np.array([0.1, 0.0, -0.1])
    rng = np.random.default_rng(0)
    origins = rng.uniform(-1.5, 1.5, (200, 3))
    directions = rng.normal(size=(200, 3)) + 3 * (centre - origins)
    directions /= np.linalg.norm(directions, axis=-1, keepdims=True)
    rays = Rays(*(jnp.asarray(x, jnp.float32) for x in (origins, directions, directions)))
    axes = turned / half[:, None]
    for space in (Box(), Contracted(near=0.0)):
        crop = Cropped(space, tuple(map(tuple, axes)), tuple(-axes @ centre))
        near, far = (np.asarray(t)[:, 0] for t in crop.interval(rays))
        whole = [np.asarray(t)[:, 0] for t in space.interval(rays)]
        for t in np.linspace(0.0, 3.0, 61) + 0.013:
            local = turned @ (origins + t * directions - centre)[..., None]
            inside = (np.abs(local[..., 0]) < half).all(-1) & (whole[0] < t) & (t < whole[1])
            edge = (np.abs(near - t) < 1e-4) | (np.abs(far - t) < 1e-4)
            assert (((near < t) & (t < far)) == inside)[~edge].all()
    assert ((far > near).sum() > 50) and ((far == near).sum() > 5)


# Flags.


@pytest.mark.parametrize(
    "given, words",
    [
        ({"fps": 0.0}, "--fps=0"),
        ({"fps": -5.0}, "--fps=-5"),
        ({"fps": math.nan}, "--fps=nan"),
        ({"fps": math.inf}, "--fps=inf"),
        ({"enlarge": 0.0, "out": "x.png"}, "--enlarge=0"),
        ({"enlarge": -2.0, "out": "x.png"}, "--enlarge=-2"),
        ({"enlarge": 2.0}, "ends in .png"),
        (
            {"enlarge": 2.0, "out": "x.png", "path": "orbit"},
            "--path: has no effect here, only without --enlarge",
        ),
        (
            {"split": "test", "out": "x", "fov": 30.0},
            "--fov: has no effect here, only without --split",
        ),
        ({"split": "test", "export": True, "out": "x"}, "--split and --export"),
        ({"split": "test"}, "makes a folder"),
        ({"export": True, "out": "x", "depth": True}, "--depth: has no effect"),
        ({"scene": "data"}, "--scene: has no effect here, only with --split or --export"),
        ({"points": 7}, "--points: has no effect here, only with --export"),
        ({"width": 0}, "--width=0"),
        ({"height": -1}, "--height=-1"),
        ({"width": 10**6}, "--width=1e+06"),
        ({"frames": 0}, "--frames=0"),
        ({"focal": -1.0}, "--focal=-1"),
        ({"fov": 180.0}, "--fov=180"),
        ({"fov": 40.0, "focal": 40.0}, "--focal and --fov"),
        ({"process": 1}, "--process=1: of 1"),
        ({"range": "9-3"}, "--range=9-3"),
        ({"range": "all"}, "--range=all"),
        ({"out": "video.avi"}, "ends in .mp4, .webm, .mov, .gif, .png or .json"),
        ({"out": "video"}, "ends in .mp4, .webm, .mov, .gif, .png or .json"),
        ({"contact_sheet": True}, "--out=x.mp4: --contact_sheet makes one picture"),
        ({"contact_sheet": True, "out": "x.png", "depth": True}, "no effect on a contact sheet"),
        ({"contact_sheet": True, "out": "x.png", "beside": "b"}, "no effect on a contact sheet"),
        ({"beside": "b", "stereo": 0.1}, "--beside and --stereo: both put two pictures"),
        ({"stereo": 0.1, "equirectangular": True}, "--stereo and --equirectangular: two eyes"),
        ({"fov": 40.0, "equirectangular": True}, "--equirectangular and --fov: a frame that"),
        ({"stereo": -0.1}, "--stereo=-0.1: out of range"),
        ({"out": "path.json", "beside": "b"}, "--beside: has no effect on a camera path"),
        ({"split": "test", "out": "folder", "stereo": 0.1}, "--stereo: has no effect here"),
        ({"crf": 52}, "--crf=52: out of range"),
        ({"crf": 9, "out": "x.mov"}, "--crf: .mov has a fixed quality"),
        ({"crf": 9, "out": "x.png"}, "--crf: has no effect on a picture"),
        ({"transparent": True, "out": "x.gif"}, "--transparent: .gif has no alpha"),
        ({"transparent": True}, "--transparent: .mp4 has no alpha"),
        ({"out": "path.json", "transparent": True}, "--transparent: has no effect on a camera"),
        ({"out": "path.json", "crop": "c.json"}, "--crop: has no effect on a camera path"),
        ({"out": "path.json", "depth": True}, "--depth: has no effect on a camera path"),
    ],
)
def test_flags_that_cannot_be_are_refused_in_one_line(given, words):
    with pytest.raises(ConfigError) as caught:
        check_flags({"out": "x.mp4", **given})
    assert words in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"out": "A.MP4", "fps": 12.5, "fov": 40.0, "width": 3, "range": "4-6"},
        {"out": "path.json", "fps": 12.5, "fov": 40.0, "range": "4-6"},
        {"out": "A.PNG", "range": "4", "depth": True, "transparent": True},
        {"out": "a.webm", "transparent": True, "crf": 0},
        {"out": "a.gif", "fps": 12.0},
        {"beside": "runs/b", "equirectangular": True, "depth": True},
        {"out": "a.png", "range": "3", "stereo": 0.06, "fov": 40.0},
        {"out": "path.json", "equirectangular": True},
        {"out": "a.png", "contact_sheet": True, "range": "4-60"},
        {"out": "a.MOV", "transparent": True},
        {"out": "a.png", "enlarge": 0.5},
        {"out": "folder", "split": "test", "scene": "data"},
        {"out": "folder", "export": True, "scene": "data"},
        {"out": "folder", "export": True, "points": 5},
        {"process": 1, "processes": 2},
        {"depth": False, "export": False},
    ],
)
def test_flags_that_go_together_pass(given):
    check_flags({"out": "x.mp4", **given})


def test_ranges_are_read():
    assert (
        parse_range("40-60") == (40, 60)
        and parse_range("7") == (7, 7)
        and parse_range(" 0 - 3 ") == (0, 3)
    )
