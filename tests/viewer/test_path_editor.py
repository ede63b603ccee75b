"""The path editor: what is saved is what is played, and edits can be undone."""

import dataclasses
import json

import numpy as np
import pytest

from nerf.cameras.cameras import Cameras
from nerf.paths.keyframe_reader import PathError
from nerf.paths.keyframes import read_keyframes
from nerf.paths.paths import make_path
from nerf.viewer.path_editor import PathEditor
from tests.viewer.ball_run import TURNED, make_run


@pytest.fixture
def train(tmp_path):
    return make_run(tmp_path / "ball").cameras["train"]


@pytest.fixture
def editor(train):
    """An editor with three keyframes where photos were taken."""
    editor = PathEditor(train, TURNED)
    for i, fov in enumerate((40.0, 55.0, 30.0)):
        editor.add(TURNED.poses_back(np.asarray(train.c2w[i], np.float64)), fov)
    return editor


def same(one: Cameras, two: Cameras) -> bool:
    return all(
        np.array_equal(getattr(one, name), getattr(two, name))
        for name in ("c2w", "K", "size", "model", "distortion")
    )


@pytest.mark.parametrize("loop", [False, True])
@pytest.mark.parametrize("timed", [False, True])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_film_of_the_saved_file_has_the_cameras_that_the_viewer_plays(
    editor, train, tmp_path, loop, timed, count
):
    while len(editor.path.keys) > count:
        editor.remove(0)
    editor.change(loop=loop, fps=12.0, seconds=3.0)
    if timed:
        editor.time_evenly()
    file = tmp_path / "paths" / "mine.json"
    editor.save(file)
    film = make_path(file, train, TURNED)
    assert same(film, editor.cameras())
    wanted = {(False, 1): 1, (True, 1): 1, (False, 2): 36, (False, 3): 36}
    expected = wanted.get((timed, count), 36 if loop else 37)
    assert len(film) == expected


def test_the_path_passes_through_its_keyframes_with_their_fields_of_view(editor, train):
    editor.time_evenly()
    editor.edit(1, time=1.0)
    cameras = editor.cameras(width=90, height=60)
    for number, frame in ((0, 0), (1, 30), (2, len(cameras) - 1)):
        key = editor.path.keys[number]
        np.testing.assert_allclose(cameras.c2w[frame], TURNED.poses(key.c2w), atol=1e-5)
        fov = 2.0 * np.degrees(np.arctan(30.0 / cameras.K[frame, 1, 1]))
        assert fov == pytest.approx(key.fov, rel=1e-4)


def test_a_saved_path_is_opened_with_everything(editor, train, tmp_path):
    editor.edit(1, name="the door")
    editor.change(loop=True, fps=25.0)
    for timed in (False, True):
        if timed:
            editor.time_evenly()
        editor.save(tmp_path / "mine.json")
        again = PathEditor(train, TURNED)
        assert again.open(tmp_path / "mine.json") == []
        assert json.dumps(again.path.to_json()) == json.dumps(editor.path.to_json())
        assert same(again.cameras(), editor.cameras())


def test_nerfstudios_file_has_every_frame_and_is_opened_again(editor, train, tmp_path):
    editor.change(fps=10.0, seconds=2.0)
    file = tmp_path / "camera_path.json"
    assert editor.save_for_nerfstudio(file, None) == []
    cameras = editor.cameras()
    assert len(json.loads(file.read_text())["camera_path"]) == 20 == len(cameras)
    again = PathEditor(train, TURNED)
    notes = again.open(file)
    width, height = cameras.size[0]
    assert notes == [f"size {width}x{height}: not kept: render with --width and --height"]
    np.testing.assert_allclose(again.cameras().c2w, cameras.c2w, atol=1e-5)
    np.testing.assert_allclose(again.cameras().K, cameras.K, rtol=1e-5)


def test_a_file_without_fields_of_view_looks_as_a_film_of_it(editor, train, tmp_path):
    data = editor.path.to_json()
    for entry in data["keyframes"]:
        del entry["fov"], entry["name"]
    file = tmp_path / "bare.json"
    file.write_text(json.dumps(data))
    editor.open(file)
    assert [key.name for key in editor.path.keys] == ["key 1", "key 2", "key 3"]
    film = make_path(file, train, TURNED)
    np.testing.assert_allclose(editor.cameras().K, film.K, rtol=1e-5)
    assert np.array_equal(editor.cameras().c2w, film.c2w)


def test_every_edit_can_be_undone(editor):
    changes = []
    editor.on_change = lambda: changes.append(editor.path)
    states = [editor.path]
    for edit in (
        lambda: editor.add(editor.path.keys[0].c2w, 20.0, after=0),
        lambda: editor.edit(1, name="b", fov=33.0),
        lambda: editor.swap(0, 1),
        lambda: editor.remove(2),
        lambda: editor.change(loop=True),
        lambda: editor.time_evenly(),
    ):
        edit()
        states.append(editor.path)
    assert len(changes) == 6
    for state in states[-2::-1]:
        editor.undo()
        assert editor.path is state
    for _ in range(5):
        editor.undo()
    assert editor.path.keys == ()


def test_keyframes_are_inserted_named_and_timed_between_their_neighbours(editor):
    assert editor.add(editor.path.keys[0].c2w, 20.0, after=0) == 1
    keys = editor.path.keys
    assert [key.name for key in keys] == ["key 1", "key 4", "key 2", "key 3"]
    assert [key.time for key in keys] == [0.0, 1.0, 2.0, 4.0]
    editor.remove(0)
    assert editor.add(keys[0].c2w, 20.0) == 3
    assert editor.path.keys[-1].name == "key 1" and editor.path.keys[-1].time == 6.0


def test_swapped_keyframes_keep_the_times_of_their_places(editor):
    names = [key.name for key in editor.path.keys]
    editor.swap(0, 2)
    assert [key.name for key in editor.path.keys] == names[::-1]
    assert [key.time for key in editor.path.keys] == [0.0, 2.0, 4.0]
    before = editor.path
    editor.swap(0, -1)
    editor.swap(2, 3)
    assert editor.path is before


def test_a_path_that_cannot_be_a_film_is_an_error_in_a_line_and_nothing_is_written(
    editor, train, tmp_path
):
    file = tmp_path / "none.json"
    with pytest.raises(PathError, match="empty"):
        PathEditor(train, TURNED).save(file)
    editor.time_evenly()
    editor.edit(0, time=9.0)
    with pytest.raises(PathError, match="does not increase"):
        editor.save(file)
    assert not file.exists()


def test_a_name_that_is_no_text_is_reported(editor, tmp_path):
    data = editor.path.to_json()
    data["keyframes"][1]["name"] = 7
    file = tmp_path / "odd.json"
    file.write_text(json.dumps(data))
    with pytest.raises(PathError, match="7 is not text"):
        read_keyframes(file)


def test_keyframes_at_one_place_keep_their_names(editor, tmp_path):
    key = editor.path.keys[1]
    editor.change(keys=(editor.path.keys[0], key, dataclasses.replace(key, name="again")))
    found = editor.path.keyframes()
    assert len(found.c2w) == 2 and found.names == ("key 1", "again")
