"""Loaders: what a folder says is what the scene holds, and what is wrong is said in one listing."""

import dataclasses
import io
import json
import math
import shutil
import struct
import zlib
from pathlib import Path
from random import Random

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from nerf import scenes
from nerf.cameras.lenses import FISHEYE
from nerf.fields import Samples
from nerf.foundation.instantiate import build
from nerf.scenes import Problem, Scene, SceneError, Similarity, synthetic
from nerf.scenes.base import every_nth, rotation_to_z
from nerf.scenes.focus import focus_point
from nerf.scenes.formats import nerfstudio
from nerf.scenes.images import check_image, read_image, undecodable
from tests.support.compiled import repeated, to_pixels, to_rays
from tests.support.mutations import many_mutations, mutate_json

DATASETS = Path(__file__).parents[3] / "shared" / "datasets"


# ---- folders to load


def look_at(position, target=(0.0, 0.0, 0.0)) -> np.ndarray:
    back = np.asarray(position, float) - target
    back /= np.linalg.norm(back)
    right = np.cross([0.0, 0.0, 1.0], back)
    right /= np.linalg.norm(right)
    return np.stack([right, np.cross(back, right), back, position], -1)


def ring(count: int, radius: float = 4.0) -> list[np.ndarray]:
    angles = 0.3 + 2 * math.pi * np.arange(count) / count
    return [look_at([radius * np.cos(a), radius * np.sin(a), 1.0 + np.sin(3 * a)]) for a in angles]


def matrix(c2w) -> list[list[float]]:
    return [*np.asarray(c2w).tolist(), [0.0, 0.0, 0.0, 1.0]]


def noise(w: int, h: int, c: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (h, w, c), dtype=np.uint8)


def save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def write_json(path: Path, data) -> None:
    path.write_text(json.dumps(data), encoding="utf-8")


def write_blender(
    root: Path, poses=None, size=(6, 6), channels=4, splits=("train", "test")
) -> Path:
    for s, split in enumerate(splits):
        frames = []
        for i, pose in enumerate(poses or ring(9)):
            save(root / split / f"r_{i}.png", noise(*size, channels, seed=100 * s + i))
            frames.append({"file_path": f"./{split}/r_{i}", "transform_matrix": matrix(pose)})
        write_json(root / f"transforms_{split}.json", {"camera_angle_x": 0.7, "frames": frames})
    return root


FOCAL = {"fl_x": 8.0, "fl_y": 8.5, "cx": 4.5, "cy": 3.0, "w": 8, "h": 6}
FOX = {"k1": 0.0578421, "k2": -0.0805099, "p1": -0.000980296, "p2": 0.00015575}


def write_nerfstudio(root: Path, poses=None, size=(8, 6), channels=3, **keys) -> Path:
    frames = []
    for i, pose in enumerate(poses or ring(17)):
        save(root / "images" / f"{i:03d}.png", noise(*size, channels, seed=i))
        frames.append({"file_path": f"images/{i:03d}.png", "transform_matrix": matrix(pose)})
    write_json(root / "transforms.json", {**FOCAL, **FOX, **keys, "frames": frames})
    return root


def edit(root: Path, change, file: str = "transforms.json") -> None:
    data = json.loads((root / file).read_text())
    change(data)
    write_json(root / file, data)


def refusal(root, split="train", **options) -> list[str]:
    """The problems of a scene that must be refused, as lines."""
    with pytest.raises(SceneError) as caught:
        scenes.load(root, split, **options)
    lines = [str(problem) for problem in caught.value.problems]
    assert all("\n" not in line and line.count(": ") >= 2 for line in lines)
    return lines


def refused_once(root, *words: str, **options) -> None:
    (line,) = refusal(root, **options)
    assert all(word in line for word in words), line


# ---- what is loaded


def test_blender_pixels_are_kept_with_straight_alpha(tmp_path):
    scene = scenes.load(write_blender(tmp_path), "test")
    assert scene.has_alpha and not scene.unbounded and len(scene) == 9
    for i, image in enumerate(scene.images):
        np.testing.assert_array_equal(image, noise(6, 6, 4, seed=100 + i))
    assert scene.names[1] == "test/r_1"


def test_blender_focal_length_is_that_of_the_angle(tmp_path):
    scene = scenes.load(write_blender(tmp_path, size=(8, 6)), "train")
    focal = 4.0 / math.tan(0.35)
    expected = [[focal, 0, 4], [0, focal, 3], [0, 0, 1]]
    np.testing.assert_allclose(scene.cameras.K, np.tile(expected, (9, 1, 1)), rtol=1e-6)


def test_nerfstudio_intrinsics_are_kept(tmp_path):
    scene = scenes.load(write_nerfstudio(tmp_path), "train")
    np.testing.assert_allclose(scene.cameras.K[0], [[8, 0, 4.5], [0, 8.5, 3], [0, 0, 1]])
    np.testing.assert_allclose(scene.cameras.distortion[0], [*FOX.values(), 0, 0, 0, 0], rtol=1e-6)
    np.testing.assert_array_equal(scene.cameras.size, np.tile([8, 6], (14, 1)))


def test_arrays_are_float32_and_numpy(tmp_path):
    cameras = scenes.load(write_nerfstudio(tmp_path), "train").cameras
    assert all(
        isinstance(a, np.ndarray) and a.dtype == np.float32 for a in (cameras.c2w, cameras.K)
    )
    assert cameras.distortion.dtype == np.float32 and cameras.size.dtype == np.int32


def test_every_eighth_view_is_held_out(tmp_path):
    root = write_nerfstudio(tmp_path)
    test, train = scenes.load(root, "test"), scenes.load(root, "train")
    assert test.names == [f"images/{i:03d}.png" for i in (0, 8, 16)]
    assert len(train) == 14 and not set(train.names) & set(test.names)


def test_named_splits_are_obeyed(tmp_path):
    names = [f"images/{i:03d}.png" for i in range(17)]
    lists = {
        "train_filenames": names[:9],
        "val_filenames": names[9:12],
        "test_filenames": ["./" + names[12]],
    }
    root = write_nerfstudio(tmp_path, **lists)
    loaded = {split: scenes.load(root, split).names for split in ("train", "val", "test")}
    assert loaded == {"train": names[:9], "val": names[9:12], "test": names[12:13]}
    assert scenes.load(root, "train", validation=True).names == names[:9]


@pytest.mark.parametrize("names", [5, "images/000.png", [1, 2], ["images/nowhere.png"], {"a": 1}])
def test_malformed_split_lists_are_refused(tmp_path, names):
    root = write_nerfstudio(tmp_path, train_filenames=["images/000.png"], val_filenames=names)
    refused_once(root, "transforms.json: val_filenames: ")


@pytest.mark.parametrize("write", [write_blender, write_nerfstudio])
def test_validation_views_leave_train_only_when_asked(tmp_path, write):
    root = write(tmp_path)
    val, plain = scenes.load(root, "val").names, scenes.load(root, "train").names
    carved = scenes.load(root, "train", validation=True).names
    assert val == [plain[i] for i in range(0, len(plain), 8)]
    assert sorted([*carved, *val]) == sorted(plain) and len(val) == 2


def test_a_blender_validation_file_of_its_own_leaves_train_whole(tmp_path):
    root = write_blender(tmp_path, splits=("train", "val", "test"))
    assert len(scenes.load(root, "train", validation=True)) == 9
    assert scenes.load(root, "val").names[0] == "val/r_0"


@pytest.mark.long
def test_splits_share_one_transform(tmp_path):
    for write, root in ((write_blender, tmp_path / "b"), (write_nerfstudio, tmp_path / "n")):
        root.mkdir()
        write(root)
        loaded = [
            scenes.load(root, split).transform.to_json() for split in ("train", "val", "test")
        ]
        assert loaded[0] == loaded[1] == loaded[2]


def test_per_frame_intrinsics_win_over_the_file_s(tmp_path):
    root = write_nerfstudio(tmp_path)
    edit(root, lambda data: data["frames"][1].update(fl_x=9.0, fl_y=9.5, cx=1.0, k1=0.1))
    cameras = scenes.load(root, "train").cameras
    np.testing.assert_allclose(cameras.K[0], [[9, 0, 1], [0, 9.5, 3], [0, 0, 1]])
    np.testing.assert_allclose(cameras.K[1], [[8, 0, 4.5], [0, 8.5, 3], [0, 0, 1]])
    np.testing.assert_allclose(cameras.distortion[:2, 0], [0.1, FOX["k1"]], rtol=1e-6)


def test_a_file_that_speaks_of_another_size_scales_K(tmp_path):
    big = {key: 10 * value for key, value in FOCAL.items()}
    scaled = scenes.load(write_nerfstudio(tmp_path / "a", **big), "train")
    plain = scenes.load(write_nerfstudio(tmp_path / "b"), "train")
    np.testing.assert_allclose(scaled.cameras.K, plain.cameras.K, rtol=1e-6)
    angle = {"camera_angle_x": 0.7, "w": 80, "h": 60}
    root = write_nerfstudio(tmp_path / "c")
    edit(root, lambda data: [data.pop(key) for key in FOCAL] and data.update(angle))
    np.testing.assert_allclose(
        scenes.load(root, "train").cameras.K[0, 0, 0], 4 / math.tan(0.35), rtol=1e-6
    )


@pytest.mark.long
def test_reduction_scales_the_pixel_of_a_world_point_exactly(tmp_path):
    root = write_nerfstudio(tmp_path, size=(16, 12), **{k: 2 * v for k, v in FOCAL.items()})
    full, half = scenes.load(root, "train"), scenes.load(root, "train", max_side=8)
    assert half.images[0].shape == (6, 8, 3) and "reduced by 2" in half.notes[0]
    np.testing.assert_array_equal(full.cameras.c2w, half.cameras.c2w)
    points = np.random.default_rng(0).uniform(-0.2, 0.2, (len(full), 3))
    big, seen = to_pixels(full.cameras, points)
    small, _ = to_pixels(half.cameras, points)
    assert bool(seen.all())
    np.testing.assert_allclose(np.asarray(big) / 2, small, atol=1e-5)


def box_filter(pixels: np.ndarray, n: int) -> np.ndarray:
    """The mean of n x n blocks in premultiplied colour, as straight alpha again; pixel by pixel."""
    h, w, c = pixels.shape[0] // n, pixels.shape[1] // n, pixels.shape[2]
    out = np.zeros((h, w, c))
    for y, x in np.ndindex(h, w):
        block = pixels[y * n : y * n + n, x * n : x * n + n].reshape(-1, c).astype(float)
        weight = block[:, 3] if c == 4 else np.ones(n * n)
        out[y, x, :3] = (block[:, :3] * weight[:, None]).sum(0) / max(weight.sum(), 1e-9)
        out[y, x, 3:] = block[:, 3:].mean(0)
    return out


@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("n, size", [(2, (12, 8)), (3, (12, 10)), (5, (14, 14))])
def test_reduction_is_a_box_filter_weighted_by_alpha(tmp_path, channels, n, size):
    pixels = noise(*size, channels)
    pixels[:5, :5, 3:] = 0  # a block that is transparent, whatever its colour
    save(tmp_path / "a.png", pixels)
    reduced = read_image(tmp_path / "a.png", n)
    assert reduced.shape == (size[1] // n, size[0] // n, channels) and reduced.dtype == np.uint8
    np.testing.assert_allclose(reduced, box_filter(pixels, n), atol=0.501)


def test_images_of_different_sizes_load(tmp_path):
    root = write_nerfstudio(tmp_path)
    save(root / "images/001.png", noise(16, 12, 3))
    save(root / "images/002.png", noise(1, 1, 3))
    edit(root, lambda data: data["frames"][2].update(w=1, h=1, fl_x=1, fl_y=1, cx=0.5, cy=0.5))
    scene = scenes.load(root, "train")
    assert [image.shape for image in scene.images[:3]] == [(12, 16, 3), (1, 1, 3), (6, 8, 3)]
    np.testing.assert_allclose(scene.cameras.K[0, :2], 2 * scene.cameras.K[2, :2])
    np.testing.assert_array_equal(scene.cameras.size[:3], [[16, 12], [1, 1], [8, 6]])


def test_a_tiny_image_among_large_ones_keeps_a_pixel(tmp_path):
    root = write_blender(tmp_path, size=(12, 12))
    save(root / "train/r_0.png", noise(1, 1, 4))
    scene = scenes.load(root, "train", max_side=4)
    assert [image.shape for image in scene.images[:2]] == [(1, 1, 4), (4, 4, 4)]
    np.testing.assert_array_equal(scene.cameras.size[:2], [[1, 1], [4, 4]])
    np.testing.assert_allclose(scene.cameras.K[0, :2] * 4, scene.cameras.K[1, :2], rtol=1e-6)


def test_opaque_images_make_an_unbounded_scene(tmp_path):
    assert scenes.load(write_blender(tmp_path, channels=3), "train").unbounded
    write_nerfstudio(tmp_path / "n", channels=4)
    assert not scenes.load(tmp_path / "n", "train").unbounded


@pytest.mark.parametrize("odd", [0, 3])
def test_images_without_alpha_among_some_with_it_become_opaque(tmp_path, odd):
    root = write_blender(tmp_path)
    save(root / f"train/r_{odd}.png", noise(6, 6, 3))
    scene = scenes.load(root, "train")
    assert scene.has_alpha and not scene.unbounded
    np.testing.assert_array_equal(scene.images[odd][..., 3], 255)
    np.testing.assert_array_equal(scene.images[odd][..., :3], noise(6, 6, 3))


def test_one_split_has_the_channels_of_the_other(tmp_path):
    root = write_blender(tmp_path)
    for path in (root / "test").iterdir():
        save(path, noise(6, 6, 3))
    assert scenes.load(root, "test").has_alpha


NAMES = [
    "with space.png",
    "ünï 写真.png",
    "new\nline.png",
    "tab\tquote'\".png",
    "a.b.c.png",
    "-x.png",
]


def test_any_file_name_loads(tmp_path):
    frames = [
        {"file_path": f"images/{name}", "transform_matrix": matrix(pose)}
        for name, pose in zip(NAMES, ring(len(NAMES)), strict=True)
    ]
    for name in NAMES:
        save(tmp_path / "images" / name, noise(8, 6, 3))
    write_json(tmp_path / "transforms.json", {**FOCAL, "frames": frames})
    loaded = {*scenes.load(tmp_path, "train").names, *scenes.load(tmp_path, "test").names}
    assert loaded == {f"images/{name}" for name in NAMES}


def test_any_file_name_is_told_in_one_line(tmp_path):
    frames = [
        {"file_path": f"images/{name}", "transform_matrix": matrix(np.eye(3, 4))}
        for name in [*NAMES, "\x1b[31mred.png", "\u202egnp.png"]
    ]
    write_json(tmp_path / "transforms.json", {**FOCAL, "frames": frames})
    lines = refusal(tmp_path)
    assert len(lines) == len(NAMES) + 2
    assert all(line.isprintable() for line in lines) and any(
        "new\\nline.png" in line for line in lines
    )


def test_names_are_relative_and_without_detours(tmp_path):
    root = write_nerfstudio(tmp_path)
    edit(
        root, lambda d: d["frames"][1].update(file_path=str(tmp_path / "images/../images/001.png"))
    )
    assert scenes.load(root, "train").names[0] == "images/001.png"


def encoded(image: Image.Image, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, **options)
    return buffer.getvalue()


def test_exif_orientation_is_never_applied(tmp_path):
    root = write_nerfstudio(tmp_path)
    image = Image.fromarray(noise(8, 6, 3))
    exif = Image.Exif()
    exif[0x0112] = 6  # rotate by 90 degrees
    for name, options in (
        ("000.png", {"format": "PNG"}),
        ("008.png", {"format": "JPEG", "quality": 95}),
    ):
        (root / "images" / name).write_bytes(encoded(image, exif=exif, **options))
    scene = scenes.load(root, "test")
    assert {image.shape for image in scene.images} == {(6, 8, 3)}
    np.testing.assert_array_equal(scene.images[0], noise(8, 6, 3))


def palette(transparent: bool) -> bytes:
    image = Image.fromarray(noise(8, 6, 3)).quantize(8)
    return encoded(image, format="PNG", **({"transparency": 0} if transparent else {}))


MODES = {
    "1": (lambda: encoded(Image.fromarray(noise(8, 6, 3)).convert("1"), format="PNG"), 3),
    "L": (lambda: encoded(Image.fromarray(noise(8, 6, 1)[..., 0]), format="PNG"), 3),
    "LA": (lambda: encoded(Image.fromarray(noise(8, 6, 2)), format="PNG"), 4),
    "P": (lambda: palette(False), 3),
    "P with transparency": (lambda: palette(True), 4),
    "L with a transparent grey": (
        lambda: encoded(Image.fromarray(noise(8, 6, 1)[..., 0]), format="PNG", transparency=7),
        4,
    ),
    "WebP": (lambda: encoded(Image.fromarray(noise(8, 6, 4)), format="WEBP", lossless=True), 4),
}


@pytest.mark.parametrize("mode", MODES)
def test_images_of_every_mode_load(tmp_path, mode):
    make, channels = MODES[mode]
    path = tmp_path / "image.png"
    path.write_bytes(make())
    size, transparent, problem = check_image(path, "image.png")
    assert (size, transparent, problem) == ((8, 6), channels == 4, None)
    pixels = read_image(path)
    assert (
        pixels.shape == (6, 8, channels) and pixels.dtype == np.uint8 and pixels[..., :3].std() > 10
    )
    if mode.startswith("L"):
        assert np.all(pixels[..., 0] == pixels[..., 1]) and np.all(pixels[..., 0] == pixels[..., 2])


@pytest.mark.long
def test_digests_tell_scenes_apart(tmp_path):
    scene = scenes.load(write_nerfstudio(tmp_path), "train")
    assert scene.digest() == scenes.load(tmp_path, "train").digest()
    changed = noise(8, 6, 3, seed=1)
    changed[0, 0, 0] ^= 1
    save(tmp_path / "images/001.png", changed)
    assert scene.digest() != scenes.load(tmp_path, "train").digest()
    assert scene.digest() != scene.select(range(len(scene) - 1)).digest()


def full_scene(**changes):
    """A scene with everything that a scene can have."""
    scene = synthetic.load(None, "train", size=4, views=3)
    masks = [np.arange(16).reshape(4, 4) % (i + 2) > 0 for i in range(3)]
    depths = [mask.astype(np.float32) for mask in masks]
    points, colours = np.eye(3), np.eye(3, dtype=np.uint8)
    known = dataclasses.replace(
        scene, maps={"mask": masks, "depth": depths}, points=points, point_colours=colours
    )
    return dataclasses.replace(known, **changes)


def test_everything_that_training_may_use_changes_the_digest():
    scene = full_scene()
    changes: list[dict] = [{name: None} for name in ("points", "point_colours")]
    for name, arrays in scene.maps.items():
        others = {key: value for key, value in scene.maps.items() if key != name}
        changes += [{"maps": {**others, name: arrays[::-1]}}, {"maps": {**others, "new": arrays}}]
        changes.append({"maps": others})
    changes.append({"points": 2 * scene.points})
    changes += [
        {"point_colours": 2 * scene.point_colours},
        {"images": [x.astype(np.uint16) for x in scene.images]},
    ]
    fisheye = dataclasses.replace(scene.cameras, model=np.full(3, FISHEYE, np.int32))
    bent = dataclasses.replace(scene.cameras, distortion=scene.cameras.distortion + 1e-3)
    changes += [{"cameras": fisheye}, {"cameras": bent}]
    digests = {full_scene(**change).digest() for change in changes}
    assert len(digests - {scene.digest()}) == len(changes)


def test_a_scene_with_parts_that_do_not_fit_is_refused():
    with pytest.raises(ValueError, match="as many images"):
        full_scene(maps={"mask": full_scene().maps["mask"][:2]})
    with pytest.raises(ValueError, match="one type"):
        full_scene(
            images=[
                image.astype(kind) for image, kind in zip(full_scene().images, "BHB", strict=True)
            ]
        )


def test_select_keeps_views_together(tmp_path):
    whole = full_scene()
    two = whole.select([2, 0])
    np.testing.assert_array_equal(two.maps["mask"], [whole.maps["mask"][2], whole.maps["mask"][0]])
    np.testing.assert_array_equal(
        two.maps["depth"], [whole.maps["depth"][2], whole.maps["depth"][0]]
    )
    scene = scenes.load(write_nerfstudio(tmp_path), "train")
    some = scene.select([3, 1])
    assert some.names == [scene.names[3], scene.names[1]] and len(some) == 2
    np.testing.assert_array_equal(some.cameras.c2w, scene.cameras.c2w[[3, 1]])
    np.testing.assert_array_equal(some.images[1], scene.images[1])


@pytest.mark.parametrize("count", [1, 7, 8, 9, 40])
def test_held_out_views_and_the_others_are_all(count):
    train, test = every_nth(count, "train", 8), every_nth(count, "test", 8)
    assert sorted(train + test) == list(range(count)) and test == list(range(0, count, 8))


# ---- what is refused


def test_missing_images_are_left_out_with_a_note(tmp_path):
    root = write_nerfstudio(tmp_path)
    for i in (0, 3, 5, 6, 7):
        (root / f"images/{i:03d}.png").unlink()
    names = {*scenes.load(root, "train").names, *scenes.load(root, "test").names}
    assert len(names) == 12 and "images/003.png" not in names
    assert "5 of 17" in scenes.load(root, "train").notes[0]


def test_too_many_missing_images_are_refused_by_name(tmp_path):
    root = write_nerfstudio(tmp_path)
    for i in range(6):
        (root / f"images/{i:03d}.png").unlink()
    lines = refusal(root)
    assert lines == [
        f"images/{i:03d}.png: no such image: add it or remove its entry" for i in range(6)
    ]
    assert len(nerfstudio.load(root, "train", max_missing=0.4)) == 9


def test_blender_scenes_may_not_miss_an_image(tmp_path):
    root = write_blender(tmp_path)
    (root / "train/r_3.png").unlink()
    refused_once(root, "train/r_3: no such image")


def test_a_scene_without_any_image_is_refused(tmp_path):
    root = write_nerfstudio(tmp_path)
    shutil.rmtree(root / "images")
    assert len(refusal(root)) == 17


def big_header() -> bytes:
    """A PNG of a few bytes that says it is 60000 x 60000."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


def png16(colour: bool) -> bytes:
    """A 16-bit PNG, grey or RGB (which Pillow cannot write)."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    row = b"\0" + bytes(range(8 * (6 if colour else 2)))
    header = struct.pack(">IIBBBBB", 8, 6, 16, 2 if colour else 0, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(row * 6)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def truncated(kind: str) -> bytes:
    data = encoded(Image.fromarray(noise(64, 48, 3)), format=kind)
    return data[: len(data) * 3 // 4]


BAD_IMAGES = {
    "empty": (lambda: b"", "empty file"),
    "truncated png": (lambda: truncated("PNG"), "cannot be decoded"),
    "truncated jpeg": (lambda: truncated("JPEG"), "cannot be decoded"),
    "text": (lambda: b"this is no image\n" * 20, "not a readable image"),
    "header only": (lambda: b"\x89PNG\r\n\x1a\n", "not a readable image"),
    "16-bit colour, truncated": (lambda: png16(True)[:-40], "cannot be decoded"),
    "bomb": (big_header, "implausibly many pixels"),
    "postscript": (
        lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 6\n",
        "not a readable image",
    ),
    "tiff": (
        lambda: encoded(Image.fromarray(noise(8, 6, 3)), format="TIFF"),
        "not a readable image",
    ),
}


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("fault", BAD_IMAGES)
def test_bad_images_are_refused_by_name(tmp_path, fault, first):
    root = write_nerfstudio(tmp_path)
    make, reason = BAD_IMAGES[fault]
    name = "images/001.png" if first else "images/009.png"
    (root / name).write_bytes(make())
    refused_once(root, name, reason)


def test_a_folder_named_like_an_image_is_refused(tmp_path):
    root = write_nerfstudio(tmp_path)
    (root / "images/001.png").unlink()
    (root / "images/001.png").mkdir()
    refused_once(root, "images/001.png: a folder, not an image")


def test_all_bad_images_are_listed_at_once(tmp_path):
    root = write_nerfstudio(tmp_path)
    for i, (make, _) in enumerate(BAD_IMAGES.values(), start=1):
        (root / f"images/{i:03d}.png").write_bytes(make())
    edit(root, lambda data: data["frames"][16].pop("transform_matrix"))
    lines = refusal(root)
    assert len(lines) == len(BAD_IMAGES) + 1
    for i in range(1, len(BAD_IMAGES) + 1):
        assert sum(f"images/{i:03d}.png" in line for line in lines) == 1


def mirrored(c2w):
    return [[-row[0], *row[1:]] for row in c2w[:3]] + c2w[3:]


BAD_FRAMES = {
    "no pose": (lambda f: f.pop("transform_matrix"), "transform_matrix"),
    "pose of text": (lambda f: f.update(transform_matrix="eye"), "transform_matrix"),
    "short pose": (
        lambda f: f.update(transform_matrix=f["transform_matrix"][:2]),
        "transform_matrix",
    ),
    "text in pose": (lambda f: f["transform_matrix"][0].__setitem__(0, "1"), "transform_matrix"),
    "nan": (lambda f: f["transform_matrix"][0].__setitem__(3, math.nan), "not finite"),
    "infinity": (lambda f: f["transform_matrix"][0].__setitem__(3, math.inf), "transform_matrix"),
    "mirrored": (lambda f: f.update(transform_matrix=mirrored(f["transform_matrix"])), "mirrors"),
    "scaled": (
        lambda f: f.update(
            transform_matrix=[[1.05 * r[0], *r[1:]] for r in f["transform_matrix"][:3]]
        ),
        "not orthonormal: its columns have lengths 1.05, 1, 1",
    ),
    "transposed": (
        lambda f: f.update(transform_matrix=np.transpose(f["transform_matrix"]).tolist()),
        "transform_matrix",
    ),
    "no file": (lambda f: f.pop("file_path"), "file_path"),
    "file is a number": (lambda f: f.update(file_path=5), "file_path"),
    "file has no name": (lambda f: f.update(file_path=""), "file_path"),
    "absolute file outside": (lambda f: f.update(file_path="/etc/passwd"), "outside"),
    "relative file outside": (lambda f: f.update(file_path="images/../../x.png"), "outside"),
    "nul in name": (lambda f: f.update(file_path="a\0b"), "file_path"),
    "lone surrogate in name": (lambda f: f.update(file_path="\ud800.png"), "file_path"),
    "endless name": (lambda f: f.update(file_path="x" * 100_000), "file_path"),
    "listed twice": (lambda f: f.update(file_path="images/005.png"), "more than once"),
    "zero focal": (lambda f: f.update(fl_x=0), "fl_x"),
    "nan focal": (lambda f: f.update(fl_x=math.nan), "fl_x"),
    "true focal": (lambda f: f.update(fl_x=True), "fl_x"),
    "tiny focal": (lambda f: f.update(fl_x=1e-5, fl_y=1e-5), "implausible"),
    "huge focal": (lambda f: f.update(fl_x=1e9, fl_y=1e9), "implausible"),
    "far principal point": (lambda f: f.update(cx=1e6), "principal point"),
    "text distortion": (lambda f: f.update(k1="0,1"), "k1"),
    "folding distortion": (lambda f: f.update(k1=-3.0), "folds"),
    "other shape": (lambda f: f.update(w=80, h=80), "80x80"),
}


@pytest.mark.parametrize("fault", BAD_FRAMES)
def test_bad_frames_are_refused_with_their_number(tmp_path, fault):
    root = write_nerfstudio(tmp_path)
    change, reason = BAD_FRAMES[fault]
    edit(root, lambda data: change(data["frames"][2]))
    refused_once(
        root, "transforms.json: ", "images/005.png" if "twice" in fault else "frames[2]", reason
    )


def test_every_problem_of_every_frame_is_listed(tmp_path):
    """Independent faults, several in one frame, in one listing."""
    root = write_nerfstudio(tmp_path)

    def spoil(data):
        data["frames"][0].update(transform_matrix=None, file_path="../x.png")
        data["frames"][1]["transform_matrix"] = mirrored(data["frames"][1]["transform_matrix"])
        data["frames"][2] = 7
        data["frames"][4].update(fl_x=-1, file_path="images/005.png")

    edit(root, spoil)
    (root / "images/003.png").write_bytes(b"")
    (root / "images/006.png").write_bytes(truncated("PNG"))
    lines = refusal(root)
    words = [
        "frames[0].transform_matrix",
        "frames[0].file_path",
        "frames[1]",
        "frames[2]",
        "frames[4].fl_x",
    ]
    for word in [*words, "images/003.png", "images/006.png"]:
        assert sum(word in line for line in lines) == 1, word


@pytest.mark.parametrize("angle", [5e-324, 1e-300, 0, -1, math.pi, 4, math.nan, "0,7", None, [0.7]])
def test_an_angle_that_is_none_is_refused(tmp_path, angle):
    root = write_blender(tmp_path)
    edit(root, lambda data: data.update(camera_angle_x=angle), "transforms_train.json")
    refused_once(root, "transforms_train.json: ")


def test_a_missing_focal_length_is_said_once(tmp_path):
    root = write_nerfstudio(tmp_path)
    edit(root, lambda data: [data.pop(key) for key in ("fl_x", "fl_y")])
    refused_once(root, "transforms.json: fl_x: no focal length")


def test_a_link_out_of_the_folder_is_refused(tmp_path):
    root = write_nerfstudio(tmp_path / "scene")
    save(tmp_path / "secret.png", noise(8, 6, 3))
    (root / "images/001.png").unlink()
    (root / "images/001.png").symlink_to(tmp_path / "secret.png")
    refused_once(root, "outside the scene folder")


def test_a_loop_of_links_is_refused(tmp_path):
    root = write_nerfstudio(tmp_path)
    (root / "images/001.png").unlink()
    (root / "images/001.png").symlink_to(root / "images/001.png")
    refused_once(root, "001.png")


@pytest.mark.parametrize(
    "data", ["", "{", "[]", "null", "5", '{"frames": []}', '{"frames": {}}', '{"a": 1}']
)
def test_bad_json_is_refused(tmp_path, data):
    (tmp_path / "transforms.json").write_text(data)
    refused_once(tmp_path, "transforms.json: ")


def test_duplicate_keys_are_refused(tmp_path):
    root = write_nerfstudio(tmp_path)
    text = (root / "transforms.json").read_text()
    (root / "transforms.json").write_text('{"fl_x": 1,' + text[1:])
    refused_once(root, "duplicate key 'fl_x'")


@pytest.mark.parametrize(
    "text", ["[" * 200_000, '{"a":' * 200_000, '{"frames": 1' + "0" * 5000 + "}"]
)
def test_absurd_json_is_refused(tmp_path, text):
    (tmp_path / "transforms.json").write_text(text)
    refused_once(tmp_path, "transforms.json: not valid JSON")


def test_bytes_that_are_no_text_are_refused(tmp_path):
    (tmp_path / "transforms.json").write_bytes(b"\xff\xfe\x00{")
    refused_once(tmp_path, "transforms.json: not valid JSON")


def test_a_byte_order_mark_is_no_error(tmp_path):
    root = write_nerfstudio(tmp_path)
    path = root / "transforms.json"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert len(scenes.load(root, "test")) == 3


def test_a_split_without_views_is_refused(tmp_path):
    root = write_nerfstudio(tmp_path / "n", poses=ring(1))
    refused_once(root, "one image: a scene needs at least two, one of them is held out")
    root = write_nerfstudio(tmp_path / "two", poses=ring(2))
    refused_once(root, "no view in split 'train'", validation=True)
    root = write_blender(tmp_path / "b", poses=ring(1))
    refused_once(root, "one image: a scene needs at least two", validation=True)


def test_what_is_no_scene_is_refused(tmp_path):
    refused_once(tmp_path, "no scene in it")
    refused_once(tmp_path / "nowhere", "no such folder")
    refused_once(write_blender(tmp_path), "no split 'dev'", split="dev")
    refused_once(tmp_path, "max_side", max_side=0)


def test_only_the_first_twenty_problems_are_shown():
    error = SceneError([Problem(f"f{i}", "key", "reason", "fix") for i in range(33)])
    lines = str(error).split("\n")
    assert lines[0] == "f0: key: reason: fix" and lines[19] == "f19: key: reason: fix"
    assert lines[20:] == ["... and 13 more (33 in all)"] and len(error.problems) == 33
    assert len(str(SceneError(error.problems[:20])).split("\n")) == 20


@pytest.mark.long
def test_every_file_that_cannot_be_decoded_is_listed_once_and_in_order(tmp_path):
    """Images, masks and depth together, of all frames."""
    root = write_nerfstudio(tmp_path)
    np.save(root / "depth.npy", np.ones((6, 8)))
    damaged = [
        "images/001.png",
        "m1.png",
        "images/dynamic_mask_001.png",
        "images/003.png",
        "m5.png",
    ]
    for name in damaged:
        (root / name).write_bytes(truncated("PNG"))

    def change(data):
        data["frames"][1].update(mask_path="m1.png", depth_file_path="depth.npy")
        data["frames"][5].update(mask_path="m5.png")

    edit(root, change)
    lines = refusal(root)
    assert [line.partition(": ")[0] for line in lines] == damaged
    assert all("cannot be decoded" in line and "export it again" in line for line in lines)


@pytest.mark.long
@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.data())
def test_damaged_images_load_or_are_refused(tmp_path, data):
    kind = data.draw(st.sampled_from(["PNG", "JPEG", "WEBP", "BMP"]))
    stored = bytearray(IMAGES[kind])
    for _ in range(data.draw(st.integers(1, 4))):
        stored[data.draw(st.integers(0, len(stored) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path / "image"
    path.write_bytes(bytes(stored[: data.draw(st.integers(0, len(stored)))]))
    size, _, problem = check_image(path, "image")
    if problem or size[0] * size[1] > 10_000:
        return
    if not undecodable([path], tmp_path):
        image = read_image(path)
        assert image.dtype == np.uint8 and image.shape[:2] == size[::-1]


IMAGES = {
    k: encoded(Image.fromarray(noise(8, 6, 3)), format=k) for k in ("PNG", "JPEG", "WEBP", "BMP")
}


# ---- the one similarity


def random_rotation(seed: int) -> np.ndarray:
    q, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    return q * np.sign(np.linalg.det(q))


def random_similarity(seed: int) -> Similarity:
    rng = np.random.default_rng(seed)
    return Similarity(float(rng.uniform(0.1, 10)), random_rotation(seed), rng.normal(size=3))


@pytest.mark.parametrize("shape", [(), (1,), (3, 1, 2)])
@pytest.mark.parametrize("seed", range(3))
def test_similarity_leads_there_and_back(seed, shape):
    transform, rng = random_similarity(seed), np.random.default_rng(seed)
    points = rng.normal(size=(*shape, 3))
    np.testing.assert_allclose(transform.points_back(transform.points(points)), points, atol=1e-12)
    poses = np.concatenate(
        [np.broadcast_to(random_rotation(5), (*shape, 3, 3)), points[..., None]], -1
    )
    np.testing.assert_allclose(transform.poses_back(transform.poses(poses)), poses, atol=1e-12)
    stored = Similarity.from_json(json.loads(json.dumps(transform.to_json())))
    np.testing.assert_array_equal(stored.points(points), transform.points(points))


def test_similarity_moves_a_camera_with_what_it_sees():
    """A point at camera coordinates x is seen, after the move, at `scale` x in the moved camera."""
    transform, pose = random_similarity(1), look_at([3.0, 1.0, 2.0])
    local = np.array([0.2, -0.3, -2.0])
    point = pose[:, :3] @ local + pose[:, 3]
    moved = transform.poses(pose)
    assert abs(np.linalg.det(moved[:, :3]) - 1) < 1e-9
    np.testing.assert_allclose(
        moved[:, :3] @ (transform.scale * local) + moved[:, 3], transform.points(point), atol=1e-9
    )


@pytest.mark.parametrize("up", [[0, 0, 1], [0, 0, -1], [1, 2, 3], [1e-12, 0, -1], [0, 5, 0]])
def test_rotation_to_z_is_a_rotation_to_z(up):
    rotation = rotation_to_z(np.array(up, float))
    np.testing.assert_allclose(rotation @ up / np.linalg.norm(up), [0, 0, 1], atol=1e-9)
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-9)
    assert np.linalg.det(rotation) > 0


def test_the_focus_is_where_the_axes_meet():
    target = np.array([1.0, -2.0, 0.5])
    poses = np.stack([look_at(target + pose[:, 3], target) for pose in ring(5)])
    np.testing.assert_allclose(focus_point(poses), target, atol=1e-5)


def test_parallel_axes_have_a_finite_focus(tmp_path):
    poses = [np.concatenate([np.eye(3), [[x], [0.0], [0.0]]], -1) for x in (0.0, 1.0, 2.0)]
    np.testing.assert_allclose(focus_point(np.stack(poses)), [1, 0, 0], atol=1e-6)
    scene = scenes.load(write_nerfstudio(tmp_path, poses=poses), "train")
    assert np.isfinite(scene.cameras.c2w).all() and math.isfinite(scene.transform.scale)


def relative_poses(c2w: np.ndarray) -> np.ndarray:
    """Poses in the first camera's axes: what no rotation or shift of the world changes."""
    rotation, position = c2w[0, :, :3], c2w[0, :, 3]
    return np.concatenate(
        [rotation.T @ c2w[:, :, :3], ((c2w[:, :, 3] - position) @ rotation)[..., None]], -1
    )


@pytest.mark.long
@pytest.mark.parametrize(
    "write, channels", [(write_blender, 4), (write_nerfstudio, 3), (write_nerfstudio, 4)]
)
def test_a_moved_scene_has_the_same_normalised_cameras(tmp_path, write, channels):
    """Rotated, scaled by 37 and shifted in its file, a scene is the same up to rotation."""
    move = Similarity(37.0, random_rotation(3), np.array([500.0, -300.0, 40.0]))
    poses = ring(9)
    moved = [move.poses(pose) for pose in poses]
    a = scenes.load(write(tmp_path / "a", poses=poses, channels=channels), "train")
    b = scenes.load(write(tmp_path / "b", poses=moved, channels=channels), "train")
    np.testing.assert_allclose(
        relative_poses(a.cameras.c2w), relative_poses(b.cameras.c2w), atol=2e-6
    )
    distance = [np.linalg.norm(scene.cameras.position, axis=-1) for scene in (a, b)]
    np.testing.assert_allclose(*distance, rtol=1e-5)
    assert math.isclose(a.transform.scale, 37 * b.transform.scale, rel_tol=1e-6)
    if write is write_nerfstudio:  # level: what is left is a rotation about z
        np.testing.assert_allclose(a.cameras.position[:, 2], b.cameras.position[:, 2], atol=2e-6)
        for root in (tmp_path / "a", tmp_path / "b"):
            both = [scenes.load(root, split).cameras.c2w for split in ("train", "test")]
            up = np.concatenate(both)[:, :, 1].mean(0)
            np.testing.assert_allclose(up / np.linalg.norm(up), [0, 0, 1], atol=2e-6)


@pytest.mark.parametrize("write", [write_blender, write_nerfstudio])
def test_poses_back_are_the_file_s(tmp_path, write):
    move = Similarity(37.0, random_rotation(4), np.array([50.0, -30.0, 4.0]))
    poses = [move.poses(pose) for pose in ring(9)]
    scene = scenes.load(write(tmp_path, poses=poses), "train")
    back = scene.transform.poses_back(np.float64(scene.cameras.c2w))
    file = np.stack(poses)[
        [int(name[-1]) if write is write_blender else int(name[7:10]) for name in scene.names]
    ]
    np.testing.assert_allclose(back[..., :3], file[..., :3], atol=1e-6)
    np.testing.assert_allclose(back[..., 3], file[..., 3], atol=1e-6 * np.abs(file[..., 3]).max())


def test_what_bounded_cameras_see_fits_the_box(tmp_path):
    """A point on a camera's axis at the focus' distance, at its picture's edge, is in [-1, 1]^3."""
    scene = scenes.load(write_blender(tmp_path), "train")
    tangent = 0.5 * scene.cameras.size[:, 0] / scene.cameras.K[:, 0, 0]
    radius = np.linalg.norm(scene.cameras.position, axis=-1) * tangent
    assert 0.9 < np.median(radius) < 1.0 and np.median(radius) == pytest.approx(1 / 1.05, rel=1e-5)


def test_unbounded_cameras_lie_in_the_unit_ball(tmp_path):
    scene = scenes.load(write_nerfstudio(tmp_path), "train")
    assert np.linalg.norm(scene.cameras.position, axis=-1).max() <= 1 + 1e-6


# ---- mutations


@pytest.fixture(scope="module", params=["blender", "nerfstudio"])
def folder(request, tmp_path_factory):
    """A scene of two tiny images, and its JSON to be mutated."""
    root = tmp_path_factory.mktemp(request.param)
    if request.param == "blender":
        write_blender(root, poses=ring(2), size=(2, 2))
        return root, "transforms_train.json"
    names = ["images/000.png", "images/001.png"]
    write_nerfstudio(
        root, poses=ring(2), size=(4, 3), train_filenames=names, test_filenames=names[:1]
    )
    save(root / "mask.png", noise(4, 3, 1)[..., 0])
    np.save(root / "depth.npy", np.ones((3, 4)))
    more = {
        "mask_path": "mask.png",
        "depth_file_path": "depth.npy",
        "camera_model": "OPENCV_FISHEYE",
    }
    edit(root, lambda data: data["frames"][1].update(more))
    return root, "transforms.json"


ORIGINALS: dict[Path, str] = {}


@pytest.mark.long
@many_mutations
def test_a_mutated_file_is_a_scene_or_a_scene_error(folder, seed):
    root, file = folder
    original = ORIGINALS.setdefault(root, (root / file).read_text())
    random = Random(seed)
    (root / file).write_text(mutate_json(original, random))
    try:
        check_scene(scenes.load(root, random.choice(["train", "val", "test"]), max_side=2))
    except SceneError as error:
        assert error.problems
        assert all(line.isprintable() and len(line) < 1000 for line in str(error).split("\n"))


def check_scene(scene: Scene) -> None:
    """What training may rely on."""
    cameras = scene.cameras
    assert len(scene) == len(set(scene.names)) > 0
    assert all(np.isfinite(a).all() for a in (cameras.c2w, cameras.K, cameras.distortion))
    assert np.all(cameras.K[:, [0, 1], [0, 1]] > 0) and np.all(cameras.size > 0)
    rotation = cameras.c2w[:, :, :3]
    np.testing.assert_allclose(
        rotation @ rotation.transpose(0, 2, 1), np.tile(np.eye(3), (len(scene), 1, 1)), atol=2e-3
    )
    assert len({image.shape[2] for image in scene.images}) == 1


# ---- the synthetic scene


def synthetic_rays(scene: Scene, view: int):
    size = int(scene.cameras.size[view, 0])
    y, x = np.mgrid[:size, :size] + 0.5
    return to_rays(repeated(scene.cameras[view], size**2), np.stack([x, y], -1).reshape(-1, 2))


@pytest.mark.long
def test_the_synthetic_picture_is_what_its_cameras_see():
    """Ray by ray: pixels_to_rays of the scene's cameras and the closed form give its images."""
    scene = synthetic.load(None, "train", size=16, views=2)
    for view in range(2):
        rays = synthetic_rays(scene, view)
        colour, opacity = synthetic.picture(np.float64(rays.origins), np.float64(rays.directions))
        image = scene.images[view].reshape(-1, 4) / 255.0
        np.testing.assert_allclose(image[:, 3], opacity, atol=0.003)
        np.testing.assert_allclose(image[:, :3] * image[:, 3:], colour, atol=0.005)
        assert 0.2 < (opacity > 0.5).mean() < 0.8


@pytest.mark.long
def test_the_synthetic_field_integrates_to_the_closed_form():
    """Equation 3 of NeRF on 4000 even intervals, in float64."""
    scene = synthetic.load(None, "train", size=8, views=1)
    rays = synthetic_rays(scene, 0)
    origins, directions = np.float64(rays.origins), np.float64(rays.directions)
    t = np.linspace(1.5, 4.5, 4001)
    points = origins[:, None] + (0.5 * (t[1:] + t[:-1]))[:, None] * directions[:, None]
    found = jax.jit(synthetic.field)(
        Samples(jnp.asarray(points, jnp.float32), jnp.zeros(points.shape))
    )
    tau = np.float64(found["density"]) * np.diff(t)
    weights = np.exp(-(np.cumsum(tau, -1) - tau)) * (1 - np.exp(-tau))
    colour, opacity = synthetic.picture(origins, directions)
    np.testing.assert_allclose(weights.sum(-1), opacity, atol=0.01)
    np.testing.assert_allclose(
        (weights[..., None] * np.float64(found["rgb"])).sum(1), colour, atol=0.01
    )


@pytest.mark.long
@pytest.mark.parametrize("mirror", [*(1 - 2 * np.eye(3)), [[0, 1, 0], [1, 0, 0], [0, 0, 1]]])
def test_a_mirrored_synthetic_world_looks_different(mirror):
    mirror = np.diag(mirror) if np.ndim(mirror) == 1 else np.array(mirror, float)
    rays = synthetic_rays(synthetic.load(None, "train", size=16, views=1), 0)
    origins, directions = np.float64(rays.origins), np.float64(rays.directions)
    seen, _ = synthetic.picture(origins, directions)
    other, _ = synthetic.picture(origins @ mirror, directions @ mirror)
    assert np.sqrt(np.mean((seen - other) ** 2)) > 0.1


@pytest.mark.parametrize("near, far", [(0, 1), (1, 0), (1, 2), (2, 1), (0, 2), (2, 0)])
def test_a_near_synthetic_ball_hides_a_far_one(near, far):
    """Through both centres: chords are diameters, the far ball is dimmed by the near one."""
    a, b = synthetic.CENTRES[[near, far]]
    direction = (b - a) / np.linalg.norm(b - a)
    colour, opacity = synthetic.picture(a - 2 * direction, direction)
    clear = np.exp(-2 * synthetic.RADII * synthetic.DENSITIES)
    expected = (1 - clear[near]) * synthetic.COLOURS[near]
    expected = expected + clear[near] * (1 - clear[far]) * synthetic.COLOURS[far]
    np.testing.assert_allclose(colour, expected, rtol=1e-9)
    np.testing.assert_allclose(opacity, 1 - clear[near] * clear[far], rtol=1e-9)


def test_synthetic_balls_are_disjoint_and_in_the_box():
    centres, radii = synthetic.CENTRES, synthetic.RADII
    for i, j in ((0, 1), (0, 2), (1, 2)):
        assert np.linalg.norm(centres[i] - centres[j]) > radii[i] + radii[j]
    assert np.all(np.abs(centres) + radii[:, None] < 1)


def test_synthetic_splits_differ_and_repeat():
    loaded = {split: synthetic.load(None, split, size=4) for split in ("train", "val", "test")}
    assert len({scene.digest() for scene in loaded.values()}) == 3
    assert len({json.dumps(scene.transform.to_json()) for scene in loaded.values()}) == 1
    assert synthetic.load(None, "train", size=4).digest() == loaded["train"].digest()
    assert synthetic.load(None, "train", size=4, seed=1).digest() != loaded["train"].digest()
    assert not loaded["train"].unbounded and loaded["train"].has_alpha


def test_the_synthetic_scene_is_built_by_a_config():
    section = {"name": "nerf.scenes.synthetic:load", "size": 4, "views": 3, "moved": False}
    scene = build(section, root=None, split="test", max_side=10, validation=True)
    assert len(scene) == 3 and scene.transform.to_json() == Similarity().to_json()
    check_scene(scene)
    assert "synthetic" not in scenes.all_formats()


# ---- real captures


def real(name: str) -> Path:
    path = DATASETS / name
    if not path.is_dir():
        pytest.skip(f"no {path}")
    return path


@pytest.mark.long
def test_fox_loads_without_its_missing_images():
    root = real("fox")
    train, test = (scenes.load(root, split, max_side=100) for split in ("train", "test"))
    assert (len(train), len(test)) == (43, 7) and train.unbounded
    assert "17 of 67" in train.notes[0] and {image.shape for image in train.images} == {(96, 54, 3)}
    poses = np.concatenate([train.cameras.c2w, test.cameras.c2w]).astype(float)
    np.testing.assert_allclose(focus_point(poses), 0, atol=1e-4)
    np.testing.assert_allclose(np.linalg.norm(poses[:, :, 3], axis=-1).max(), 1.0, atol=1e-6)
    assert poses[:, 2, 1].mean() > 0.9  # the photos are upright


@pytest.mark.long
@pytest.mark.parametrize("name", ["chair_200", "lego_200"])
def test_blender_captures_load(name):
    train, test = (scenes.load(real(name), split) for split in ("train", "test"))
    assert (len(train), len(test)) == (100, 25) and train.has_alpha and not train.unbounded
    assert {image.shape for image in train.images} == {(200, 200, 4)}
    np.testing.assert_allclose(focus_point(train.cameras.c2w.astype(float)), 0, atol=1e-4)
    corner = train.transform.points(np.array([1.5, 1.5, 1.5]))
    assert np.all(corner < 1.0) and np.all(corner > 0.9)  # these scenes lie in [-1.5, 1.5]^3
