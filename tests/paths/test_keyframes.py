"""Keyframe files: what is read, the path through it, what is written, and errors."""

import dataclasses
import json
import math

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from nerf.cameras.cameras import intrinsics
from nerf.cameras.lenses import EQUIRECTANGULAR, FISHEYE, PERSPECTIVE
from nerf.paths import keyframes
from nerf.paths.keyframes import PathError, read_keyframes, save_keyframes
from nerf.paths.other_tools import save_nerfstudio
from nerf.paths.path_options import NAMES
from nerf.paths.paths import make_path
from nerf.paths.video_cameras import to_cameras
from nerf.scenes.base import Similarity
from tests.paths.test_paths import (
    IDENTITY,
    a_similarity,
    look_at,
    random_views,
    ring,
    steps,
    training,
)


def write(tmp_path, data):
    file = tmp_path / "path.json"
    file.write_text(data if isinstance(data, str) else json.dumps(data))
    return file


def keys_of(c2w, **more):
    return [
        {"c2w": pose.tolist(), **{k: float(v[i]) for k, v in more.items()}}
        for i, pose in enumerate(c2w)
    ]


def through(file, transform=IDENTITY, frames=None):
    keys = read_keyframes(file)
    return keys.path(transform, frames or keys.frames)


@pytest.mark.parametrize("name", NAMES)
def test_exported_keyframes_read_back_as_the_same_cameras(name, tmp_path):
    transform, train = a_similarity(), training(name)
    cameras = make_path(name, train, transform, frames=31, focal=50.0)
    file = tmp_path / "path.json"
    save_keyframes(file, cameras, transform, fps=12.0)
    keys = read_keyframes(file)
    np.testing.assert_allclose(keys.c2w, transform.poses_back(cameras.c2w.astype(float)), atol=1e-9)
    assert keys.fps == 12.0
    again = make_path(file, train, transform)
    np.testing.assert_allclose(again.c2w, cameras.c2w, atol=1e-5)
    np.testing.assert_allclose(again.K, cameras.K, rtol=1e-5)
    assert [p.name for p in tmp_path.iterdir()] == ["path.json"]


def test_keyframes_without_time_are_passed_at_constant_speed(tmp_path):
    views = ring(n=40, turns=0.9)[np.array([0, 3, 5, 10, 18, 25, 31, 39])]
    c2w, fov = through(write(tmp_path, {"keyframes": keys_of(views), "fps": 20, "seconds": 6}))
    assert len(c2w) == 120 and fov is None
    np.testing.assert_allclose(steps(c2w), steps(c2w).mean(), rtol=0.05)
    np.testing.assert_allclose(c2w[[0, -1]], views[[0, -1]], atol=1e-9)


def test_times_and_fields_of_view_are_kept(tmp_path):
    views, times, fovs = ring(n=40)[:4], [1.0, 2.0, 2.5, 5.0], [40.0, 50.0, 60.0, 90.0]
    file = write(tmp_path, {"keyframes": keys_of(views, time=times, fov=fovs), "fps": 10})
    c2w, fov = through(file)
    assert len(c2w) == 41
    np.testing.assert_allclose(c2w[[0, 10, 15, 40]], views, atol=1e-9)
    np.testing.assert_allclose(fov[[0, 10, 15, 40]], fovs, rtol=1e-9)
    cameras = make_path(file, training("orbit"), IDENTITY, height=200)
    np.testing.assert_allclose(cameras.K[-1, 1, 1], 100.0, rtol=1e-6)  # 90 degrees of 200 pixels
    cameras = make_path(file, training("orbit"), IDENTITY, focal=33.0)
    np.testing.assert_allclose(cameras.K[:, [0, 1], [0, 1]], 33.0)


@pytest.mark.parametrize("timed", [True, False])
def test_a_loop_of_keyframes_returns_smoothly(tmp_path, timed):
    entries = keys_of(ring(n=8), time=np.arange(8.0)) if timed else keys_of(ring(n=8))
    data = {"keyframes": entries, "loop": True, "fps": 10} | ({} if timed else {"seconds": 8})
    c2w, _ = through(write(tmp_path, data))
    assert len(c2w) == 80 and np.isfinite(c2w).all()
    np.testing.assert_allclose(steps(np.concatenate([c2w, c2w[:2]])), steps(c2w).mean(), rtol=0.1)


@pytest.mark.parametrize("loop", [False, True])
def test_a_keyframe_given_twice_is_no_trouble(tmp_path, loop):
    views = ring(n=8)[[0, 1, 1, 2, 3, 0]]
    c2w, fov = through(write(tmp_path, {"keyframes": keys_of(views, fov=[50.0] * 6), "loop": loop}))
    assert np.isfinite(c2w).all()
    np.testing.assert_allclose(c2w[0], views[0], atol=1e-9)
    np.testing.assert_allclose(fov, 50.0)


@pytest.mark.parametrize("place", [(0.0, 0.0, 0.0), (450_000.0, 5_200_000.0, 900.0)])
def test_keyframes_two_millimetres_apart_differ_wherever_the_scene_is(tmp_path, place):
    """In UTM coordinates the position's digits end at a nanometre."""
    views = np.tile(ring()[:1], (5, 1, 1))
    views[:, :, 3] = np.array(place) + 0.002 * np.arange(5)[:, None] * [1.0, 0.0, 0.0]
    keys = read_keyframes(write(tmp_path, {"keyframes": keys_of(views), "seconds": 4}))
    np.testing.assert_array_equal(keys.c2w, views)
    twice = read_keyframes(
        write(tmp_path, {"keyframes": keys_of(np.repeat(views, 2, 0)), "seconds": 4})
    )
    np.testing.assert_array_equal(twice.c2w, views)
    almost = (
        np.repeat(views, 2, 0)
        + 1e-9 * np.tile(np.eye(3, 4, 3), (10, 1, 1)) * np.arange(10)[:, None, None]
    )
    if place[1]:  # these differences are lost in the digits of the coordinates
        assert (
            len(read_keyframes(write(tmp_path, {"keyframes": keys_of(almost), "seconds": 4})).c2w)
            == 5
        )


def test_a_turn_on_the_spot_takes_time(tmp_path):
    angles = np.radians([0, 60, 120, 180])
    targets = np.stack([np.cos(angles), np.sin(angles), 0 * angles], -1)
    views = np.concatenate([look_at(np.zeros((1, 3)), target) for target in targets])
    c2w, _ = through(write(tmp_path, {"keyframes": keys_of(views)}), frames=37)
    turns = np.degrees(np.arccos(np.clip(np.sum(c2w[1:, :, 2] * c2w[:-1, :, 2], -1), -1, 1)))
    np.testing.assert_allclose(turns, 5.0, rtol=0.2)


def test_interpolation_commutes_with_the_similarity(tmp_path):
    transform, file = a_similarity(), write(tmp_path, {"keyframes": keys_of(random_views(6))})
    np.testing.assert_allclose(
        through(file, transform)[0], transform.poses(through(file)[0]), atol=1e-5
    )


def nerfstudio(c2w, **more):
    matrices = [np.vstack([pose, [0, 0, 0, 1]]).ravel().tolist() for pose in c2w]
    path = [{"camera_to_world": matrix, "fov": 50.0, "aspect": 1.5} for matrix in matrices]
    data = {
        "camera_type": "perspective",
        "render_height": 120,
        "render_width": 180,
        "camera_path": path,
    }
    return data | {"fps": 24, "seconds": 4, "keyframes": [], "is_cycle": False} | more


def test_nerfstudio_paths_give_one_frame_an_entry(tmp_path):
    transform, views = a_similarity(), random_views(23)  # jumps between frames stay jumps
    cameras = make_path(write(tmp_path, nerfstudio(views)), training("orbit"), transform)
    np.testing.assert_allclose(cameras.c2w, transform.poses(views), rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(cameras.size, [(180, 120)] * 23)
    np.testing.assert_allclose(cameras.K[:, 1, 1], 60 / math.tan(math.radians(25)), rtol=1e-6)


def test_all_problems_of_a_file_are_reported_at_once(tmp_path):
    entries = keys_of(ring(n=9), fov=[40.0] * 9, time=np.arange(9.0))
    entries[0]["c2w"] = [[1, 0], [0, 1, 2]]
    entries[1]["c2w"] = [["one" for _ in row] for row in entries[1]["c2w"]]
    entries[2]["c2w"][0][0] = math.nan
    entries[3]["c2w"][0] = (2 * np.array(entries[3]["c2w"][0])).tolist()
    entries[4]["fov"] = 180
    entries[5]["time"] = 0.5
    entries[7]["c2w"] = np.vstack([entries[7]["c2w"], [0, 0, 0, 1]]).T.tolist()
    entries[8]["fvo"] = 3
    data = {"keyframes": entries, "loop": "yes", "fps": -1, "seconds": 3, "lop": True}
    expected = {
        "keyframes[0].c2w: not 3x4 or 4x4 numbers",
        "keyframes[1].c2w: not 3x4 or 4x4 numbers",
        "keyframes[2].c2w: numbers that are not finite",
        "keyframes[3].c2w: rotation is not orthonormal",
        "keyframes[4].fov: 180 is not a number between 0 and 180",
        "fov: in 8 of 9 keyframes only",
        "time: does not increase",
        "keyframes[7].c2w: last row is not 0 0 0 1",
        "keyframes[8].fvo: unknown key: did you mean 'fov'?",
        'loop: "yes" is neither true nor false',
        "fps: -1 is not a number",
        "seconds: given as well as",
        "lop: unknown key: did you mean 'loop'?",
    }
    file = write(tmp_path, data)
    with pytest.raises(PathError) as caught:
        read_keyframes(file)
    lines = str(caught.value).split("\n")
    assert len(lines) == len(expected)
    for part in expected:
        assert any(line.startswith(f"{file}: {part}") for line in lines), part


def test_a_rotation_whose_squares_are_not_finite_is_refused_in_one_line(tmp_path):
    entries = keys_of(ring(n=3))
    entries[1]["c2w"] = [[1e200, 1e200, 0, 0], [1e200, -1e200, 0, 0], [0, 0, 1e200, 0]]
    lengths = r"columns have lengths 1\.414e\+200, 1\.414e\+200, 1e\+200:"
    with np.errstate(over="raise", invalid="raise"), pytest.raises(PathError, match=lengths):
        read_keyframes(write(tmp_path, {"keyframes": entries, "seconds": 4}))


@pytest.mark.parametrize(
    "data, message",
    [
        ("{", "not valid JSON"),
        ("[" * 200_000, "not valid JSON"),
        ("[]", "no list of keyframes"),
        ({"frames": []}, "a scene's file, not a camera path"),
        ({"keyframes": []}, "give at least one pose"),
        ({"camera_path": []}, "give at least one pose"),
        ({"keyframes": [7, 8]}, "not an object"),
        (
            {"keyframes": keys_of(ring()), "seconds": 9e5},
            "is not from 1 to 100000: give --frames, or change seconds or fps in the file",
        ),
        ({"keyframes": keys_of(ring()), "seconds": 0.001}, "frames: 0 is not from 1"),
        (
            nerfstudio(ring(), camera_type="vr180"),
            "is not supported: export it as one of: perspective, fisheye, equi",
        ),
        (
            nerfstudio(ring(), crop={"crop_center": [0, 0], "crop_scale": [1, 1, 1]}),
            "crop.crop_center: not 3 numbers",
        ),
        (
            nerfstudio(ring(), crop={"crop_center": [0, 0, 0], "crop_scale": [1, 0, 1]}),
            "crop.crop_scale: not above",
        ),
        ({"path": [{"R": [0, 0, 0, 0], "T": [0, 0, 0]}]}, "R: a quaternion of length zero"),
        ({"path": [{"R": [0, 0, 1], "T": [0, 0, 0]}]}, "R: not 4 numbers"),
        (nerfstudio(ring(), camera_path=[{}, {}]), "camera_to_world: not"),
    ],
)
def test_malformed_files_are_refused(tmp_path, data, message):
    file = write(tmp_path, data)
    with pytest.raises(PathError, match=message) as caught:
        make_path(file, training("orbit"), IDENTITY)
    assert str(caught.value).startswith(str(file))


def test_a_missing_file_and_options_to_a_file_are_refused(tmp_path):
    with pytest.raises(PathError, match="No such file"):
        make_path(tmp_path / "none.json", training("orbit"), IDENTITY)
    file = write(tmp_path, {"keyframes": keys_of(ring())})
    with pytest.raises(PathError, match="radius: not an option of a keyframe file"):
        make_path(file, training("orbit"), IDENTITY, radius=2.0)


@pytest.mark.parametrize("entries", [1, 3])
def test_one_pose_is_a_still(tmp_path, entries):
    pose = ring()[:1]
    ours = write(tmp_path, {"keyframes": keys_of(pose[[0] * entries])})
    cameras = make_path(ours, training("orbit"), IDENTITY)
    np.testing.assert_allclose(cameras.c2w, pose, atol=1e-6)
    film = make_path(ours, training("orbit"), IDENTITY, frames=4)
    np.testing.assert_allclose(film.c2w, pose[[0] * 4], atol=1e-6)
    cameras = make_path(write(tmp_path, nerfstudio(pose)), training("orbit"), IDENTITY)
    np.testing.assert_allclose(cameras.c2w, pose, atol=1e-6)
    np.testing.assert_array_equal(cameras.size, [[180, 120]])


def quote(value):
    """Put every number of a file's content in quotes."""
    if isinstance(value, dict):
        return {key: quote(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [quote(inner) for inner in value]
    return repr(value).lower() if isinstance(value, bool | int | float) else value


@pytest.mark.parametrize("kind", ["ours", "nerfstudio", "instant-ngp"])
def test_numbers_in_quotes_are_numbers_in_every_kind_of_file(tmp_path, kind):
    crop = {
        "crop_center": [1.0, 2.0, 3.0],
        "crop_scale": [2.0, 4.0, 6.0],
        "crop_bg_color": {"r": 255, "g": 0, "b": 0},
    }
    ours = {
        "keyframes": keys_of(ring()[:4], fov=[40.0, 50.0, 60.0, 70.0]),
        "loop": True,
        "fps": 10,
        "seconds": 3,
    }
    contents = {
        "ours": ours,
        "nerfstudio": nerfstudio(ring()[:4], crop=crop),
        "instant-ngp": instant_ngp(ring()[:4], duration_seconds=3.0, loop=True),
    }
    plain = read_keyframes(write(tmp_path, contents[kind]))
    quoted = read_keyframes(write(tmp_path, quote(contents[kind])))
    np.testing.assert_array_equal(quoted.c2w, plain.c2w)
    np.testing.assert_array_equal(quoted.fov, plain.fov)
    for name in ("frames", "fps", "loop", "size", "notes"):
        assert getattr(quoted, name) == getattr(plain, name), name
    if kind == "nerfstudio":
        assert quoted.crop.size == (2.0, 4.0, 6.0) and quoted.crop.background == (1.0, 0.0, 0.0)


def rounded(c2w, digits=3):
    return np.concatenate([np.round(c2w[..., :3], digits), c2w[..., 3:]], -1)


@pytest.mark.parametrize("kind", ["ours", "nerfstudio"])
@pytest.mark.parametrize(
    "change, said", [("rounded", "rounded to few digits"), ("scaled", "scale of 1.5")]
)
def test_keyframes_that_are_almost_rigid_become_the_nearest_rotation(tmp_path, kind, change, said):
    views = ring(n=7)
    given = rounded(views, 2) if change == "rounded" else views * [1.5, 1.5, 1.5, 1.0]
    file = write(tmp_path, {"keyframes": keys_of(given)} if kind == "ours" else nerfstudio(given))
    keys = read_keyframes(file)
    np.testing.assert_allclose(keys.c2w[:, :, :3], views[:, :, :3], atol=0.01)
    eye = np.tile(np.eye(3), (7, 1, 1))
    np.testing.assert_allclose(
        keys.c2w[:, :, :3] @ keys.c2w[:, :, :3].transpose(0, 2, 1), eye, atol=1e-12
    )
    np.testing.assert_allclose(keys.c2w[:, :, 3], views[:, :, 3], atol=1e-12)
    assert len(keys.notes) == 1 and keys.notes[0].startswith(f"{file}: ") and said in keys.notes[0]
    assert keys.notes[0].endswith("and 6 more")


def test_what_leads_to_the_world_of_nerfstudio_may_be_rounded_too(tmp_path):
    views = random_views(3)
    transform = rounded(np.concatenate([a_similarity().rotation, [[1.0], [2.0], [3.0]]], -1), 2)
    (tmp_path / "dataparser_transforms.json").write_text(
        json.dumps(quote({"transform": transform.tolist()}))
    )
    applied = [[1, 0, 0, 0.1], [0, 0, 1, 0.2], [0, -1, 0, 0.3]]
    scene = tmp_path / "scene"
    scene.mkdir()
    (scene / "transforms.json").write_text(json.dumps({"applied_transform": quote(applied)}))
    keys = read_keyframes(write(tmp_path, nerfstudio(views)), None, scene)
    np.testing.assert_allclose(np.linalg.det(keys.c2w[:, :, :3]), 1.0, atol=1e-9)
    assert (
        sum("dataparser_transforms.json: rotation is rounded" in note for note in keys.notes) == 1
    )
    (scene / "transforms.json").write_text(json.dumps({"applied_transform": [[2, 0], [1, 1]]}))
    with pytest.raises(PathError) as caught:
        read_keyframes(write(tmp_path, nerfstudio(views)), None, scene)
    assert str(caught.value).startswith(
        f"{scene / 'transforms.json'}: applied_transform: not 3x4 or 4x4 numbers"
    )


def test_one_side_keeps_the_aspect_of_the_file(tmp_path):
    file, train = write(tmp_path, nerfstudio(ring()[:2])), training("orbit")
    for sides, size in (({"width": 90}, (90, 60)), ({"height": 60}, (90, 60)), ({}, (180, 120))):
        np.testing.assert_array_equal(make_path(file, train, IDENTITY, **sides).size, [size] * 2)
    sizeless = {
        key: value for key, value in nerfstudio(ring()[:2]).items() if not key.startswith("render_")
    }
    np.testing.assert_array_equal(
        make_path(write(tmp_path, sizeless), train, IDENTITY).size, [(80, 53)] * 2
    )


def test_equirectangular_and_fisheye_paths_have_their_lenses(tmp_path):
    size = {"render_width": 180, "render_height": 90}
    around = make_path(
        write(tmp_path, nerfstudio(ring()[:2], camera_type="equirectangular", **size)),
        training("orbit"),
        IDENTITY,
    )
    assert around.lenses == (EQUIRECTANGULAR,)
    np.testing.assert_allclose(
        around.K[0], intrinsics(90 / math.pi, 90 / math.pi, 90, 45), rtol=1e-6
    )
    fish = make_path(
        write(tmp_path, nerfstudio(ring()[:2], camera_type="fisheye")), training("orbit"), IDENTITY
    )
    assert fish.lenses == (FISHEYE,)


@pytest.mark.parametrize("applied", [False, True])
@pytest.mark.parametrize("beside", [False, True])
def test_the_world_of_nerfstudio_is_undone(tmp_path, applied, beside):
    """nerfstudio moves poses by `transform` and scales positions.

    It also stores transform @ applied_transform.
    """
    views = random_views(5)
    world = Similarity(0.21, a_similarity().rotation, 0.21 * np.array([0.5, -1.0, 2.0]))
    saved = np.concatenate([world.rotation, world.shift[:, None] / world.scale], -1)
    scene = tmp_path / "scene"
    scene.mkdir()
    if applied:
        matrix = np.array([[1.0, 0, 0, 0.1], [0, 0, 1, 0.2], [0, -1, 0, 0.3]])
        (scene / "transforms.json").write_text(json.dumps({"applied_transform": matrix.tolist()}))
        saved = saved @ np.vstack([matrix, [0, 0, 0, 1]])
    file = write(tmp_path, nerfstudio(world.poses(views)))
    dataparser = (tmp_path if beside else scene) / "dataparser_transforms.json"
    dataparser.write_text(json.dumps({"transform": saved.tolist(), "scale": world.scale}))
    keys = read_keyframes(file, None if beside else dataparser, scene)
    np.testing.assert_allclose(keys.c2w, views, atol=1e-9)
    assert (
        len(keys.notes) == 1 and str(dataparser) in keys.notes[0] and not keys.from_nerfstudio_world
    )


def test_a_crop_is_a_box_in_the_world_of_the_file(tmp_path):
    box = {
        "crop_center": [1.0, 2.0, 3.0],
        "crop_scale": [2.0, 4.0, 6.0],
        "crop_rot": [0.0, 0.0, math.pi / 2],
    }
    crop = read_keyframes(write(tmp_path, nerfstudio(ring()[:2], crop=box))).crop
    # Turned by 90 degrees about z, the side of 2 lies along y and that of 4 along x.
    corner = crop.to_box.points(np.array([1.0 + 2.0, 2.0 - 1.0, 3.0 + 3.0]))
    np.testing.assert_allclose(np.abs(corner), [1.0, 2.0, 3.0], atol=1e-9)
    assert crop.size == (2.0, 4.0, 6.0) and crop.background == (0.0, 0.0, 0.0)


def instant_ngp(c2w, **more):
    """instant-ngp's world: axes y z x, scaled by 0.33, moved by 0.5, OpenCV cameras."""
    cycled = c2w[:, [1, 2, 0]] * np.array([1.0, -1.0, -1.0, 1.0])
    quaternions = Rotation.from_matrix(cycled[:, :, :3]).as_quat()
    path = [
        {
            "R": q.tolist(),
            "T": (0.33 * t + 0.5).tolist(),
            "fov": 40.0,
            "slice": 0.0,
            "scale": 1.5,
            "aperture_size": 0.0,
        }
        for q, t in zip(quaternions, cycled[:, :, 3], strict=True)
    ]
    return {"path": path, "time": 0.0, "loop": False} | more


def test_paths_of_instant_ngp_are_read(tmp_path):
    views = ring(n=9)
    keys = read_keyframes(write(tmp_path, instant_ngp(views, duration_seconds=3.0)))
    np.testing.assert_allclose(keys.c2w, views, atol=1e-9)
    np.testing.assert_allclose(keys.fov, 40.0)
    assert (keys.frames, keys.fps, keys.loop) == (90, 30.0, False)
    assert "0.33" in keys.notes[0] and len(keys.notes) == 1


def test_keys_of_other_programs_that_are_not_used_are_named_once_each(tmp_path):
    data = nerfstudio(ring()[:3], brand_new=1)
    for entry in data["camera_path"]:
        entry["render_time"] = 0.5
    notes = read_keyframes(write(tmp_path, data)).notes
    assert (
        len(notes) == 2
        and "brand_new: unknown key, not used" in notes[0]
        and "render_time" in notes[1]
    )
    data = instant_ngp(ring()[:3])
    for entry in data["path"]:
        entry["aperture_size"] = 0.1
    assert (
        sum(
            "aperture_size: not used" in note
            for note in read_keyframes(write(tmp_path, data)).notes
        )
        == 1
    )


def test_a_name_in_capitals_is_a_keyframe_file(tmp_path):
    file = write(tmp_path, {"keyframes": keys_of(ring()[:2])}).rename(tmp_path / "PATH.JSON")
    assert len(make_path(file, training("orbit"), IDENTITY, frames=3)) == 3


def test_a_failed_export_leaves_the_old_file(tmp_path, monkeypatch):
    file = write(tmp_path, "old")

    def full_disk(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(keyframes.os, "fsync", full_disk)
    with pytest.raises(OSError, match="No space"):
        save_keyframes(file, training("orbit"), IDENTITY)
    assert file.read_text() == "old"


# ---- written for nerfstudio


@pytest.mark.parametrize("lens", [PERSPECTIVE, FISHEYE, EQUIRECTANGULAR])
@pytest.mark.parametrize("of_a_model", [False, True])
def test_a_path_written_for_nerfstudio_gives_the_same_cameras(tmp_path, lens, of_a_model):
    transform, train = a_similarity(), training("orbit")
    cameras = make_path("orbit", train, transform, frames=21, width=90, height=45)
    if lens == EQUIRECTANGULAR:
        poses = cameras.c2w.astype(np.float64)
        cameras = to_cameras(poses, train, (90, 45), lens=lens)
    cameras = dataclasses.replace(cameras, model=np.full(21, lens, np.int32))
    file, world = tmp_path / "path.json", Similarity()
    if of_a_model:
        world = dataclasses.replace(a_similarity(only_about_z=True), scale=0.4)
        rotation, shift = world.rotation, world.shift / world.scale
        matrix = np.concatenate([rotation, shift[:, None]], -1).tolist()
        (tmp_path / "dataparser_transforms.json").write_text(
            json.dumps({"transform": matrix, "scale": world.scale})
        )
    notes = save_nerfstudio(file, cameras, transform, fps=12.0)
    assert len(notes) == of_a_model
    data = json.loads(file.read_text())
    # The matrices are those of the scene's file, or of the world of the model beside it.
    expected = world.poses(transform.poses_back(cameras.c2w.astype(np.float64)))
    for key, entries in (("camera_to_world", "camera_path"), ("matrix", "keyframes")):
        written = np.array([entry[key] for entry in data[entries]]).reshape(-1, 4, 4)
        np.testing.assert_allclose(written[:, :3], expected, atol=1e-9)
        np.testing.assert_array_equal(written[:, 3], np.tile([0, 0, 0, 1], (21, 1)))
    assert data["seconds"] == 21 / 12 and data["camera_path"][0]["aspect"] == 2.0
    assert read_keyframes(file).fps == 12.0
    again = make_path(file, train, transform)
    np.testing.assert_allclose(again.c2w, cameras.c2w, atol=1e-5)
    np.testing.assert_allclose(again.K, cameras.K, rtol=1e-5)
    np.testing.assert_array_equal(again.size, cameras.size)
    np.testing.assert_array_equal(again.model, cameras.model)


def test_a_wrong_dataparser_file_stops_the_writing_for_nerfstudio(tmp_path):
    (tmp_path / "dataparser_transforms.json").write_text("{}")
    with pytest.raises(PathError, match="no transform in it"):
        save_nerfstudio(tmp_path / "path.json", training("orbit"), IDENTITY, fps=24.0)
    assert not (tmp_path / "path.json").exists()
