"""Scene formats of a camera file beside photos: LLFF, IDR, Middlebury, RGB-D.

What these files say is what cameras do.
"""

import inspect
import io
import math
import struct
import zipfile
from functools import partial
from pathlib import Path
from random import Random

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage
from PIL import Image

from nerf import scenes
from nerf.scenes import Scene, SceneError, base, formats, reading
from nerf.scenes.decode import Header
from nerf.scenes.formats import arrays, colmap_model, folders, idr, llff, middlebury, rgbd
from nerf.scenes.formats.arrays import read_npy, read_npz
from tests.scenes.formats.test_colmap import make_model, write_binary
from tests.scenes.formats.test_colmap import write_scene as write_colmap
from tests.scenes.test_scenes import check_scene, look_at, noise, refused_once, ring, save
from tests.support.compiled import repeated, to_pixels, to_rays
from tests.support.mutations import many_seeds, mutate_bytes, mutate_numbers, mutate_text

W, H, FOCAL = 16, 12, 20.0
FLIP = np.diag([1.0, -1.0, -1.0])


def names(count: int) -> list[str]:
    return [f"{i:03d}.png" for i in range(count)]


def save_images(folder: Path, count: int, size=(W, H)) -> None:
    for i, name in enumerate(names(count)):
        save(folder / name, noise(*size, 3, seed=i))


def save_masks(folder: Path, count: int, size=(W, H), suffix=".png") -> None:
    """Row `i % (h - 1)` and those above are masked."""
    for i in range(count):
        keep = np.arange(size[1])[:, None] > i % (size[1] - 1)
        save(
            folder / f"{i:03d}{suffix}", np.where(keep, 255, 0).astype(np.uint8).repeat(size[0], 1)
        )


def write_llff(
    root: Path, poses=None, size=(W, H), folder="images", focal=FOCAL, bounds=(2.0, 9.0)
) -> Path:
    """The file speaks of images of W x H."""
    poses = poses or ring(9)
    save_images(root / folder, len(poses), size)
    rows = [
        [np.stack([-p[:, 1], p[:, 0], p[:, 2], p[:, 3], [H, W, focal]], -1).reshape(-1), bounds]
        for p in poses
    ]
    np.save(root / "poses_bounds.npy", np.array([[*row, *bounds] for row, bounds in rows]))
    return root


def opencv(pose: np.ndarray) -> np.ndarray:
    """World to camera, 3x4, OpenCV axes."""
    rotation = (pose[:, :3] @ FLIP).T
    return np.concatenate([rotation, -rotation @ pose[:, 3:]], -1)


K = np.array(
    [[FOCAL, 0.0, 7.0], [0.0, FOCAL + 1, 5.0], [0.0, 0.0, 1.0]]
)  # of pixels whose centres are whole numbers


def write_idr(
    root: Path, poses=None, size=(W, H), masks=True, declared=(W, H), radius=2.0, scale=3.0
) -> Path:
    """The file speaks of images of W x H and says so, unless `declared` is None."""
    poses = poses or ring(9)
    save_images(root / "image", len(poses), size)
    if masks:
        save_masks(root / "mask", len(poses), size, ".jpg.png")
    ball = np.diag([radius, radius, radius, 1.0])
    ball[:3, 3] = [0.1, -0.2, 0.3]
    arrays = {}
    for i, pose in enumerate(poses):
        arrays[f"world_mat_{i}"] = np.concatenate(
            [scale * K @ opencv(pose), [[0, 0, 0, 1]]]
        ).astype(np.float32)
        arrays[f"scale_mat_{i}"] = ball.astype(np.float32)
        if declared:
            arrays[f"camera_mat_{i}"] = np.diag([2 / declared[0], 2 / declared[1], 1, 1])
            arrays[f"camera_mat_{i}"][:2, 2] = -1
    np.savez(root / "cameras_sphere.npz", **arrays)
    return root


def write_middlebury(root: Path, poses=None, size=(W, H)) -> Path:
    poses = poses or ring(9)
    save_images(root, len(poses), size)
    lines = [str(len(poses))]
    for name, pose in zip(names(len(poses)), poses, strict=True):
        numbers = [*K.flat, *opencv(pose)[:, :3].flat, *opencv(pose)[:, 3]]
        lines.append(" ".join([name, *map(repr, map(float, numbers))]))
    (root / "some_par.txt").write_text("\n".join(lines) + "\n")
    return root


RGBD_K = np.array([[FOCAL, 0.0, 8.0], [0.0, FOCAL, 6.5], [0.0, 0.0, 1.0]])


def write_rgbd(root: Path, poses=None, size=(W, H), depth=None) -> Path:
    for i, pose in enumerate(poses or ring(9)):
        stem = f"frame-{i:06d}"
        save(root / f"{stem}.color.png", noise(*size, 3, seed=i))
        mm = np.full(size[::-1], 2500) if depth is None else depth
        Image.fromarray(mm.astype(np.uint16)).save(root / f"{stem}.depth.png")
        c2w = np.concatenate([pose[:, :3] @ FLIP, pose[:, 3:]], -1)
        np.savetxt(root / f"{stem}.pose.txt", np.concatenate([c2w, [[0, 0, 0, 1]]]))
    np.savetxt(root / "camera-intrinsics.txt", RGBD_K)
    return root


WRITERS = {"llff": write_llff, "idr": write_idr, "middlebury": write_middlebury, "rgbd": write_rgbd}
EACH = pytest.mark.parametrize("name", WRITERS)


def made(name: str, root: Path, **options) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    return WRITERS[name](root, **options)


def at_once(cameras, points) -> np.ndarray:
    """Where each camera of a scene sees one point each."""
    return np.asarray(to_pixels(cameras, jnp.asarray(points, jnp.float32))[0])


# ---- what is the same for all


def test_every_format_is_found_by_its_files(tmp_path):
    for name in WRITERS:
        root = made(name, tmp_path / name)
        found = [known for known, module in scenes.all_formats().items() if module.detect(root)]
        assert found == [name]


@pytest.mark.parametrize("name", scenes.all_formats())
def test_every_format_has_the_functions_of_the_contract(name):
    """With the same parameters in the same order, before those that it adds."""
    for function in ("detect", "load"):
        _, *wanted = inspect.signature(getattr(formats.Format, function)).parameters.values()
        own = inspect.signature(getattr(scenes.all_formats()[name], function)).parameters.values()
        assert [str(parameter) for parameter in own][: len(wanted)] == list(map(str, wanted))


@pytest.mark.long
def test_a_folder_of_two_formats_says_so(tmp_path):
    root = write_llff(write_colmap(tmp_path))
    scene = scenes.load(root, "train")
    assert scene.points is not None and "llff:load" in scene.notes[0]


@EACH
def test_poses_back_are_the_file_s(tmp_path, name):
    poses = [np.concatenate([p[:, :3], 7 * p[:, 3:] + [[50.0], [-30], [4]]], -1) for p in ring(9)]
    root = made(name, tmp_path, poses=poses)
    for split, views in (("train", [i for i in range(9) if i % 8]), ("test", [0, 8])):
        scene = scenes.load(root, split)
        back = scene.transform.poses_back(np.float64(scene.cameras.c2w))
        np.testing.assert_allclose(back, np.stack(poses)[views], atol=2e-4)
        assert [
            np.abs(a.astype(int) - noise(W, H, 3, seed=i)).max() for a, i in _rgb(scene, views)
        ] == [0] * len(views)


def _rgb(scene: Scene, views):
    return [(image[..., :3], i) for image, i in zip(scene.images, views, strict=True)]


@EACH
def test_validation_views_leave_train_only_when_asked(tmp_path, name):
    root = made(name, tmp_path, poses=ring(17))
    val, plain, carved = (
        scenes.load(root, split, validation=v).names
        for split, v in (("val", True), ("train", False), ("train", True))
    )
    assert (
        len(plain) == 14
        and val == [plain[0], plain[8]]
        and sorted([*val, *carved]) == sorted(plain)
    )


@EACH
def test_a_reduced_scene_sees_the_same(tmp_path, name):
    root = made(name, tmp_path)
    full, half = scenes.load(root, "train"), scenes.load(root, "train", max_side=8)
    points = np.random.default_rng(0).uniform(-0.1, 0.1, (len(full), 3))
    assert half.images[0].shape[:2] == (6, 8)
    np.testing.assert_allclose(
        at_once(full.cameras, points) / 2, at_once(half.cameras, points), atol=1e-4
    )


@EACH
def test_no_image_and_no_camera_goes_unnoticed(tmp_path, name):
    root = made(name, tmp_path)
    image = next(iter(sorted(path for path in root.rglob("*.png") if "mask" not in str(path))))
    image.unlink()
    with pytest.raises(SceneError):
        scenes.load(root, "train")


@EACH
def test_one_view_leaves_nothing_to_train_on(tmp_path, name):
    refused_once(
        made(name, tmp_path, poses=ring(1)),
        "one image: a scene needs at least two, one of them is held out",
    )


# ---- LLFF


def test_llff_columns_are_down_right_back(tmp_path):
    """A camera at the origin that looks along -z: a point on the right and above is seen there."""
    pose = np.concatenate([np.eye(3), [[0.0], [0], [0]]], -1)
    shifted = [pose + [[0, 0, 0, 0.1 * i]] * 3 for i in range(3)]
    root = write_llff(tmp_path, poses=shifted)
    scene = scenes.load(root, "train")
    point = scene.transform.points(np.array([1.1, 0.6, -4.9]))
    np.testing.assert_allclose(
        at_once(scene.cameras[:1], point[None])[0], [8 + 20 / 5, 6 - 20 * 0.5 / 5], atol=1e-3
    )


def test_llff_intrinsics_follow_the_folder(tmp_path):
    scene = scenes.load(write_llff(tmp_path, size=(8, 6), folder="images_2"), "train")
    np.testing.assert_allclose(scene.cameras.K[0], [[10, 0, 4], [0, 10, 3], [0, 0, 1]])
    assert scene.names[0] == "images_2/001.png" and scene.unbounded


@pytest.mark.parametrize("bounds, unbounded", [((3.6, 4.6), False), ((2.0, 90.0), True)])
def test_masks_bound_an_object_between_its_bounds(tmp_path, bounds, unbounded):
    root = write_llff(tmp_path, size=(8, 6), folder="images_2", bounds=bounds)
    save_masks(root / "masks_2", 9, (8, 6), "_mask.png")
    scene = scenes.load(root, "train")
    assert scene.unbounded == unbounded
    np.testing.assert_array_equal(scene.maps["mask"][2], np.arange(6)[:, None].repeat(8, 1) > 3)


def test_a_mask_follows_the_reduction(tmp_path):
    """15 rows reduced by 4: three blocks, and mask and image alike lose the last three rows."""
    root = write_llff(tmp_path, size=(20, 15))
    for i in range(9):
        save(
            root / "masks" / f"{i:03d}.png",
            np.where(np.arange(15) > 6, 255, 0)[:, None].repeat(20, 1).astype(np.uint8),
        )
    scene = scenes.load(root, "train", max_side=5)
    assert scene.images[0].shape[:2] == scene.maps["mask"][0].shape == (3, 5)
    np.testing.assert_array_equal(scene.maps["mask"][0][:, 0], [False, False, True])


def test_masks_of_some_images_only_are_refused(tmp_path):
    root = write_llff(tmp_path)
    save_masks(root / "masks", 8)
    refused_once(root, "masks/008.png: no such mask")


@pytest.mark.parametrize(
    "change, reason",
    [
        (lambda a: a[:, :15], "(9, 15)"),
        (lambda a: a[:8], "8 poses, and 9 images"),
        (lambda a: a * [*np.ones(15), -1, 1], "bounds"),
        (lambda a: np.where(np.arange(17) == 4, np.nan, a), "not finite"),
        (lambda a: np.where(np.arange(17) == 0, a + 0.5, a), "not orthonormal"),
        (lambda a: np.array([["x"]]), "not of numbers"),
        (lambda a: np.array([{}], object), "not"),
    ],
)
def test_bad_rows_are_refused(tmp_path, change, reason):
    root = write_llff(tmp_path)
    np.save(root / llff.FILE, change(np.load(root / llff.FILE)))
    with pytest.raises(SceneError) as caught:
        scenes.load(root, "train")
    assert all(reason in str(problem) for problem in caught.value.problems)


# ---- arrays without trust


def npy(shape: str, body: bytes, dtype="<f8") -> bytes:
    header = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + body


@pytest.mark.parametrize(
    "data",
    [
        npy("(1000000000000,)", b"\0" * 8),
        npy("(2,)", b"\0" * 8),
        npy("(-1,)", b"\0" * 8),
        npy("(0, 10000000000000000000000)", b""),
        npy("(1,)", b"\0" * 8, "|O"),
        npy("(1,", b"\0" * 8),
        npy("__import__('os')", b"\0" * 8),
        b"\x93NUMPY\x03\x00" + b"\0" * 20,
        b"\x93NUM",
        b"",
    ],
)
def test_an_array_is_as_long_as_its_file_or_refused(tmp_path, data):
    (tmp_path / "a.npy").write_bytes(data)
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("a.npy", data)
    for read, file in ((read_npy, "a.npy"), (read_npz, "a.npz")):
        with pytest.raises(SceneError):
            read(tmp_path / file)


@pytest.mark.parametrize(
    "array", [np.arange(6.0).reshape(2, 3), np.asfortranarray(np.eye(3, 2)), np.int16([[1, -2]])]
)
def test_arrays_are_read_as_numpy_wrote_them(tmp_path, array):
    np.save(tmp_path / "a.npy", array)
    np.savez_compressed(tmp_path / "b.npz", some=array, other=array + 1)
    np.testing.assert_array_equal(read_npy(tmp_path / "a.npy"), array)
    np.testing.assert_array_equal(read_npz(tmp_path / "b.npz")["other"], array + 1)


@pytest.mark.long
def test_an_archive_that_unpacks_to_more_than_it_says_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.npy", b"\0" * 200_000_000)
    with pytest.raises(SceneError, match="implausibly large"):
        read_npz(tmp_path / "a.npz")


# ---- IDR


def test_idr_projections_are_the_file_s(tmp_path):
    """A point of the file's world is seen where world_mat puts it, half a pixel on.

    It is scaled with the image.
    """
    root = write_idr(tmp_path, size=(8, 6))
    scene, arrays = scenes.load(root, "train"), np.load(root / "cameras_sphere.npz")
    points = np.random.default_rng(0).uniform(-0.5, 0.5, (len(scene), 3))
    found = at_once(scene.cameras, scene.transform.points(points))
    for i, (pixel, point) in enumerate(zip(found, points, strict=True), start=1):
        x, y, w = arrays[f"world_mat_{i}"][:3] @ [*point, 1]
        np.testing.assert_allclose(pixel, (np.array([x, y]) / w + 0.5) / 2, atol=1e-3)


def test_the_ball_of_scale_mat_is_the_normalised_one(tmp_path):
    scene = scenes.load(write_idr(tmp_path, radius=2.0), "train")
    centre = np.array([0.1, -0.2, 0.3])
    np.testing.assert_allclose(scene.transform.points(centre), 0, atol=1e-6)
    np.testing.assert_allclose(
        np.linalg.norm(scene.transform.points(centre + [0, 2.0, 0])), 1, rtol=1e-6
    )
    assert not scene.unbounded and len(scene.maps["mask"]) == len(scene)


def test_without_masks_idr_scenes_are_unbounded(tmp_path):
    scene = scenes.load(write_idr(tmp_path, masks=False), "train")
    assert scene.unbounded and "mask" not in scene.maps


def test_masks_of_other_names_come_in_order(tmp_path):
    root = write_idr(tmp_path, masks=False)
    save_masks(root / "mask", 9, suffix="-alpha.png")
    np.testing.assert_array_equal(
        scenes.load(root, "train").maps["mask"][0][:, 0], np.arange(H) > 1
    )


@pytest.mark.parametrize("size", [(W, H), (W // 2, H // 2), (W // 4, H // 4)])
def test_a_silent_file_s_size_is_a_multiple_of_the_image_s(tmp_path, size):
    scene = scenes.load(write_idr(tmp_path, size=size, declared=None), "train")
    np.testing.assert_allclose(scene.cameras.K[0, 0, 0], FOCAL * size[0] / W, rtol=1e-4)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("scale", [-2.0, 1e-3, 1.0])
def test_a_projection_is_taken_apart(seed, scale):
    pose = look_at(np.random.default_rng(seed).normal(size=3) * 5)
    intrinsics, rotation, position = idr.decompose(scale * K @ opencv(pose))
    np.testing.assert_allclose(intrinsics, K, atol=1e-8)
    np.testing.assert_allclose(rotation, opencv(pose)[:, :3], atol=1e-9)
    np.testing.assert_allclose(position, pose[:, 3], atol=1e-8)


@pytest.mark.parametrize(
    "P", [np.zeros((3, 4)), np.full((3, 4), np.nan), np.ones((3, 4)), np.eye(3, 4) * 1e300]
)
def test_what_is_no_projection_is_not_taken_apart(P):
    parts = idr.decompose(P)
    assert parts is None or np.isfinite(parts[0]).all()


def test_balls_that_differ_are_refused(tmp_path):
    root = write_idr(tmp_path)
    arrays = dict(np.load(root / "cameras_sphere.npz"))
    arrays["scale_mat_3"] = 2 * arrays["scale_mat_3"]
    np.savez(root / "cameras_sphere.npz", **arrays)
    refused_once(root, "not the same for all images")


# ---- Middlebury


def test_middlebury_projections_are_the_file_s(tmp_path):
    scene = scenes.load(write_middlebury(tmp_path), "train")
    points = np.random.default_rng(0).uniform(-0.5, 0.5, (len(scene), 3))
    found = at_once(scene.cameras, scene.transform.points(points))
    for i, (pixel, point) in enumerate(zip(found, points, strict=True), start=1):
        x, y, w = K @ opencv(ring(9)[i]) @ [*point, 1]
        np.testing.assert_allclose(pixel, np.array([x, y]) / w + 0.5, atol=1e-3)


@pytest.mark.parametrize(
    "line", ["a.png 1 2 3", "a.png " + "x " * 21, "000.png " + "1 " * 21, "000.png " + "nan " * 21]
)
def test_lines_that_are_no_camera_are_refused(tmp_path, line):
    root = write_middlebury(tmp_path)
    path = root / "some_par.txt"
    path.write_text(path.read_text() + line + "\n")
    refused_once(root, "some_par.txt: line 11: ")


def test_black_around_an_object_is_transparent(tmp_path):
    """A bright square of 40 pixels with a dark line through it, before black with noise.

    It is whole, and 3 pixels wider.
    """
    root = write_middlebury(tmp_path, size=(120, 90))
    for name in names(9):
        image = noise(120, 90, 3) // 8
        image[20:60, 30:70] = 200
        image[40:44, 30:70] = 5
        save(root / name, image)
    scene = scenes.load(root, "train")
    expected = np.zeros((90, 120))
    expected[17:63, 27:73] = 255
    np.testing.assert_array_equal(scene.images[0][..., 3], expected)
    assert not scene.unbounded and "black" in scene.notes[0]
    np.testing.assert_array_equal(
        scenes.load(root, "train", max_side=60).images[0][10:30, 15:35, 3], 255
    )


def test_a_black_picture_is_refused(tmp_path):
    root = write_middlebury(tmp_path)
    save(root / "003.png", np.zeros((H, W, 3), np.uint8))
    refused_once(root, "003.png: black all over")


# ---- RGB-D


@pytest.mark.long
def test_depth_is_distance_along_the_ray(tmp_path):
    """A wall straight ahead at 2.5 m: every ray of every view ends on it, in the file's units."""
    scene = scenes.load(write_rgbd(tmp_path), "train")
    y, x = np.mgrid[:H, :W] + 0.5
    camera = repeated(scene.cameras[0], H * W)
    rays = to_rays(camera, np.stack([x, y], -1).reshape(-1, 2))
    ends = np.asarray(rays.origins) + np.asarray(rays.directions) * scene.maps["depth"][0].reshape(
        -1, 1
    )
    ahead = (
        (ends - scene.cameras.c2w[0, :, 3]) @ -scene.cameras.c2w[0, :, 2] / scene.transform.scale
    )
    np.testing.assert_allclose(ahead, 2.5, rtol=1e-5)
    assert scene.unbounded and scene.maps["depth"][0].dtype == np.float32


def test_unknown_depth_is_zero_and_not_averaged(tmp_path):
    depth = np.full((H, W), 2000)
    depth[:6, :2], depth[0, 2] = [0, 65535], 65535
    depth[1, 2:4] = 3000
    scene = scenes.load(write_rgbd(tmp_path, depth=depth), "train", max_side=8)
    along = scene.maps["depth"][0][0] / scene.transform.scale
    assert (
        along[0] == 0
        and not scene.maps["depth"][0][:3, 0].any()
        and scene.maps["depth"][0][3:].all()
    )
    length = math.sqrt(1 + ((3 - 8) / FOCAL) ** 2 + ((1 - 6.5) / FOCAL) ** 2)
    assert along[1] == pytest.approx(3.0 * length, rel=1e-5)  # of 2000, 3000, 3000 and one unknown


def test_colours_may_have_a_lens_of_their_own_and_depth_follows_it(tmp_path):
    """A step in the depth is seen in its true direction.

    Nothing is known where the depth camera did not look.
    """
    depth = np.full((H, W), 2000)
    depth[:, 10:] = 3000  # columns from the direction (10 - 8) / FOCAL on
    root = write_rgbd(tmp_path, depth=depth)
    f, cx, cy = 0.8 * FOCAL, 7.0, 6.0
    np.savetxt(root / "color-intrinsics.txt", [[f, 0.0, cx], [0.0, f, cy], [0.0, 0.0, 1.0]])
    scene = scenes.load(root, "train")
    np.testing.assert_allclose(
        np.asarray(scene.cameras.K[0, :2]), [[f, 0.0, cx], [0.0, f, cy]], rtol=1e-6
    )
    x, y = (np.arange(W) + 0.5 - cx) / f, (np.arange(H) + 0.5 - cy) / f  # directions
    wanted = np.where(x[None] < (10 - 8) / FOCAL, 2.0, 3.0) * np.sqrt(
        1 + x[None] ** 2 + y[:, None] ** 2
    )
    seen_x, seen_y = (
        (d * FOCAL + c > 0) & (d * FOCAL + c < n) for d, c, n in ((x, 8.0, W), (y, 6.5, H))
    )
    wanted = np.where(seen_y[:, None] & seen_x[None], wanted, 0.0)
    assert 0.5 < (wanted > 0).mean() < 1
    np.testing.assert_allclose(scene.maps["depth"][0] / scene.transform.scale, wanted, rtol=1e-5)
    (root / "color-intrinsics.txt").write_text("1 2 3")
    refused_once(root, "color-intrinsics.txt")


@pytest.mark.long
def test_the_lens_of_a_kinect_s_depth_camera_is_not_taken_for_its_colours(tmp_path):
    root = write_rgbd(tmp_path)
    assert not scenes.load(root, "train").notes
    (root / "camera-intrinsics.txt").write_text("585 0 320\n0 585 240\n0 0 1\n")
    for path in root.glob("*.png"):
        with Image.open(path) as image:
            image.resize((640, 480)).save(path, compress_level=1)
    scene = scenes.load(root, "train")
    assert float(scene.cameras.K[0, 0, 0]) == float(scene.cameras.K[0, 1, 1]) == 525.0
    (note,) = scene.notes
    assert "color-intrinsics.txt" in note
    np.savetxt(root / "color-intrinsics.txt", [[585.0, 0, 320], [0, 585, 240], [0, 0, 1]])
    scene = scenes.load(root, "train")
    assert float(scene.cameras.K[0, 0, 0]) == 585.0 and not scene.notes


@pytest.mark.parametrize(
    "change", [Path.unlink, lambda path: path.write_bytes(path.read_bytes()[:60])]
)
def test_depth_that_cannot_be_read_is_refused(tmp_path, change):
    root = write_rgbd(tmp_path)
    change(root / "frame-000003.depth.png")
    refused_once(root, "frame-000003.depth.png")


@pytest.mark.parametrize("text", ["", "1 2 3", "nan " * 16, "1 0 0 0 0 1 0 0 0 0 1 0 1 1 1 1"])
def test_what_is_no_pose_is_refused(tmp_path, text):
    root = write_rgbd(tmp_path)
    (root / "frame-000003.pose.txt").write_text(text)
    refused_once(root, "frame-000003.pose.txt")


# ---- mutations


DAMAGED: dict[Path, bytes] = {}


@pytest.fixture
def undecoded(monkeypatch):
    """Images are there, and not looked at: the cameras' file is damaged, and that in memory."""
    for module in (arrays, colmap_model, middlebury, rgbd):
        monkeypatch.setattr(
            module,
            "read_bytes",
            lambda path, limit: DAMAGED.get(path) or base.read_bytes(path, limit),
        )
    header = Header((4, 3), False, np.uint8)
    monkeypatch.setattr(folders, "check_header", lambda path, shown: (header, None))
    monkeypatch.setattr(folders, "check_image", lambda path, shown: ((4, 3), False, None))
    monkeypatch.setattr(idr, "check_image", lambda path, shown: ((4, 3), False, None))
    monkeypatch.setattr(rgbd, "_check_depth", lambda frame, root: [])
    monkeypatch.setattr(rgbd, "measured_distances", lambda frames, root: np.ones(1))

    def read_frames(reduced, root, channels):
        images = [np.full((3, 4, channels), 255, np.uint8) for _ in reduced]
        return images, {"depth": [np.ones((3, 4), np.float32) for _ in reduced]}, []

    monkeypatch.setattr(reading, "read_frames", read_frames)


def mutated_npz(data: bytes, random: Random) -> bytes:
    arrays = dict(np.load(io.BytesIO(data)))
    name = random.choice(sorted(arrays))
    if random.random() < 0.1:
        del arrays[name]
    else:
        arrays[name] = mutate_numbers(arrays[name], random)
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return mutate_bytes(buffer.getvalue(), random) if random.random() < 0.2 else buffer.getvalue()


def mutated_npy(data: bytes, random: Random) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, mutate_numbers(np.load(io.BytesIO(data)), random))
    return mutate_bytes(buffer.getvalue(), random) if random.random() < 0.3 else buffer.getvalue()


def mutated_text(data: bytes, random: Random) -> bytes:
    return mutate_text(data.decode(), random).encode(errors="surrogatepass")


KINDS = {".bin": mutate_bytes, ".txt": mutated_text, ".npy": mutated_npy, ".npz": mutated_npz}
SMALL = {
    "colmap text": lambda root: write_colmap(root, make_model(count=2), sizes={"images": (4, 3)}),
    "colmap binary": lambda root: write_colmap(
        root, make_model(count=2), write=write_binary, sizes={"images": (4, 3)}
    ),
    **{
        name: partial(made, name, poses=ring(2), size=(4, 3))
        for name in ("llff", "middlebury", "rgbd")
    },
    "idr": lambda root: write_idr(root, poses=ring(2), size=(4, 3), masks=False, declared=None),
}


@pytest.fixture(scope="module", params=SMALL)
def folder(request, tmp_path_factory):
    """A scene of two views, its format, and its files that may be damaged."""
    root = SMALL[request.param](tmp_path_factory.mktemp("scene"))
    files = {path: path.read_bytes() for path in sorted(root.rglob("*")) if path.suffix in KINDS}
    return root, scenes.all_formats()[request.param.split()[0]], files


@pytest.mark.long
@many_seeds
def test_a_mutated_file_is_a_scene_or_a_scene_error(folder, undecoded, seed):
    root, module, files = folder
    random = Random(seed)
    path = random.choice(sorted(files))
    DAMAGED.clear()
    DAMAGED[path] = KINDS[path.suffix](files[path], random)
    try:
        scene = module.load(root, random.choice(["train", "val", "test"]))
        check_scene(scene)
        assert scene.points is None or np.isfinite(scene.points).all()
    except SceneError as error:
        assert error.problems
        assert all(line.isprintable() and len(line) < 1000 for line in str(error).split("\n"))


# ---- real captures


def real_pair(scene: Scene, i: int, j: int) -> np.ndarray:
    """Relative difference of view i's depth, seen from view j, to view j's, where comparable."""
    h, w = scene.images[i].shape[:2]
    y, x = np.mgrid[:h, :w] + 0.5
    camera = repeated(scene.cameras[i], h * w)
    rays = to_rays(camera, np.stack([x, y], -1).reshape(-1, 2))
    depth = scene.maps["depth"][i].reshape(-1)
    ends = np.asarray(rays.origins) + np.asarray(rays.directions) * depth[:, None]
    pixels, seen = (np.asarray(x) for x in to_pixels(repeated(scene.cameras[j], h * w), ends))
    known = (depth > 0) & seen
    ends, pixels = ends[known], pixels[known]
    there = scipy.ndimage.map_coordinates(scene.maps["depth"][j], pixels.T[::-1] - 0.5, order=0)
    away = np.linalg.norm(ends - scene.cameras.c2w[j, :, 3], axis=-1)
    return (np.abs(away - there) / away)[there > 0]


@pytest.mark.long
def test_redkitchen_s_depths_agree_between_views(dataset):
    scene = scenes.load(dataset("redkitchen"), "train", max_side=160)
    assert (len(scene), len(scene.maps["depth"])) == (55, 55) and scene.unbounded
    differences = [real_pair(scene, i, i + 1) for i in (0, 20, 40)]
    assert all(len(d) > 5_000 and np.median(d) < 0.02 for d in differences), [
        np.median(d) for d in differences
    ]


@pytest.mark.long
def test_dtu_s_projections_are_the_file_s(dataset):
    root = dataset("dtu_scan24")
    scene, arrays = scenes.load(root, "train"), np.load(root / "cameras_sphere.npz")
    assert not scene.unbounded and 0.4 < np.mean([mask.mean() for mask in scene.maps["mask"]]) < 0.9
    points = np.random.default_rng(0).uniform(-0.3, 0.3, (len(scene), 3))
    found = at_once(scene.cameras, points)
    for name, pixel, point in zip(
        scene.names, found, scene.transform.points_back(points), strict=True
    ):
        x, y, w = arrays[f"world_mat_{int(Path(name).stem)}"][:3] @ [*point, 1]
        np.testing.assert_allclose(pixel, (np.array([x, y]) / w + 0.5) / 4, atol=0.01)


@pytest.mark.long
def test_dino_s_projections_are_the_file_s(dataset):
    root = dataset("dino")
    scene = scenes.load(root, "train")
    rows = {
        line.split()[0]: line.split()[1:]
        for line in (root / "dinoSR_par.txt").read_text().splitlines()[1:]
    }
    corners = scene.transform.points(
        np.array([[-0.061897, -0.018874, -0.057845], [0.010897, 0.068227, 0.015495]])
    )
    assert (
        np.linalg.norm(corners, axis=-1).max() < 1.2
        and 0.2 < np.mean([i[..., 3] > 0 for i in scene.images]) < 0.5
    )
    box = np.array(
        [[-0.061897, -0.018874, -0.057845], [0.010897, 0.068227, 0.015495]]
    )  # of the object, by its README
    points = np.random.default_rng(0).uniform(*box, (len(scene), 3))
    found = at_once(scene.cameras, scene.transform.points(points))
    for name, pixel, point in zip(scene.names, found, points, strict=True):
        numbers = np.array(rows[name], float)
        x, y, w = numbers[:9].reshape(3, 3) @ (numbers[9:18].reshape(3, 3) @ point + numbers[18:])
        np.testing.assert_allclose(pixel, np.array([x, y]) / w + 0.5, atol=0.02)


@pytest.mark.long
@pytest.mark.parametrize("name, views, unbounded", [("fern", 17, True), ("maryRose", 60, False)])
def test_llff_captures_load(dataset, name, views, unbounded):
    scene = scenes.load(dataset(name), "train")
    assert len(scene) == views and scene.unbounded == unbounded
    assert {max(image.shape[:2]) for image in scene.images} == {504 if name == "fern" else 432}
    assert ("mask" not in scene.maps) == (name == "fern")
