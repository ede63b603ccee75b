"""What a user reads when something is wrong: the cause that is right, and a fix that exists."""

import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nerf import scenes
from nerf.cli.render_flags import check_flags
from nerf.foundation.instantiate import ConfigError
from nerf.output import video
from nerf.output.video_plan import check_options
from nerf.paths.keyframes import read_keyframes
from nerf.paths.path_options import parse_path
from nerf.paths.paths import PathError, make_path
from nerf.scenes import SceneError, picture
from nerf.scenes.base import NoViews, Similarity
from nerf.scenes.formats import nerfstudio
from tests.paths.test_keyframes import nerfstudio as nerfstudio_path
from tests.paths.test_paths import ring, training
from tests.scenes.formats.test_colmap import write_scene
from tests.scenes.test_scenes import edit, noise, refusal, save, write_nerfstudio

# ---- lenses and sizes


def without_focal(data, **lens):
    for key in ("fl_x", "fl_y", "camera_angle_x", "camera_angle_y"):
        data.pop(key, None)
    data.update(lens)


LENSES = {
    "degrees for radians": (
        {"camera_angle_x": 50.0},
        "camera_angle_x: 50 is not an angle below 3.142 radians",
        "fl_x",
    ),
    "half a turn": (
        {"x_fov": 200.0},
        "x_fov: 200 is not an angle below 180 degrees",
        "write degrees",
    ),
    "a focal length in widths": (
        {"fl_x": 0.0008},
        "implausible focal length of 0.0008, 0.0008 pixels",
        "in pixels",
    ),
    "a far centre": (
        {"fl_x": 8.0, "cx": -999.0, "cy": 3.0},
        "principal point -999, 3 for 8x6",
        "top left corner",
    ),
    "a centre in words": (
        {"fl_x": 8.0, "cx": "middle"},
        "cx: 'middle' is not a number",
        "write pixels",
    ),
    "a word for k1": (
        {"fl_x": 8.0, "k1": "x"},
        "k1: distortion is not a number: 'x'",
        "write k1, k2",
    ),
    "a typing error": (
        {"fl_x": 8.0, "camera_model": "OPENCV_FISHYE"},
        "not supported",
        "'OPENCV_FISHEYE'?",
    ),
}


@pytest.mark.parametrize("case", LENSES)
def test_a_wrong_lens_is_named_with_its_value_and_unit(tmp_path, case):
    lens, cause, fix = LENSES[case]
    root = write_nerfstudio(tmp_path)
    edit(root, lambda data: without_focal(data, **lens))
    assert all(
        line.startswith("transforms.json: ") and cause in line and fix in line
        for line in refusal(root)
    )


def change_cameras(root: Path, change) -> Path:
    file = root / "sparse/0/cameras.txt"
    lines = [change(line.split()) for line in file.read_text().splitlines()]
    file.write_text("".join(" ".join(words) + "\n" for words in lines))
    return root


@pytest.mark.parametrize(
    "change, cause, fix",
    [
        (
            lambda w: [*w[:4], "nan", *w[5:]],
            "numbers that are not finite",
            "estimate the poses again",
        ),
        (lambda w: [*w[:4], "1e-6", *w[5:]], "implausible focal length", "correct it"),
        (
            lambda w: [w[0], "PINHOLE", *w[2:4], "one", *w[5:8]],
            "line 1: 'one' is not a number",
            "export it again",
        ),
        (lambda w: ["1.5", *w[1:]], "line 1: '1.5' is not a whole number", "export it again"),
        (
            lambda w: [w[0], "PINHOLLE", *w[2:]],
            "unknown camera model 'PINHOLLE'",
            "colmap image_undistorter",
        ),
    ],
)
def test_a_wrong_camera_of_colmap_has_a_fix_of_its_own(tmp_path, change, cause, fix):
    for line in refusal(change_cameras(write_scene(tmp_path), change)):
        assert cause in line and fix in line
        assert "fl_x" not in line, "that is a key of another format"


def test_a_model_without_its_images_is_one_line(tmp_path):
    root = write_scene(tmp_path)
    shutil.rmtree(root / "images")
    (line,) = refusal(root)
    assert line.startswith("sparse/0: none of its ") and line.endswith(
        "put them into the folder images"
    )


# ---- files and splits


def test_a_folder_in_the_place_of_an_image_is_to_be_replaced_by_one(tmp_path):
    root = write_nerfstudio(tmp_path)
    edit(root, lambda data: data["frames"][2].update(file_path="images"))
    assert refusal(root) == ["images: a folder, not an image: name an image"]


def test_holding_out_every_view_is_not_mended_by_more_images(tmp_path):
    root = write_nerfstudio(tmp_path)
    with pytest.raises(SceneError, match="hold out fewer with --config.scene.every=8"):
        nerfstudio.load(root, "train", every=1)
    edit(root, lambda data: data.update(train_filenames=[]))
    with pytest.raises(
        SceneError, match="train_filenames: no view in split 'train': list images in it"
    ):
        scenes.load(root, "train")


@pytest.mark.long
def test_lists_that_leave_nothing_to_train_on_are_named_as_the_file_has_them(tmp_path):
    names = [f"images/{i:03d}.png" for i in range(17)]
    root = write_nerfstudio(tmp_path, test_filenames=names)
    with pytest.raises(
        SceneError,
        match="transforms.json: test_filenames: all images are listed.*: list fewer there",
    ):
        scenes.load(root, "train")
    edit(root, lambda data: data.update(train_filenames=names[:9], test_filenames=[]))
    with pytest.raises(
        NoViews, match="json: test_filenames: no view in split 'test': --config.eval_split=val"
    ):
        scenes.load(root, "test")
    edit(root, lambda data: data.pop("test_filenames"))
    with pytest.raises(
        NoViews, match="transforms.json: no view in split 'test': --config.eval_split=val"
    ):
        scenes.load(root, "test")


@pytest.mark.long
def test_only_what_has_a_mask_is_told_to_correct_it(tmp_path):
    root = write_nerfstudio(tmp_path / "clear")
    save(root / "images/003.png", np.zeros((6, 8, 4), np.uint8))
    assert refusal(root) == ["images/003.png: fully transparent: remove it"]
    root = write_nerfstudio(tmp_path / "masked")
    save(root / "images/dynamic_mask_003.png", np.full((6, 8), 255, np.uint8))
    assert refusal(root)[0].startswith(
        "images/003.png: fully masked: remove it, or correct its mask"
    )


def test_the_image_task_speaks_of_the_flag_that_is_wrong(tmp_path):
    with pytest.raises(
        SceneError, match="a folder, not an image: give an image file with --scene, or train"
    ):
        picture.load(write_nerfstudio(tmp_path), "train")
    with pytest.raises(SceneError, match="no such image: check the path$"):
        picture.load(tmp_path / "none.png", "train")


def test_proposed_commands_can_be_pasted(tmp_path):
    folder = tmp_path / "my photos"
    folder.mkdir()
    Image.fromarray(noise(8, 6, 3)).save(folder / "a.jpg")
    with pytest.raises(SceneError) as caught:
        scenes.load(folder, "train")
    assert f"nerf capture '{folder}' --out=FOLDER" in str(caught.value)


# ---- camera paths


@pytest.mark.parametrize(
    "text, line",
    [
        ("orbti", "orbti: no such camera path: did you mean 'orbit'? (or give a .json file, or"),
        (
            "orbit radius=2",
            "orbit is not followed by options: write them as in orbit:radius=2,elevation=30",
        ),
        (
            "orbit:2",
            "orbit is not followed by options: write them as in orbit:radius=2,elevation=30",
        ),
        ("orbit:radus=2", "orbit: radus: no such option: did you mean 'radius'?"),
        ("orbit:loop=true", "orbit: loop: no such option: known: depth, elevation, focus, radius"),
    ],
)
def test_a_wrong_path_is_explained_in_the_words_of_the_command_line(text, line):
    name, options = parse_path(text)
    with pytest.raises(PathError) as caught:
        make_path(name, training("orbit"), Similarity(), **options)
    assert line in str(caught.value)


@pytest.mark.parametrize(
    "text, line",
    [
        ("orbit:frames=10", "orbit: frames: no option of a path: give it as --frames=10"),
        ("spiral:width=80,fov=9", "spiral: width: no option of a path: give it as --width=80"),
        ("orbit:transform=1", "orbit: transform: no option of a path: leave it out"),
        (
            "a.json:radius=2",
            "a.json: radius: no option of a keyframe file: the only one is dataparser",
        ),
    ],
)
def test_options_that_are_flags_are_named_as_such(text, line):
    with pytest.raises(PathError) as caught:
        check_options(*parse_path(text))
    assert line in str(caught.value).splitlines()
    check_options("orbit", {"depth": 2, "radius": 3})
    check_options("a.json", {"dataparser": "b.json"})


CAMERA = ("K", "distortion", "size")


def test_the_depth_of_a_path_is_a_length_of_the_file():
    """The axes of parallel cameras do not meet.

    The orbit is around what lies so far before their middle.
    """
    views = np.tile(np.eye(3, 4), (9, 1, 1))
    views[:, :2, 3] = np.mgrid[-1:2, -1:2].reshape(2, 9).T
    train, scale = (
        training("orbit").__class__(views, *[getattr(training("orbit"), k)[:9] for k in CAMERA]),
        4.0,
    )
    file = Similarity(scale, np.eye(3), np.zeros(3))
    for options, expected in (({"depth": 0.5}, 2.0), ({}, 3.0)):
        cameras = make_path("orbit", train, file, frames=4, distance=3.0, **options)
        towards = [0.0, 0.0, -expected] - cameras.c2w[:, :, 3]
        towards /= np.linalg.norm(towards, axis=-1, keepdims=True)
        np.testing.assert_allclose(-cameras.c2w[:, :, 2], towards, atol=1e-5)


def test_a_scene_s_file_is_not_a_camera_path(tmp_path):
    root = write_nerfstudio(tmp_path)
    with pytest.raises(PathError, match="a scene's file, not a camera path: --path=follow"):
        read_keyframes(root / "transforms.json")


@pytest.mark.parametrize("content", [None, "{", "{}", "[]"])
def test_a_wrong_dataparser_file_is_one_line(tmp_path, content):
    file = tmp_path / "path.json"
    file.write_text(json.dumps(nerfstudio_path(ring(n=3))))
    dataparser = tmp_path / "other.json"
    if content is not None:
        dataparser.write_text(content)
    with pytest.raises(PathError) as caught:
        read_keyframes(file, dataparser)
    (line,) = str(caught.value).splitlines()
    assert line.startswith(f"{dataparser}: ") and "nerfstudio's output folder" in line


# ---- the flags of nerf render


def test_all_wrong_flags_are_named_at_once():
    with pytest.raises(ConfigError) as caught:
        check_flags(
            {
                "out": "x.avi",
                "width": 0,
                "fps": math.nan,
                "range": "5-3",
                "points": 9,
                "focal": 1.0,
                "fov": 9.0,
            }
        )
    starts = (
        "--points: ",
        "--fps=nan: ",
        "--width=0: ",
        "--out=x.avi: ",
        "--focal and --fov",
        "--range=5-3: ",
    )
    lines = str(caught.value).splitlines()
    assert len(lines) == len(starts) and all(
        line.startswith(start) for line, start in zip(lines, starts, strict=True)
    )


def test_a_split_that_does_not_exist_is_found_before_anything_is_loaded():
    with pytest.raises(ConfigError, match="--split=tset: no such split: give train, val or test"):
        check_flags({"out": "folder", "split": "tset"})


@pytest.mark.parametrize(
    "given, problem",
    [
        ({"run": "r"}, "--out: missing"),
        ({"export": True}, "--export: no output: give at least one of --out=FOLDER"),
        ({"export": True, "page": "a.png"}, "--page=a.png: no such format: .* .html or .htm"),
        ({"out": "a.mp4", "page": "a.html"}, "--page: has no effect here, only with --export"),
        ({"export": True, "mesh": "a.stl"}, "--mesh=a.stl: no such format: .* .glb, .ply or .obj"),
        ({"out": "a.mp4", "mesh": "a.glb"}, "--mesh: has no effect here, only with --export"),
        (
            {"export": True, "splats": "a.splat"},
            "--splats=a.splat: no such format: .* .ply or .glb",
        ),
        ({"out": "a.mp4", "splats": "a.ply"}, "--splats: has no effect here, only with --export"),
        ({"export": True, "out": "a", "splats_mb": 9.0}, "--splats_mb: .* only with --splats"),
        ({"export": True, "out": "a", "page_mb": 9.0}, "--page_mb: .* only with --page"),
        ({"export": True, "out": "a", "triangles": 9}, "--triangles: .* only with --mesh"),
        ({"export": True, "out": "a", "sheets": True}, "--sheets: .* only with --mesh"),
        ({"export": True, "mesh": "a.glb", "points": 9}, "--points: .* only with --out"),
        ({"out": "a", "split": "test", "crop": "c.json"}, "--crop: .* only without --split"),
    ],
)
def test_flags_of_meshes_are_checked(given, problem):
    with pytest.raises(ConfigError, match=problem):
        check_flags(given)


def test_a_mesh_needs_no_folder_and_a_video_may_be_cropped():
    check_flags({"export": True, "mesh": "a.glb", "resolution": 64, "crop": "c.json"})
    check_flags({"export": True, "splats": "a.ply", "splats_mb": 2.0, "crop": "c.json"})
    check_flags({"out": "a.mp4", "crop": "c.json"})


@pytest.mark.parametrize("name, value", [("fps", 24.0), ("profile", "trace"), ("processes", 2)])
def test_what_only_films_have_is_refused_for_a_picture(name, value):
    with pytest.raises(ConfigError, match=f"--{name}: has no effect on a picture"):
        check_flags({"out": "still.png", name: value})
    check_flags({"out": "film.mp4", name: value})


def test_a_folder_without_room_is_not_an_encoder_without_codec(tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    monkeypatch.setattr(
        video, "_encode", lambda *_, **__: (_ for _ in ()).throw(video.VideoError("ffmpeg ended"))
    )
    with pytest.raises(
        video.VideoError,
        match="No space left on device.: make room in its folder, or choose another",
    ):
        video.check_encoder(tmp_path / "film.mp4")
