"""What other tools' files mean: lens keys, file names, splits, nearly rigid poses, wrong paths."""

import json
import math
import shutil
import unicodedata
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image, ImageFile

from nerf import scenes
from nerf.cameras.lenses import EQUIRECTANGULAR, FISHEYE, PERSPECTIVE, distort
from nerf.scenes.base import NoViews
from nerf.scenes.fits import fit_rational
from nerf.scenes.formats import folders, transforms
from nerf.scenes.formats.lens_keys import read_lens
from nerf.scenes.images import orientation
from nerf.scenes.lookup import Finder
from nerf.scenes.tally import Tally
from tests.scenes.formats.test_colmap import write_scene
from tests.scenes.test_scenes import (
    FOCAL,
    edit,
    matrix,
    noise,
    refusal,
    refused_once,
    ring,
    save,
    write_blender,
    write_json,
    write_nerfstudio,
)
from tests.support.compiled import to_pixels

ALL = [f"images/{i:03d}.png" for i in range(17)]


def write_plain(root: Path, shared=None, own=None, size=(8, 6), count=3) -> Path:
    """A scene of which all but the first view are training views.

    The file says `shared`, its second frame `own`.
    """
    write_nerfstudio(root, poses=ring(count), size=size)
    data = json.loads((root / "transforms.json").read_text())
    data = {**(FOCAL if shared is None else shared), "frames": data["frames"]}
    data["frames"][1].update(own or {})
    write_json(root / "transforms.json", {**data, "test_filenames": ALL[:1]})
    return root


def first_camera(root: Path):
    return scenes.load(root, "train").cameras[:1]


def angle(focal: float, side: float) -> float:
    return 2 * math.atan(0.5 * side / focal)


# ---- the keys of a lens are replaced as a whole


SHARED = {
    "fl_x": 8.0,
    "fl_y": 8.5,
    "cx": 4.5,
    "cy": 3.5,
    "w": 8,
    "h": 6,
    "k1": 0.1,
    "camera_model": "OPENCV",
}
OWN = {
    "fl_x and fl_y": ({"fl_x": 5.0, "fl_y": 6.0}, [5, 6, 4.5, 3.5]),
    "angle over length": ({"camera_angle_x": angle(5.0, 8)}, [5, 5, 4.5, 3.5]),
    "both angles": (
        {"camera_angle_x": angle(5.0, 8), "camera_angle_y": angle(7.0, 6)},
        [5, 7, 4.5, 3.5],
    ),
    "the other angle": ({"camera_angle_y": angle(7.0, 6)}, [7, 7, 4.5, 3.5]),
    "degrees": ({"x_fov": math.degrees(angle(5.0, 8))}, [5, 5, 4.5, 3.5]),
    "in quotes": ({"fl_x": "5.0", "fl_y": " 6e0 "}, [5, 6, 4.5, 3.5]),
    "one half of the centre": ({"cx": 4.25}, [8, 8.5, 4.25, 3.0]),
    "the same size": ({"w": 8, "h": 6}, [8, 8.5, 4.5, 3.5]),
    "twice the size": ({"w": 16, "h": 12}, [4, 4.25, 4, 3]),
    "only a width": ({"w": 16}, [4, 4.25, 4, 3]),
    "size and centre": ({"w": 16, "h": 12, "cx": 10.0, "cy": 5.0}, [4, 4.25, 5, 2.5]),
}


@pytest.mark.parametrize("case", OWN)
def test_what_a_frame_says_of_one_thing_replaces_all_that_the_file_says_of_it(tmp_path, case):
    own, expected = OWN[case]
    camera = first_camera(write_plain(tmp_path, SHARED, own))
    np.testing.assert_allclose(camera.K[0][[0, 1, 0, 1], [0, 1, 2, 2]], expected, rtol=1e-6)
    assert camera.distortion[0, 0] == pytest.approx(0.1)


FOCALS = {
    "one angle": ({"camera_angle_x": angle(9.0, 8)}, [9, 9]),
    "two angles": ({"camera_angle_x": angle(9.0, 8), "camera_angle_y": angle(4.0, 6)}, [9, 4]),
    "the vertical angle": ({"camera_angle_y": angle(4.0, 6)}, [4, 4]),
    "a length and an angle": ({"fl_x": 9.0, "camera_angle_y": angle(4.0, 6)}, [9, 4]),
    "lengths before angles": (
        {"fl_x": 9.0, "fl_y": 7.0, "camera_angle_x": 1.0, "camera_angle_y": 1.0},
        [9, 7],
    ),
    "the vertical length": ({"fl_y": 7.0}, [7, 7]),
    "degrees of both": (
        {"x_fov": math.degrees(angle(9.0, 8)), "y_fov": math.degrees(angle(4.0, 6))},
        [9, 4],
    ),
}


@pytest.mark.parametrize("case", FOCALS)
def test_every_key_of_a_focal_length_is_read(tmp_path, case):
    shared, expected = FOCALS[case]
    np.testing.assert_allclose(
        first_camera(write_plain(tmp_path, shared)).K[0][[0, 1], [0, 1]], expected, rtol=1e-6
    )


@pytest.mark.parametrize("alone, other", [("fl_x", "fl_y"), ("fl_y", "fl_x")])
def test_a_frame_with_one_of_two_focal_lengths_is_refused(tmp_path, alone, other):
    refused_once(
        write_plain(tmp_path, SHARED, {alone: 5.0}),
        f"frames[1].{alone}",
        f"give {other} in the frame too",
    )


MODELS = {
    "a pinhole is straight": ({"camera_model": "PINHOLE"}, PERSPECTIVE, [0] * 8),
    "a fisheye has its own": (
        {"camera_model": "OPENCV_FISHEYE", "k2": 0.02},
        FISHEYE,
        [0, 0.02, 0, 0, 0, 0, 0, 0],
    ),
    "is_fisheye is a model": (
        {"is_fisheye": True, "k1": 0.03},
        FISHEYE,
        [0.03, 0, 0, 0, 0, 0, 0, 0],
    ),
    "distortion alone": ({"k2": 0.02}, PERSPECTIVE, [0, 0.02, 0, 0, 0, 0, 0, 0]),
    "false in quotes": ({"is_fisheye": "false"}, PERSPECTIVE, [0] * 8),
}


@pytest.mark.long
@pytest.mark.parametrize("case", MODELS)
def test_a_frame_s_own_model_or_distortion_has_nothing_of_the_file_s(tmp_path, case):
    own, model, distortion = MODELS[case]
    camera = first_camera(write_plain(tmp_path, SHARED, own))
    assert camera.model[0] == model
    np.testing.assert_allclose(camera.distortion[0], distortion, rtol=1e-6)


def test_distortion_alone_keeps_the_file_s_fisheye(tmp_path):
    shared = {**SHARED, "camera_model": "OPENCV_FISHEYE"}
    assert first_camera(write_plain(tmp_path, shared, {"k1": 0.02})).model[0] == FISHEYE


def test_the_distortion_of_a_pinhole_is_used_and_noted(tmp_path):
    scene = scenes.load(write_plain(tmp_path, {**SHARED, "camera_model": "PINHOLE"}), "train")
    assert scene.cameras.distortion[0, 0] == pytest.approx(0.1)
    assert sum("distortion is not 0 and is used" in note for note in scene.notes) == 1


@pytest.mark.parametrize("key", ["latlong", "equirectangular", "ftheta_p0"])
def test_a_lens_of_instant_ngp_that_is_none_here_is_refused(tmp_path, key):
    assert all(
        key in line and "not supported" in line
        for line in refusal(write_plain(tmp_path, {**SHARED, key: 1}))
    )


# ---- k4


def radius(scene, r: float) -> float:
    """Where the first camera sees the tangent `r` beside its axis, in focal lengths."""
    camera = scene.cameras[:1]
    c2w = np.float64(camera.c2w[0])
    point = c2w[:, :3] @ [r, 0.0, -1.0] + c2w[:, 3]
    pixel, _ = to_pixels(camera, jnp.asarray(point[None], jnp.float32))
    return float((pixel[0, 0] - camera.K[0, 0, 2]) / camera.K[0, 0, 0])


BROWN = {"fl_x": 40.0, "w": 48, "h": 36, "k1": -0.08, "k2": 0.02, "k3": 0.01, "k4": 0.15}


@pytest.mark.parametrize("name", ["OPENCV", None, "RADIAL"])
def test_k4_is_nerfstudio_s_eighth_power(tmp_path, name):
    scene = scenes.load(
        write_plain(tmp_path, {**BROWN, "camera_model": name}, size=(48, 36)), "train"
    )
    for r in (0.2, 0.5, 0.65):
        expected = r * (1 - 0.08 * r**2 + 0.02 * r**4 + 0.01 * r**6 + 0.15 * r**8)
        assert radius(scene, r) == pytest.approx(expected, abs=2e-5)
    assert sum("factor of r^8" in note for note in scene.notes) == 1


@pytest.mark.parametrize("more", [{"camera_model": "FULL_OPENCV"}, {"k5": 1e-4}])
def test_k4_is_opencv_s_denominator_where_the_model_says_so(tmp_path, more):
    scene = scenes.load(write_plain(tmp_path, {**BROWN, **more}, size=(48, 36)), "train")
    r, k5 = 0.5, more.get("k5", 0.0)
    expected = r * (1 - 0.08 * r**2 + 0.02 * r**4 + 0.01 * r**6) / (1 + 0.15 * r**2 + k5 * r**4)
    assert radius(scene, r) == pytest.approx(expected, abs=1e-5)


def test_an_eighth_power_that_folds_before_the_sides_is_refused(tmp_path):
    lines = refusal(write_plain(tmp_path, {**BROWN, "k4": -40.0}, size=(48, 36)))
    assert all("folds the picture over itself inside its borders" in line for line in lines)


@pytest.mark.parametrize("k4", [1.0, 5.0])
def test_a_strong_eighth_power_is_read_in_large_photos(k4):
    """The corner of 4000x3000 pixels is at 0.9 focal lengths.

    No pixel is off by more than 0.4 of one.
    """
    focal, report, tally = 2777.0, (lambda *what: pytest.fail(str(what))), Tally()
    own = {
        "fl_x": focal,
        "camera_model": "OPENCV",
        "k1": -0.1,
        "k2": 0.02,
        "k4": k4,
        "w": 4000,
        "h": 3000,
    }
    _, _, distortion, _ = read_lens(own, {}, (4000, 3000), report, tally)
    r = np.linspace(0.0, 2.0, 20_001)
    meant = r * (1 - 0.1 * r**2 + 0.02 * r**4 + k4 * r**8)
    r = np.stack([r, 0.0 * r], -1)[meant < 0.9]
    seen, _ = jax.jit(distort)(
        jnp.asarray(r, jnp.float32), jnp.tile(jnp.asarray(distortion, jnp.float32), (len(r), 1))
    )
    np.testing.assert_allclose(seen[:, 0] * focal, meant[meant < 0.9] * focal, atol=0.4)


@pytest.mark.long
@pytest.mark.parametrize("lens", [{"k4": -1.0}, {"k1": -0.6, "k2": 0.0, "camera_model": "OPENCV"}])
def test_corners_that_a_distortion_does_not_reach_are_masked(tmp_path, lens):
    """r - r^9 has its largest value at r = 9^(-1/8), and r - 0.6 r^3 at r = 1.8^(-1/2)."""
    straight = {
        "k1": 0.0,
        "k2": 0.0,
        "p1": 0.0,
        "p2": 0.0,
        "w": 120,
        "h": 90,
        "fl_x": 100.0,
        "fl_y": 100.0,
    }
    root = write_plain(tmp_path, {**straight, "cx": 60.0, "cy": 45.0, **lens}, size=(120, 90))
    reach = 8 / 9 * 9 ** (-1 / 8) if "k4" in lens else 2 / 3 * 1.8 ** (-1 / 2)
    scene = scenes.load(root, "train")
    y, x = np.mgrid[:90, :120] + 0.5
    distance = np.hypot(x - 60.0, y - 45.0) / 100.0
    assert scene.maps["mask"][0][distance < reach - 0.02].all()
    assert (
        not scene.maps["mask"][0][distance > reach + 0.02].any() and (distance > reach + 0.02).any()
    )
    hidden = 100.0 * (1.0 - scene.maps["mask"][0].mean())
    assert any(
        f"up to {hidden:.2g} % of the pixels of {len(scene)} of {len(scene)} views" in n
        for n in scene.notes
    )


@pytest.mark.parametrize(
    "k", [(-0.3, 0.1, 0.0, -0.02), (-0.1, 0.05, 0.01, 0.1), (-0.08, 0.02, 0.01, 0.15)]
)
def test_a_fit_is_within_its_bound_of_the_curve(k):
    r = np.linspace(0.0, 0.9, 300)[1:]
    curve = np.polyval([*k[::-1], 1.0], r**2)
    k1, k2, k3, k4, k5, k6 = fit_rational(r**2, curve, 2000.0 * r)
    s = r**2
    fitted = (1 + k1 * s + k2 * s**2 + k3 * s**3) / (1 + k4 * s + k5 * s**2 + k6 * s**3)
    assert np.abs((fitted - curve) * r * 2000.0).max() < 0.05


def test_a_curve_that_no_lens_fits_is_not_replaced_by_another():
    s = np.linspace(0.0, 0.81, 300)[1:]
    assert fit_rational(s, 1.0 - 0.1 * s + s**4, 2000.0 * np.sqrt(s)) is None


# ---- numbers in quotes, keys that are not read


def test_numbers_in_quotes_are_numbers_everywhere(tmp_path):
    root = write_nerfstudio(tmp_path / "a")
    quoted = write_nerfstudio(tmp_path / "b")

    def quote(x):
        if isinstance(x, dict):
            return {key: quote(value) for key, value in x.items()}
        return (
            [quote(value) for value in x]
            if isinstance(x, list)
            else x
            if isinstance(x, str)
            else str(x)
        )

    write_json(
        quoted / "transforms.json", quote(json.loads((root / "transforms.json").read_text()))
    )
    assert scenes.load(root, "train").digest() == scenes.load(quoted, "train").digest()


@pytest.mark.parametrize("text", ["0,08", "1_0", "nan", "", "8 px", "0x8"])
def test_what_is_no_number_in_quotes_is_refused(tmp_path, text):
    assert any("fl_x" in line for line in refusal(write_plain(tmp_path, {**SHARED, "fl_x": text})))


def test_one_note_for_a_key_that_is_not_read_and_none_for_harmless_ones(tmp_path):
    harmless = {
        "aabb_scale": 16,
        "offset": [0, 0, 0],
        "scale": 0.3,
        "applied_transform": [],
        "orientation_override": "up",
    }
    root = write_nerfstudio(tmp_path, **harmless)
    edit(
        root,
        lambda data: [
            f.update(sharpness=1.0, colmap_im_id=i) for i, f in enumerate(data["frames"])
        ],
    )
    assert scenes.load(root, "train").notes == []
    edit(root, lambda data: [f.update(time=0.5, flavour=i) for i, f in enumerate(data["frames"])])
    notes = scenes.load(root, "train").notes
    assert len(notes) == 2 and "key 'flavour' is not read" in notes[1]
    assert (
        notes[0] == "transforms.json: key 'time' is not read:"
        " moving objects are learned as if they stood still"
    )
    edit(root, lambda data: data.update({f"x{i}": 0 for i in range(50)}))
    assert len(scenes.load(root, "train").notes) == 11


# ---- depth of instant-ngp, frames that are bad


def depth_scene(root: Path, **shared) -> Path:
    root = write_plain(root, {**SHARED, **shared}, {"depth_path": "images/001.depth.png"})
    Image.fromarray(np.full((6, 8), 4000, np.uint16)).save(root / "images/001.depth.png")
    return root


def test_instant_ngp_s_depth_is_read_in_its_unit(tmp_path):
    scene = scenes.load(depth_scene(tmp_path, integer_depth_scale=0.002, k1=0.0), "train")
    y, x = np.mgrid[:6, :8] + 0.5
    along = np.sqrt(1 + ((x - 4.5) / 8.0) ** 2 + ((y - 3.5) / 8.5) ** 2)
    np.testing.assert_allclose(
        scene.maps["depth"][0] / scene.transform.scale, 8.0 * along, rtol=1e-4
    )
    assert scene.notes == []


def test_depth_without_a_unit_is_left_out_with_a_note(tmp_path):
    scene = scenes.load(depth_scene(tmp_path), "train")
    assert "depth" not in scene.maps and "depth_path without integer_depth_scale" in scene.notes[0]


def test_bad_frames_are_left_out_and_test_frames_are_the_test_views(tmp_path):
    root = write_nerfstudio(tmp_path)

    def change(data):
        data["frames"][4]["is_bad"] = True
        data["test_frames"] = [data["frames"].pop(i) for i in (16, 15)]

    edit(root, change)
    train, test = scenes.load(root, "train"), scenes.load(root, "test")
    assert test.names == ALL[15:] and train.names == [*ALL[:4], *ALL[5:15]]
    assert train.notes == ["transforms.json: is_bad, skipped: images/004.png"]


@pytest.mark.parametrize("entries", [["images/001.png"], [{"file_path": "images/001.png"}]])
def test_test_frames_may_name_frames(tmp_path, entries):
    root = write_nerfstudio(tmp_path, test_frames=entries)
    assert scenes.load(root, "test").names == ALL[1:2] and len(scenes.load(root, "train")) == 16


@pytest.mark.parametrize("key", ["mask", "mask_path", "mask_file_path"])
def test_masks_have_the_names_of_several_tools_and_may_be_of_another_size(tmp_path, key):
    root = write_plain(tmp_path, SHARED, {key: "m.png"})
    save(root / "m.png", np.where(np.arange(16) < 8, 0, 255).astype(np.uint8)[None].repeat(12, 0))
    np.testing.assert_array_equal(
        scenes.load(root, "train").maps["mask"][0], np.arange(8)[None].repeat(6, 0) >= 4
    )


def mask_of_halved(root: Path, pixels: np.ndarray) -> np.ndarray:
    """Return the mask that a mask file gives an image of 8x6 pixels, reduced to 4x3."""
    save(root / "m.png", pixels)
    write_nerfstudio(root)
    edit(root, lambda data: [frame.update(mask_path="m.png") for frame in data["frames"]])
    return scenes.load(root, "train", max_side=4).maps["mask"][0]


@pytest.mark.parametrize("size", [(4, 3), (8, 6), (24, 18), (12, 9)])
def test_a_pixel_counts_where_all_of_its_mask_does(tmp_path, size):
    """Of masks of any size, of images that are reduced by two."""
    dark = np.zeros(size[::-1], np.uint8)
    dark[:, size[0] // 2 :] = 255
    dark[0, -1] = 0
    mask = mask_of_halved(tmp_path, dark)
    expected = np.array([[False, False, True, True]] * 3)
    expected[0, 3] = False
    np.testing.assert_array_equal(mask, expected)


def test_a_mask_s_pixel_on_the_border_of_two_hides_both(tmp_path):
    """Of ten columns for four pixels the third lies in the first pixel and in the second."""
    line = np.where(np.arange(10) == 2, 0, 255).astype(np.uint8)
    mask = mask_of_halved(tmp_path, line[None].repeat(8, 0))
    np.testing.assert_array_equal(mask, [[False, False, True, True]] * 3)


# ---- names of files


def renamed(root: Path, name, file=None) -> Path:
    """The scene with other names in its file, or with other files."""
    write_nerfstudio(root)
    if file is not None:
        for path in sorted((root / "images").iterdir()):
            path.rename(path.with_name(file(path.name)))
    edit(root, lambda data: [f.update(file_path=name(f["file_path"])) for f in data["frames"]])
    return root


NAMES = {
    "backslashes": (lambda n: n.replace("/", "\\"), None, 0),
    "windows": (lambda n: "C:\\Users\\me\\scene\\" + n.replace("/", "\\"), None, 1),
    "another machine": (lambda n: f"/home/other/data/scene/{n}", None, 1),
    "another folder": (lambda n: f"dslr/{n}", None, 1),
    "upwards": (lambda n: f"../{n}", None, 1),
    "bare": (lambda n: n.rpartition("/")[2], None, 1),
    "case": (lambda n: n.upper(), None, 1),
    "case of the extension": (lambda n: n, lambda n: n.replace(".png", ".PNG"), 1),
    "no extension": (lambda n: n[:-4], None, 0),
    "no extension, in capitals": (lambda n: n[:-4], lambda n: n.replace(".png", ".JPG"), 0),
    "no extension, jpeg": (lambda n: n[:-4], lambda n: n.replace(".png", ".jpeg"), 0),
    "no extension, webp": (lambda n: n[:-4], lambda n: n.replace(".png", ".webp"), 0),
    "another extension": (lambda n: n.replace(".png", ".jpg"), None, 1),
    "decomposed": (lambda n: n.replace("/", "/\u00e9"), lambda n: "e\u0301" + n, 1),
    "composed": (lambda n: n.replace("/", "/e\u0301"), lambda n: "\u00e9" + n, 1),
    "backslashes without extension": (lambda n: n[:-4].replace("/", "\\"), None, 0),
}


@pytest.mark.parametrize("case", NAMES)
def test_images_are_found_under_the_names_of_other_systems_and_tools(tmp_path, case):
    name, file, notes = NAMES[case]
    root = renamed(tmp_path / "scene", name, file)
    scene = scenes.load(root, "train")
    assert len(scene) == 14 and len(scene.notes) == notes, scene.notes
    assert all("not found as written" in note and "13 more" not in note for note in scene.notes)
    np.testing.assert_array_equal(scene.images[0], noise(8, 6, 3, seed=1))


def test_a_name_that_fits_two_files_is_refused(tmp_path):
    root = renamed(tmp_path, lambda n: n[:-4])
    shutil.copy(root / "images/001.png", root / "images/001.JPG")
    refused_once(root, "frames[1].file_path", "matches 2 files (images/001.png, images/001.JPG)")


def test_the_exact_name_goes_before_all_others(tmp_path):
    root = write_nerfstudio(tmp_path)
    for other in ("images/001.PNG", "images/001.jpg", "001.png"):
        save(root / other.lower().replace(".png", ".bmp"), noise(8, 6, 3, seed=99))
        (root / other.lower().replace(".png", ".bmp")).rename(root / other)
    scene = scenes.load(root, "train")
    np.testing.assert_array_equal(scene.images[0], noise(8, 6, 3, seed=1))


def test_images_of_another_machine_that_are_missing_are_left_out_as_others_are(tmp_path):
    root = renamed(tmp_path, lambda n: f"/home/other/{n}")
    (root / "images/003.png").unlink()
    notes = scenes.load(root, "train").notes
    assert (
        len(notes) == 2
        and "1 of 17 listed images do not exist, skipped: /home/other/images/003.png" in notes[1]
    )


def test_a_mask_is_not_taken_for_a_missing_photo(tmp_path):
    root = write_nerfstudio(tmp_path)
    (root / "images/002.png").rename(root / "images/002.jpg")
    edit(root, lambda data: data["frames"][2].update(mask_path="images/002.jpg"))
    scene = scenes.load(root, "train")
    assert "images/002.png" not in scene.names and "1 of 17 listed images do not exist" in "".join(
        scene.notes
    )


def test_masks_depth_and_points_are_found_as_images_are(tmp_path):
    root = write_plain(tmp_path, {**SHARED, "ply_file_path": "D:\\x\\points.PLY"})
    save(root / "masks/m.png", np.where(np.arange(48).reshape(6, 8) % 5, 255, 0).astype(np.uint8))
    np.save(root / "depth.npy", np.full((6, 8), 2000.0))
    header = (
        "ply\nformat ascii 1.0\nelement vertex 1\n"
        "property float x\nproperty float y\nproperty float z\nend_header\n"
    )
    (root / "points.ply").write_text(header + "1 2 3\n")
    own = {"mask_path": "/data/masks/M.PNG", "depth_file_path": "E:\\scan\\depth"}
    edit(root, lambda data: data["frames"][1].update(own))
    scene = scenes.load(root, "train")
    assert not scene.maps["mask"][0][0, 0] and scene.maps["mask"][0][0, 1]
    assert (scene.maps["depth"][0] > 0).all() and len(scene.points) == 1


def test_nothing_outside_of_the_folder_is_found(tmp_path):
    save(tmp_path / "images/secret.png", noise(8, 6, 3))
    root = write_nerfstudio(tmp_path / "scene")
    (root / "link").symlink_to(tmp_path / "images")
    (root / "images/Linked.png").symlink_to(tmp_path / "images/secret.png")
    finder, told = Finder(root, Tally()), []
    for name in (
        "../images/secret.png",
        "..\\images\\SECRET.png",
        f"{tmp_path}/images/secret.png",
        "link/Secret.png",
    ):
        _, path = finder.locate(name, lambda *what: told.append(what))
        assert path is None or not path.exists(), name
    assert finder.locate("images/LINKED.PNG", lambda *what: told.append(what))[1] is None
    assert "lies outside the scene folder" in told[-1][1]
    assert [what[1].partition("' ")[2] for what in told[:1]] == ["lies outside the scene folder"]


def test_folders_are_listed_once(tmp_path, monkeypatch):
    import os

    root, listed, real = renamed(tmp_path, lambda n: n.upper()), [], os.listdir
    monkeypatch.setattr(
        "nerf.scenes.lookup.os.listdir", lambda path: listed.append(path) or real(path)
    )
    scenes.load(root, "train")
    assert len(listed) < 8, "once for the scene, not once for each of its 17 images"


@pytest.mark.parametrize(
    "name",
    [
        lambda n: n[:-4],
        lambda n: f"./{n}",
        lambda n: n.rpartition("/")[2],
        lambda n: n.upper(),
        lambda n: f"/x/{n}",
    ],
)
def test_split_lists_name_frames_as_loosely_as_frames_name_files(tmp_path, name):
    root = write_nerfstudio(
        tmp_path, train_filenames=[*map(name, ALL[:9])], test_filenames=[*map(name, ALL[9:])]
    )
    assert (
        scenes.load(root, "train").names == ALL[:9] and scenes.load(root, "test").names == ALL[9:]
    )


def test_a_list_whose_name_fits_two_frames_is_refused(tmp_path):
    root = write_nerfstudio(tmp_path, train_filenames=["000.png"])
    save(root / "more/000.png", noise(8, 6, 3, seed=50))
    edit(
        root, lambda data: data["frames"].append({**data["frames"][0], "file_path": "more/000.png"})
    )
    refused_once(root, "train_filenames", "matches 2 frames")


# ---- poses that are nearly rigid


def with_poses(root: Path, change) -> Path:
    root = write_nerfstudio(root)
    edit(
        root,
        lambda data: [
            f.update(transform_matrix=change(np.array(f["transform_matrix"])))
            for f in data["frames"]
        ],
    )
    return root


def test_rounded_matrices_become_the_nearest_rotation_with_one_note(tmp_path):
    root = with_poses(tmp_path, lambda m: np.round(m, 3).tolist())
    edit(
        root,
        lambda data: data["frames"][3].update(
            transform_matrix=np.round(matrix(ring(17)[3]), 2).tolist()
        ),
    )
    scene = scenes.load(root, "train")
    (note,) = scene.notes
    assert "rotation is rounded" in note
    back = scene.transform.poses_back(np.float64(scene.cameras.c2w))
    np.testing.assert_allclose(
        back, np.stack([p for i, p in enumerate(ring(17)) if i % 8]), atol=6e-3
    )
    rotation = np.float64(scene.cameras.c2w[2, :, :3])
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-6)


@pytest.mark.parametrize("scale", [2.0, 0.013, 250.0])
def test_a_uniform_scale_is_left_out_with_a_note_and_positions_stay(tmp_path, scale):
    change = np.diag([scale, scale, scale, 1.0])
    scene = scenes.load(with_poses(tmp_path, lambda m: (m @ change).tolist()), "train")
    assert len(scene.notes) == 1 and f"scale of {scale:.4g}" in scene.notes[0]
    back = scene.transform.poses_back(np.float64(scene.cameras.c2w))
    np.testing.assert_allclose(
        back, np.stack([p for i, p in enumerate(ring(17)) if i % 8]), atol=1e-5
    )


FAR = {
    "one axis": (np.diag([1.0, 1.0, 1.2, 1.0]), "columns have lengths 1, 1, 1.2"),
    "sheared": (np.eye(4) + 0.1 * np.eye(4, k=1) * [[1], [0], [0], [0]], "not orthonormal"),
    "mirrored and scaled": (np.diag([-2.0, 2.0, 2.0, 1.0]), "mirrors"),
    "flat": (np.diag([1.0, 1.0, 0.0, 1.0]), "not orthonormal"),
}


@pytest.mark.parametrize("case", FAR)
def test_what_is_far_from_a_rotation_is_refused(tmp_path, case):
    change, reason = FAR[case]
    assert all(
        reason in line for line in refusal(with_poses(tmp_path, lambda m: (m @ change).tolist()))
    )


# ---- test views that are not there, or that are trained on


@pytest.mark.long
def test_without_a_test_file_every_eighth_training_view_is_held_out(tmp_path):
    root = write_blender(tmp_path, poses=ring(17), splits=("train",))
    names = {split: scenes.load(root, split).names for split in ("train", "val", "test")}
    assert names["test"] == [f"train/r_{i}" for i in (0, 8, 16)] and len(names["train"]) == 14
    assert set(names["val"]) < set(names["train"])
    assert "every 8th view" in scenes.load(root, "train").notes[0]
    assert len(scenes.load(root, "train", validation=True)) == 12


@pytest.mark.long
def test_a_validation_file_stands_for_a_test_file_that_is_not_there(tmp_path):
    root = write_blender(tmp_path, splits=("train", "val"))
    assert (
        scenes.load(root, "test").names == [f"val/r_{i}" for i in range(9)]
        and len(scenes.load(root, "train")) == 9
    )


@pytest.mark.long
def test_test_views_that_were_never_rendered_do_not_keep_a_scene_from_training(tmp_path):
    root = write_blender(tmp_path)
    shutil.rmtree(root / "test")
    scene = scenes.load(root, "train")
    assert len(scene) == 9 and "none of its 9 images exists" in scene.notes[0]
    assert len(scenes.load(root, "val")) == 2
    with pytest.raises(
        NoViews, match=r"transforms_test.json: none of its 9 images exists.*--config.eval_split=val"
    ):
        scenes.load(root, "test")
    save(root / "test/r_1.png", noise(6, 6, 4))
    assert len(refusal(root, split="test")) == 8, "some are there: the others are missing"


@pytest.mark.long
def test_all_images_may_be_training_views(tmp_path):
    root = write_nerfstudio(tmp_path, train_filenames=ALL)
    assert scenes.load(root, "train").names == ALL and len(scenes.load(root, "val")) == 3
    with pytest.raises(
        NoViews, match=r"transforms.json: no view in split 'test': --config.eval_split=val"
    ):
        scenes.load(root, "test")


def test_an_empty_test_list_holds_nothing_out(tmp_path):
    root = write_nerfstudio(tmp_path, test_filenames=[])
    assert scenes.load(root, "train").names == ALL


@pytest.mark.long
@pytest.mark.parametrize("split", ["train", "test"])
def test_test_views_that_are_training_views_are_counted(tmp_path, split):
    root = write_nerfstudio(tmp_path / "n", train_filenames=ALL[:16], test_filenames=ALL[14:])
    assert any(
        "2 of 3 test views are training views" in note for note in scenes.load(root, split).notes
    )
    root = write_blender(tmp_path / "same")
    shutil.copy(root / "transforms_train.json", root / "transforms_test.json")
    assert any(
        "9 of 9 test views are training views" in note for note in scenes.load(root, split).notes
    )
    root = write_blender(tmp_path / "copied")
    shutil.copy(root / "train/r_2.png", root / "test/r_2.png")
    assert any(
        "1 of 9 test views are training views" in note for note in scenes.load(root, split).notes
    )
    root = write_blender(tmp_path / "moved")
    edit(
        root, lambda data: data["frames"][3].update(file_path="./train/r_5"), "transforms_test.json"
    )
    assert any(
        "1 of 9 test views are training views" in note for note in scenes.load(root, split).notes
    )
    root = write_blender(tmp_path / "honest")
    assert not scenes.load(root, split).notes


def test_validation_views_in_the_place_of_test_views_are_noted(tmp_path):
    root = write_nerfstudio(tmp_path, train_filenames=ALL[:9], val_filenames=ALL[9:])
    scene = scenes.load(root, "test")
    assert scene.names == ALL[9:] and "those of the split 'val' are scored" in scene.notes[0]


def test_frames_of_no_split_are_counted(tmp_path):
    root = write_nerfstudio(tmp_path, train_filenames=ALL[:9], test_filenames=ALL[9:12])
    assert "5 frames are in no split" in scenes.load(root, "train").notes[0]


# ---- what lies beside the images


def test_photos_and_masks_that_no_frame_names_are_noted(tmp_path):
    root = write_nerfstudio(tmp_path)
    save(root / "images/more.png", noise(8, 6, 3))
    save(root / "masks/001.png", noise(8, 6, 1)[..., 0])
    notes = scenes.load(root, "train").notes
    assert "1 of 18 photos in images have no pose, skipped: more.png" in notes[0]
    assert "masks in masks are not read" in notes[1] and len(notes) == 2


@pytest.mark.parametrize("with_mask", [False, True])
def test_what_moves_by_instant_ngp_s_masks_is_masked(tmp_path, with_mask):
    root = write_nerfstudio(tmp_path)
    moving = np.zeros((6, 8), np.uint8)
    moving[1, 2], moving[4, 5] = 255, 3  # instant-ngp leaves out whatever is not black
    save(root / "images/dynamic_mask_001.png", moving)
    expected = moving == 0
    if with_mask:
        known = np.full((6, 8), 255, np.uint8)
        known[0, 0] = 0
        save(root / "masks/001.png", known)
        edit(root, lambda data: data["frames"][1].update(mask_path="masks/001.png"))
        expected &= known > 0
    scene = scenes.load(root, "train")
    assert len(scene) == 14 and scene.names[0] == ALL[1], "no mask is taken for a photo"
    np.testing.assert_array_equal(scene.maps["mask"][0], expected)
    assert all(mask.all() for mask in scene.maps["mask"][1:])
    (note,) = scene.notes
    assert (
        note.startswith("transforms.json: dynamic_mask_* files are read")
        and "images/dynamic_mask_001.png" in note
    )


def test_masks_of_what_moves_must_have_the_shape_of_their_image(tmp_path):
    root = write_nerfstudio(tmp_path)
    save(root / "images/dynamic_mask_001.png", np.zeros((8, 6), np.uint8))
    assert refusal(root)[0].startswith("images/dynamic_mask_001.png: 6x8, the image is 8x6")


# ---- EXIF orientation


@pytest.mark.parametrize("number", [6, 8, 5])
def test_swapped_sizes_are_explained_by_the_exif_orientation(tmp_path, number):
    root = write_nerfstudio(tmp_path, w=6, h=8)
    for i in range(17):
        exif = Image.Exif()
        exif[0x0112] = number
        Image.fromarray(noise(8, 6, 3)).save(root / ALL[i], exif=exif)
    assert orientation(root / ALL[0]) == number
    for line in refusal(root):
        assert (
            f"EXIF orientation {number}" in line
            and "mogrify -auto-orient" in line
            and "exiftran" in line
        )


def test_swapped_sizes_without_an_orientation_do_not_speak_of_one(tmp_path):
    lines = refusal(write_nerfstudio(tmp_path, w=6, h=8))
    assert all("rotated by 90 degrees" in line and "EXIF" not in line for line in lines)
    assert orientation(tmp_path / "images/000.png") == 1 == orientation(tmp_path / "nowhere.png")


@pytest.mark.parametrize("split", ["train", "test"])
def test_the_orientation_of_each_image_is_read_once(tmp_path, monkeypatch, split):
    for root in (write_nerfstudio(tmp_path / "a"), write_scene(tmp_path / "b")):
        read: list[Path] = []
        for module in (transforms, folders):
            monkeypatch.setattr(
                module, "orientation", lambda path, read=read: read.append(path) or 1
            )
        scenes.load(root, split)
        assert len(read) == len(set(read)) > 8


@pytest.mark.parametrize("kind", ["png", "jpg"])
@pytest.mark.parametrize("behind", [False, True])
def test_an_orientation_is_found_without_decoding_pixels(tmp_path, monkeypatch, kind, behind):
    path = tmp_path / f"a.{kind}"
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(noise(8, 6, 3)).save(path, exif=exif)
    if kind == "png" and behind:  # some programs write the chunk after the pixels
        data = path.read_bytes()
        start = data.index(b"eXIf") - 4
        chunk = data[start : start + 12 + int.from_bytes(data[start : start + 4], "big")]
        end = data.index(b"IEND") - 4
        path.write_bytes(data[:start] + data[start + len(chunk) : end] + chunk + data[end:])
    assert orientation(path) == 6
    Image.fromarray(noise(8, 6, 3)).save(path)
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda *_: pytest.fail("decoded"))
    assert orientation(path) == 1


# ---- paths that are no scene


def touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"")
    return path


HINTS = {
    "photos": (
        lambda root: [touch(root / f"IMG_{i}.JPG") for i in range(3)] and root,
        "3 photos",
        "nerf capture ",
    ),
    "photos in folders": (
        lambda root: touch(root / "day1/a.jpg") and root,
        "1 photos",
        "nerf capture ",
    ),
    "a picture": (lambda root: touch(root / "a.png"), "one picture", "--task=image"),
    "a video": (lambda root: touch(root / "a.MP4"), "a video", "nerf capture "),
    "a folder with a video": (
        lambda root: touch(root / "a.mov") and root,
        "a video",
        "nerf capture ",
    ),
    "an archive": (lambda root: touch(root / "a.zip"), "an archive", "unpack"),
    "splats": (lambda root: touch(root / "a.splat"), "finished model", "photos"),
    "points": (lambda root: touch(root / "a.ply"), "points", "photos"),
    "the file": (
        lambda root: write_nerfstudio(root) / "transforms.json",
        "a file",
        "--scene={root}",
    ),
    "above": (
        lambda root: write_nerfstudio(root / "a/fox").parent,
        "in a folder below",
        "--scene={root}/a/fox",
    ),
    "two above": (
        lambda root: write_nerfstudio(root / "a/fox").parent.parent,
        "below",
        "--scene={root}/a/fox",
    ),
    "a model's folders": (
        lambda root: (
            touch(
                touch(write_nerfstudio(root) / "sparse/0/images.txt").with_name("cameras.txt")
            ).parent.parent
        ),
        "within a scene",
        "--scene={root}",
    ),
    "below": (lambda root: write_nerfstudio(root) / "images", "within a scene", "--scene={root}"),
    "a run": (
        lambda root: touch(root / "config.json") and touch(root / "scene.json").parent,
        "a run's folder",
        "photos",
    ),
    "test only": (
        lambda root: touch(root / "transforms_test.json").parent,
        "transforms_test.json",
        "transforms_train",
    ),
    "half a model": (lambda root: touch(root / "database.db").parent, "COLMAP", "sparse/0"),
    "empty": (lambda root: root, "it is empty", "--scene"),
    "anything": (lambda root: touch(root / "a.txt").parent, "no scene in it", "nerfstudio"),
}


@pytest.mark.parametrize("case", HINTS)
def test_a_path_that_is_no_scene_is_explained(tmp_path, case):
    make, reason, fix = HINTS[case]
    refused_once(make(tmp_path), reason, fix.format(root=tmp_path))


def test_names_are_compared_in_one_unicode_form():
    assert unicodedata.normalize("NFC", "e\u0301") == "\u00e9"


@pytest.mark.long
def test_a_panorama_needs_no_focal_length_of_the_file(tmp_path):
    root = write_plain(tmp_path, SHARED, {"camera_model": "EQUIRECTANGULAR"})
    save(root / "images/001.png", noise(12, 6, 3))
    edit(root, lambda data: data["frames"][1].update(w=12, h=6))
    assert first_camera(root).model[0] == EQUIRECTANGULAR
