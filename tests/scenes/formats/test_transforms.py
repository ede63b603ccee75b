"""A transforms file's lenses, masks, depth and points, and images of more than 8 bits."""

import dataclasses
import json
import math
from pathlib import Path
from random import Random

import jax
import numpy as np
import OpenImageIO as oiio
import pytest
from PIL import Image

from nerf import scenes
from nerf.cameras.cameras import Cameras
from nerf.cameras.lenses import EQUIRECTANGULAR, FISHEYE, ORTHOGRAPHIC, PERSPECTIVE
from nerf.scenes import Problem, SceneError, synthetic, to_unit
from nerf.scenes.decode import decode, decode_numbers
from nerf.scenes.images import check_image, read_image, undecodable
from nerf.scenes.ply import read_points
from tests.scenes.test_scenes import (
    edit,
    matrix,
    noise,
    png16,
    refused_once,
    ring,
    save,
    write_blender,
    write_nerfstudio,
)
from tests.support.compiled import repeated, to_rays
from tests.support.mutations import many_seeds, mutate_bytes


def write_deep(path: Path, pixels: np.ndarray, names: tuple[str, ...] | None = None) -> Path:
    """PNG of 16 bits, or OpenEXR of 32."""
    path.parent.mkdir(parents=True, exist_ok=True)
    h, w, c = pixels.shape
    spec = oiio.ImageSpec(w, h, c, oiio.UINT16 if pixels.dtype == np.uint16 else oiio.FLOAT)
    spec.channelnames = names or ("R", "G", "B", "A")[:c]
    spec.attribute("oiio:UnassociatedAlpha", 1)
    image = oiio.ImageOutput.create(str(path))
    assert image.open(str(path), spec) and image.write_image(pixels)
    image.close()
    return path


def deep_noise(w, h, c, seed=0):
    return np.random.default_rng(seed).integers(0, 65536, (h, w, c), dtype=np.uint16)


# ---- images of more than 8 bits


@pytest.mark.parametrize("channels", [3, 4])
def test_16_bits_of_colour_are_kept_to_the_last(tmp_path, channels):
    pixels = deep_noise(8, 6, channels)
    path = write_deep(tmp_path / "a.png", pixels)
    assert check_image(path, "a.png") == ((8, 6), channels == 4, None)
    np.testing.assert_array_equal(read_image(path), pixels)
    with Image.open(path) as image:
        assert np.asarray(image).dtype == np.uint8, "what Pillow would have made of it"


def test_grey_of_16_bits_becomes_three_channels(tmp_path):
    (tmp_path / "a.png").write_bytes(png16(colour=False))
    pixels = decode(tmp_path / "a.png")
    assert pixels.shape == (6, 8, 3) and pixels.dtype == np.uint16
    np.testing.assert_array_equal(pixels[0, :, 0], [256 * (2 * i) + 2 * i + 1 for i in range(8)])
    assert (pixels == pixels[..., :1]).all()


def test_a_reduced_deep_image_keeps_the_mean_s_digits(tmp_path):
    pixels = deep_noise(9, 7, 3)
    expected = pixels[:6].reshape(3, 2, 9, 3)[:, :, :8].reshape(3, 2, 4, 2, 3).mean((1, 3))
    np.testing.assert_allclose(
        read_image(write_deep(tmp_path / "a.png", pixels), 2), expected, atol=0.51
    )


def test_exr_is_linear_premultiplied_light_and_becomes_straight_srgb(tmp_path):
    # 0.2140411 is the linear light of sRGB 0.5; half of it where alpha is a half.
    linear = np.array(
        [[[0.2140411] * 3 + [1.0], [0.10702055] * 3 + [0.5], [7.0, 0.0, 0.001, 1.0]]], np.float32
    )
    pixels = decode(write_deep(tmp_path / "a.exr", linear))
    assert pixels.dtype == np.float32
    expected = [[[0.5] * 3 + [1.0], [0.5] * 3 + [0.5], [1.0, 0.0, 0.01292, 1.0]]]
    np.testing.assert_allclose(pixels, expected, atol=1e-6)


def test_what_is_no_number_in_an_exr_file_becomes_one(tmp_path):
    linear = np.array([[[np.nan, np.inf, -np.inf]]], np.float32)
    np.testing.assert_allclose(
        decode(write_deep(tmp_path / "a.exr", linear)), [[[0.0, 1.0, 0.0]]], atol=1e-6
    )


def test_images_of_all_depths_in_one_scene_are_read_in_the_most_precise(tmp_path):
    root = write_nerfstudio(tmp_path)
    deep = deep_noise(8, 6, 3)
    write_deep(root / "images/002.png", deep)
    first, second, *_ = scenes.load(root, "train").images
    assert (first.dtype, second.dtype) == (np.uint16, np.uint16)
    np.testing.assert_array_equal(second, deep)
    np.testing.assert_allclose(to_unit(first), noise(8, 6, 3, seed=1) / 255, atol=1e-7)
    # A transparent pixel gives the images of the scene an alpha channel.
    pixels = np.ones((6, 8, 4), np.float32)
    pixels[0, 0] = 0.0
    write_deep(root / "images/003.exr", pixels)
    edit(root, lambda data: data["frames"][3].update(file_path="images/003.exr"))
    images = scenes.load(root, "train").images
    assert {(image.dtype, image.shape) for image in images} == {(np.dtype(np.float32), (6, 8, 4))}
    np.testing.assert_allclose(images[1][..., :3], deep / 65535, atol=1e-7)
    assert [(image[..., 3] == 1.0).all() for image in images] == [i != 2 for i in range(14)]


@pytest.mark.long
def test_16_bits_survive_to_the_target(tmp_path):
    root = write_nerfstudio(tmp_path)
    for i in range(17):
        write_deep(root / f"images/{i:03d}.png", deep_noise(8, 6, 3, seed=i))
    scene = scenes.load(root, "train")
    from nerf.training.ray_bank import sample_rays, to_device

    rays, colours, _ = sample_rays(to_device(scene), jax.random.key(0), 50)
    stored = {tuple(rgb) for image in scene.images for rgb in image.reshape(-1, 3).tolist()}
    assert all(
        tuple(rgb) in stored
        for rgb in np.rint(np.asarray(colours, np.float64) * 65535).astype(int).tolist()
    )


def test_exif_orientation_of_a_deep_image_is_not_applied_either(tmp_path):
    spec = oiio.ImageSpec(8, 6, 3, oiio.UINT16)
    spec.attribute("Orientation", 6)
    image, pixels = oiio.ImageOutput.create("x.png"), deep_noise(8, 6, 3)
    assert image.open(str(tmp_path / "a.png"), spec) and image.write_image(pixels)
    image.close()
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), pixels)


def test_an_exr_file_without_colour_is_refused_by_name(tmp_path):
    root = write_nerfstudio(tmp_path)
    (root / "images/001.png").unlink()
    write_deep(root / "images/001.exr", np.ones((6, 8, 1), np.float32), ("Z",))
    edit(root, lambda data: data["frames"][1].update(file_path="images/001.exr"))
    refused_once(root, "images/001.exr: cannot be decoded", "no R, G and B")


DEEP = {"png": deep_noise(8, 6, 4), "exr": np.random.default_rng(0).random((6, 8, 4), np.float32)}


@pytest.fixture(scope="module", params=DEEP)
def deep_file(request, tmp_path_factory):
    return write_deep(tmp_path_factory.mktemp("deep") / f"a.{request.param}", DEEP[request.param])


WHOLE: dict[Path, bytes] = {}


@pytest.mark.long
@many_seeds
def test_damaged_deep_images_load_or_are_refused(deep_file, seed):
    whole = WHOLE.setdefault(deep_file, deep_file.read_bytes())
    deep_file.write_bytes(mutate_bytes(whole, Random(seed)))
    (w, h), _, problem = check_image(deep_file, "a")
    if problem or w * h > 10_000:
        return
    if not undecodable([deep_file], deep_file.parent):
        image = read_image(deep_file)
        assert image.shape[:2] == (h, w) and np.isfinite(image).all()


# ---- lenses


KEYS = {
    PERSPECTIVE: (
        "OPENCV",
        {"k1": -0.05, "k2": 0.01, "p1": 1e-3, "p2": -2e-3, "k3": 1e-3, "k4": 0.02, "k5": 1e-3},
    ),
    FISHEYE: ("OPENCV_FISHEYE", {"k1": -0.02, "k2": 0.003, "k3": -5e-4, "k4": 1e-5}),
    EQUIRECTANGULAR: ("EQUIRECTANGULAR", {}),
    ORTHOGRAPHIC: ("ORTHOGRAPHIC", {}),
}
FOCALS = {PERSPECTIVE: 30.0, FISHEYE: 20.0, ORTHOGRAPHIC: 8.0}
SIZE = (40, 20)


def lens_keys(lens: int) -> dict:
    """What a frame says of a lens, as a file has it."""
    name, distortion = KEYS[lens]
    focal = (
        {}
        if lens == EQUIRECTANGULAR
        else {"fl_x": FOCALS[lens], "fl_y": 1.1 * FOCALS[lens], "cx": 19.0, "cy": 11.0}
    )
    return {"camera_model": name, "w": SIZE[0], "h": SIZE[1], **distortion, **focal}


def see_balls(camera: Cameras) -> tuple[np.ndarray, np.ndarray]:
    """A camera's closed-form picture (RGB over white) of the synthetic scene, and its opacity."""
    width, height = camera.size
    y, x = np.mgrid[:height, :width].reshape(2, -1) + 0.5
    rays = to_rays(repeated(camera, len(x)), np.stack([x, y], -1))
    colour, opacity = synthetic.picture(np.float64(rays.origins), np.float64(rays.directions))
    picture = np.rint(255 * (colour + 1 - opacity[:, None])).astype(np.uint8)
    return picture.reshape(height, width, 3), opacity.reshape(height, width)


def written(root: Path, lenses) -> list[Cameras]:
    """A scene of the balls, one view a lens, in the units of its file; and its cameras there."""
    cameras, frames = [], []
    for i, (lens, pose) in enumerate(zip(lenses, ring(len(lenses), radius=3.0), strict=True)):
        keys = lens_keys(lens)
        order = (
            ("k1", "k2", "p1", "p2", "k3", "k4", "k5", "k6")
            if lens == PERSPECTIVE
            else ("k1", "k2", "k3", "k4")
        )
        distortion = [keys.get(name, 0.0) for name in order]
        fx, fy = keys.get("fl_x", SIZE[0] / (2 * math.pi)), keys.get("fl_y", SIZE[1] / math.pi)
        K = np.array([[fx, 0, keys.get("cx", 20)], [0, fy, keys.get("cy", 10)], [0, 0, 1]])
        full = np.array([*distortion, *[0.0] * (8 - len(distortion))])
        cameras.append(Cameras(pose, K, full, np.array(SIZE), np.array(lens)))
        save(root / f"images/{i}.png", see_balls(cameras[-1])[0])
        frames.append({"file_path": f"images/{i}.png", "transform_matrix": matrix(pose), **keys})
    (root / "transforms.json").write_text(
        json.dumps({"frames": frames, "train_filenames": [f["file_path"] for f in frames]})
    )
    return cameras


@pytest.mark.long
@pytest.mark.parametrize(
    "lenses",
    [[PERSPECTIVE] * 3, [FISHEYE] * 3, [EQUIRECTANGULAR] * 3, [ORTHOGRAPHIC] * 3, [0, 1, 2, 3]],
)
def test_a_written_scene_comes_back_with_its_lenses_and_its_rays_see_its_pictures(tmp_path, lenses):
    cameras = written(tmp_path, lenses)
    scene = scenes.load(tmp_path, "train")
    assert scene.cameras.model.tolist() == lenses and scene.cameras.lenses == tuple(
        sorted(set(lenses))
    )
    back = scene.transform.poses_back(np.float64(scene.cameras.c2w))
    for i, camera in enumerate(cameras):
        np.testing.assert_allclose(back[i], camera.c2w, atol=1e-5)
        np.testing.assert_allclose(scene.cameras.distortion[i], camera.distortion, rtol=1e-6)
        scale = scene.transform.scale if lenses[i] == ORTHOGRAPHIC else 1.0
        np.testing.assert_allclose(scene.cameras.K[i, :2, :2] * scale, camera.K[:2, :2], rtol=1e-5)
        np.testing.assert_allclose(scene.cameras.K[i, :2, 2], camera.K[:2, 2], rtol=1e-6)
        picture, opacity = see_balls(camera)
        np.testing.assert_array_equal(scene.images[i], picture)
        assert 0 < (opacity > 0.1).mean() < 0.7


@pytest.mark.long
def test_a_frame_s_own_lens_goes_before_the_file_s(tmp_path):
    root = write_nerfstudio(tmp_path, camera_model="PINHOLE", k1=0.0)
    edit(
        root,
        lambda data: data["frames"][1].update(
            camera_model="OPENCV_FISHEYE", fl_x=4.0, fl_y=4.0, k1=0.01
        ),
    )
    scene = scenes.load(root, "train")
    assert scene.cameras.model.tolist() == [FISHEYE] + [PERSPECTIVE] * 13
    np.testing.assert_allclose(scene.cameras.K[:2, 0, 0], [4.0, 8.0])
    np.testing.assert_allclose(scene.cameras.distortion[0], [0.01, 0, 0, 0, 0, 0, 0, 0])


@pytest.mark.long
def test_sizes_of_images_and_lenses_may_be_mixed(tmp_path):
    root = write_nerfstudio(tmp_path, train_filenames=["images/001.png", "images/002.png"])
    save(root / "images/002.png", noise(16, 8, 3))
    edit(root, lambda data: data["frames"][2].update(camera_model="equirectangular", w=16, h=8))
    scene = scenes.load(root, "train")
    np.testing.assert_array_equal(scene.cameras.size, [[8, 6], [16, 8]])
    np.testing.assert_allclose(
        scene.cameras.K[1], [[8 / math.pi, 0, 8], [0, 8 / math.pi, 4], [0, 0, 1]], rtol=1e-6
    )


def test_instant_ngp_s_fisheye_is_one(tmp_path):
    root = write_nerfstudio(tmp_path, is_fisheye=True, k3=1e-3, k4=1e-4)
    scene = scenes.load(root, "train")
    assert (scene.cameras.model == FISHEYE).all()
    np.testing.assert_allclose(scene.cameras.distortion[0, 2:4], [1e-3, 1e-4])


BAD_LENSES = {
    "unknown": ({"camera_model": "OMNIDIRECTIONALSTEREO_L"}, "camera_model"),
    "a number": ({"camera_model": 5}, "camera_model"),
    "half a panorama": ({"camera_model": "EQUIRECTANGULAR"}, "a panorama of 8x6"),
    "folding fisheye": ({"camera_model": "OPENCV_FISHEYE", "k1": -2.0}, "folds"),
    "folding rational": ({"k1": 0.0, "k4": 30.0, "camera_model": "FULL_OPENCV"}, "folds"),
    "text k6": ({"k6": "x"}, "k6: distortion is not a number"),
    "infinite k3": ({"k3": math.inf}, "k3: distortion is not a number"),
}


@pytest.mark.parametrize("fault", BAD_LENSES)
def test_bad_lenses_are_refused_with_their_number(tmp_path, fault):
    root = write_nerfstudio(tmp_path)
    change, reason = BAD_LENSES[fault]
    edit(root, lambda data: data["frames"][2].update(change))
    refused_once(root, "transforms.json: frames[2].", reason)


@pytest.mark.long
def test_what_lies_around_the_circle_of_a_fisheye_is_masked(tmp_path):
    """A picture of a half sphere and more: at 3.14 radians the lens has seen everything."""
    lens = {
        "camera_model": "OPENCV_FISHEYE",
        "fl_x": 7.0,
        "fl_y": 7.0,
        "cx": 20.0,
        "cy": 20.0,
        "w": 40,
        "h": 40,
    }
    straight = dict.fromkeys(("k1", "k2", "p1", "p2"), 0.0)
    names = {"train_filenames": ["images/001.png"]}
    (mask,) = scenes.load(
        write_nerfstudio(tmp_path, size=(40, 40), **lens, **straight, **names), "train"
    ).maps["mask"]
    y, x = np.mgrid[:40, :40] - 19.5
    np.testing.assert_array_equal(mask, np.hypot(x, y) < 7 * math.pi)


# ---- masks


def masked_scene(root: Path, **options) -> Path:
    """Every training view but the first has a mask: 255 where another seed's noise is not dark."""
    write_nerfstudio(root, **options)
    for i in range(2, 17):
        grey = noise(8, 6, 1, seed=50 + i)[..., 0]
        save(root / f"masks/{i:03d}.png", np.where(grey > 40, 255, 0).astype(np.uint8))
    edit(
        root,
        lambda data: [
            f.update(mask_path=f"masks/{i:03d}.png") for i, f in enumerate(data["frames"]) if i > 1
        ],
    )
    return root


@pytest.mark.long
def test_masks_are_read_for_the_frames_that_have_one(tmp_path):
    scene = scenes.load(masked_scene(tmp_path), "train")
    assert len(scene.maps["mask"]) == len(scene) == 14 and scene.maps["mask"][0].all()
    for name, mask in list(zip(scene.names, scene.maps["mask"], strict=True))[1:]:
        np.testing.assert_array_equal(mask, noise(8, 6, 1, seed=50 + int(name[7:10]))[..., 0] > 40)
    assert "mask" not in scenes.load(write_nerfstudio(tmp_path / "n"), "train").maps


def test_a_reduced_pixel_is_masked_where_any_of_its_pixels_is(tmp_path):
    scene = scenes.load(masked_scene(tmp_path), "train", max_side=4)
    bright = noise(8, 6, 1, seed=52)[..., 0] > 40
    np.testing.assert_array_equal(scene.maps["mask"][1], bright.reshape(3, 2, 4, 2).all((1, 3)))


@pytest.mark.parametrize("write", ["one bit", "ones", "jpeg"])
def test_masks_of_every_kind_mean_the_same(tmp_path, write):
    there = np.zeros((6, 8), bool)
    there[:, 3:] = True
    root = write_nerfstudio(tmp_path)
    image = Image.fromarray((there * (1 if write == "ones" else 255)).astype(np.uint8))
    name = f"mask.{'jpg' if write == 'jpeg' else 'png'}"
    (image.convert("1") if write == "one bit" else image).save(root / name)
    edit(root, lambda data: data["frames"][1].update(mask_path=name))
    np.testing.assert_array_equal(scenes.load(root, "train").maps["mask"][0], there)


BAD_MASKS = {
    "missing": (lambda root: "masks/x.png", "no such file"),
    "outside": (lambda root: "../x.png", "outside the scene folder"),
    "a number": (lambda root: 7, "mask_path"),
    "other size": (
        lambda root: save(root / "m.png", noise(4, 6, 1)[..., 0]) or "m.png",
        "4x6, the image is 8x6",
    ),
    "no image": (
        lambda root: (root / "m.png").write_text("x") and "m.png",
        "m.png: not a readable image",
    ),
}


@pytest.mark.parametrize("fault", BAD_MASKS)
def test_bad_masks_are_refused(tmp_path, fault):
    root = write_nerfstudio(tmp_path)
    make, reason = BAD_MASKS[fault]
    edit(root, lambda data: data["frames"][1].update(mask_path=make(root)))
    refused_once(root, reason)


def test_a_view_that_is_masked_all_over_is_refused(tmp_path):
    root = masked_scene(tmp_path)
    save(root / "masks/005.png", np.zeros((6, 8), np.uint8))
    refused_once(root, "images/005.png: fully masked")


# ---- depth


def depth_scene(root: Path, kind: str, **keys) -> None:
    """A wall at z = -2 straight before a camera of a wide, bent lens; its depth is along z.

    One pixel is not known.
    """
    write_nerfstudio(root, poses=[np.eye(3, 4)] * 2, **{"fl_x": 6.0, "fl_y": 6.0, **keys})
    depth = np.full((6, 8), 2.0)
    depth[1, 2] = 0.0
    if kind == "png":
        write_deep(root / "depth.png", np.rint(1000 * depth).astype(np.uint16)[..., None], ("Y",))
    elif kind == "exr":
        write_deep(root / "depth.exr", np.float32(1000 * depth)[..., None], ("Z",))
    else:
        depth[1, 2] = np.nan
        np.save(root / "depth.npy", 1000 * depth)
    names = {"train_filenames": ["images/000.png", "images/001.png"]}
    edit(
        root,
        lambda data: (
            data.update(names) or data["frames"][1].update(depth_file_path=f"depth.{kind}")
        ),
    )


def wall_of(scene, view: int) -> np.ndarray:
    """The ends of a view's rays at its depth, in the file's world, where depth is known."""
    y, x = np.mgrid[:6, :8].reshape(2, -1) + 0.5
    rays = to_rays(repeated(scene.cameras[view], 48), np.stack([x, y], -1))
    along = scene.maps["depth"][view].reshape(-1, 1) * np.asarray(rays.directions)
    ends = scene.transform.points_back(np.float64(np.asarray(rays.origins) + along))
    return ends[scene.maps["depth"][view].ravel() > 0]


@pytest.mark.long
@pytest.mark.parametrize("kind", ["png", "exr", "npy"])
def test_depth_becomes_distance_along_the_ray_in_the_normalised_world(tmp_path, kind):
    """Whatever the lens does, the end of every ray lies on the wall."""
    depth_scene(tmp_path, kind)
    scene = scenes.load(tmp_path, "train")
    assert (scene.maps["depth"][0] == 0).all(), "no depth file, nothing known"
    known = scene.maps["depth"][1] > 0
    assert known.sum() == 47 and not known[1, 2] and scene.maps["depth"][1].dtype == np.float32
    wall = wall_of(scene, 1)
    np.testing.assert_allclose(wall[:, 2], -2.0, atol=1e-5)
    assert np.ptp(wall[:, 0]) > 2.0


@pytest.mark.parametrize("lens", [{"k1": 0.2}, {"fl_x": 7.0, "fl_y": 7.0}, {"cx": 3.0}])
def test_depth_of_each_view_is_along_the_rays_of_its_own_lens(tmp_path, lens):
    depth_scene(tmp_path, "npy")
    other = {"depth_file_path": "depth.npy", **lens}
    edit(tmp_path, lambda data: data["frames"][0].update(other))
    scene = scenes.load(tmp_path, "train")
    for view in (0, 1):
        np.testing.assert_allclose(wall_of(scene, view)[:, 2], -2.0, atol=1e-5)


def test_the_unit_of_depth_is_the_file_s(tmp_path):
    depth_scene(tmp_path / "a", "png")
    depth_scene(tmp_path / "b", "png", depth_unit_scale_factor=0.002)
    a, b = (scenes.load(tmp_path / name, "train") for name in "ab")
    a_units, b_units = (scene.maps["depth"][1] / scene.transform.scale for scene in (a, b))
    np.testing.assert_allclose(b_units, 2 * a_units, rtol=1e-5)


def test_depth_of_another_lens_is_along_its_ray(tmp_path):
    depth_scene(tmp_path, "png", camera_model="OPENCV_FISHEYE", k1=0.0, k2=0.0, p1=0.0, p2=0.0)
    scene = scenes.load(tmp_path, "train")
    np.testing.assert_allclose(
        scene.maps["depth"][1][scene.maps["depth"][1] > 0], 2.0 * scene.transform.scale, rtol=1e-6
    )


@pytest.mark.long
def test_depth_of_another_size_is_read_where_it_is_nearest(tmp_path):
    depth_scene(tmp_path, "npy", k1=0.0, k2=0.0, p1=0.0, p2=0.0, fl_x=1e3, fl_y=1e3)
    far = np.arange(1, 13).reshape(3, 4) * 1000.0
    np.save(tmp_path / "depth.npy", far)
    full = scenes.load(tmp_path, "train")
    np.testing.assert_allclose(
        full.maps["depth"][1] / full.transform.scale,
        far.repeat(2, 0).repeat(2, 1) / 1000,
        rtol=1e-3,
    )
    half = scenes.load(tmp_path, "train", max_side=4)
    np.testing.assert_allclose(half.maps["depth"][1] / half.transform.scale, far / 1000, rtol=1e-3)


def bad_array(path: Path, array) -> None:
    np.save(path, array, allow_pickle=True)


BAD_DEPTHS = {
    "pickled": (lambda path: bad_array(path, np.array([{}])), "not an array of numbers"),
    "three axes": (lambda path: bad_array(path, np.zeros((2, 2, 2))), "not an array of numbers"),
    "text": (lambda path: path.write_text("depth"), "not an array of numbers"),
    "empty": (lambda path: path.write_bytes(b""), "not an array of numbers"),
}


@pytest.mark.parametrize("fault", BAD_DEPTHS)
def test_bad_depth_is_refused(tmp_path, fault):
    depth_scene(tmp_path, "npy")
    make, reason = BAD_DEPTHS[fault]
    make(tmp_path / "depth.npy")
    refused_once(tmp_path, "depth.npy", reason)


def test_missing_depth_and_a_wrong_unit_are_refused(tmp_path):
    depth_scene(tmp_path, "png")
    edit(tmp_path, lambda data: data["frames"][1].update(depth_file_path="x.png"))
    refused_once(tmp_path, "frames[1].depth_file_path: x.png: no such file")
    edit(tmp_path, lambda data: data["frames"][1].pop("depth_file_path"))
    edit(tmp_path, lambda data: data.update(depth_unit_scale_factor=-1))
    refused_once(tmp_path, "depth_unit_scale_factor")


@pytest.mark.parametrize("size", [8, 16])
def test_grey_png_is_read_as_numbers(tmp_path, size):
    values = np.arange(48, dtype=np.uint8 if size == 8 else np.uint16).reshape(6, 8) * (
        1 if size == 8 else 1300
    )
    Image.fromarray(values).save(tmp_path / "a.png")
    np.testing.assert_array_equal(decode_numbers(tmp_path / "a.png"), values)


# ---- points


POINTS = np.array([[1.0, 2.0, 3.0], [-1.0, 0.5, 0.25], [np.nan, 0.0, 0.0]])
HEADER = """ply
format {kind} 1.0
comment made by hand
element vertex {count}
property float x
property float y
property float z
property uchar red
property uchar green
property uchar blue
element face 1
property list uchar int vertex_indices
end_header
"""


def ply(kind: str, count: int = 3) -> bytes:
    header = HEADER.format(kind=kind, count=count).encode()
    if kind == "ascii":
        rows = [" ".join(f"{x}" for x in p) + f" {i} {i + 1} 255" for i, p in enumerate(POINTS)]
        return header + "\n".join([*rows, "3 0 1 2", ""]).encode()
    order = "<" if "little" in kind else ">"
    fields = [(name, f"{order}f4") for name in "xyz"] + [(name, "u1") for name in ("r", "g", "b")]
    table = np.array([(*p, i, i + 1, 255) for i, p in enumerate(POINTS)], fields)
    return header + table.tobytes() + b"\x03" + np.arange(3, dtype=f"{order}i4").tobytes()


@pytest.mark.parametrize("kind", ["ascii", "binary_little_endian", "binary_big_endian"])
def test_points_of_every_kind_of_ply_file_are_read(tmp_path, kind):
    (tmp_path / "points.ply").write_bytes(ply(kind))
    points, colours = read_points(tmp_path / "points.ply", "points.ply")
    np.testing.assert_array_equal(points, POINTS[:2])  # the one that is not finite is left out
    np.testing.assert_array_equal(colours, [[0, 1, 255], [1, 2, 255]])


def test_points_move_with_the_scene(tmp_path):
    root = write_nerfstudio(tmp_path, ply_file_path="points.ply")
    assert "does not exist" in scenes.load(root, "train").notes[0]
    (root / "points.ply").write_bytes(ply("ascii"))
    scene = scenes.load(root, "test")
    np.testing.assert_allclose(scene.transform.points_back(scene.points), POINTS[:2], atol=1e-9)
    np.testing.assert_array_equal(scene.point_colours, [[0, 1, 255], [1, 2, 255]])
    (root / "points.ply").write_bytes(ply("ascii", count=4))
    refused_once(root, "points.ply: not a PLY point cloud")
    edit(root, lambda data: data.update(ply_file_path="../elsewhere.ply"))
    refused_once(root, "ply_file_path", "outside the scene folder")


@pytest.mark.parametrize("kind", ["ascii", "binary_little_endian"])
def test_a_ply_file_that_promises_too_much_takes_no_memory(tmp_path, kind):
    (tmp_path / "points.ply").write_bytes(ply(kind, count=10**15))
    with pytest.raises(SceneError, match="too short for"):
        read_points(tmp_path / "points.ply", "points.ply")


@pytest.mark.long
@many_seeds
def test_damaged_points_load_or_are_refused(tmp_path_factory, seed):
    random = Random(seed)
    path = tmp_path_factory.getbasetemp() / "damaged.ply"
    path.write_bytes(mutate_bytes(ply(random.choice(["ascii", "binary_little_endian"])), random))
    try:
        points, colours = read_points(path, "damaged.ply")
        assert np.isfinite(points).all() and points.shape[1] == 3
        assert colours is None or len(colours) == len(points)
    except SceneError as error:
        assert isinstance(error.problems[0], Problem)


def test_masks_go_with_blender_s_alpha(tmp_path):
    """Alpha stays what it is: no matter there. A mask on top of it says that nothing is known."""
    root = write_blender(tmp_path)
    save(root / "m.png", np.where(np.arange(36).reshape(6, 6) % 3 == 0, 0, 255).astype(np.uint8))
    edit(root, lambda data: data["frames"][0].update(mask_path="m.png"), "transforms_train.json")
    scene = scenes.load(root, "train")
    assert scene.has_alpha and not scene.unbounded
    np.testing.assert_array_equal(scene.maps["mask"][0], np.arange(36).reshape(6, 6) % 3 != 0)
    assert dataclasses.replace(scene, maps={}).digest() != scene.digest()
