"""Label files beside the images: found, read at the size of the images, and named."""

import json
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from nerf.cameras.cameras import Cameras, intrinsics
from nerf.cameras.lenses import COEFFICIENTS
from nerf.foundation.instantiate import ConfigError
from nerf.losses.labels import LabelError
from nerf.scenes import SceneError, load
from nerf.scenes.base import LabelClass
from nerf.scenes.colour import ImageError
from nerf.scenes.decode import Header
from nerf.scenes.frames import Frame, ReducedFrame
from nerf.scenes.labels import read_instances, read_labels, with_labels, write_labels
from nerf.scenes.palette import Palette, colour_of, read_palette, union
from nerf.scenes.splits import join
from nerf.training.supervision import check_supervision
from tests.support.small_scenes import write_small_tabletop

RED, BLUE = (200, 20, 20), (10, 30, 220)
CUP, TIN = LabelClass(1, "cup", RED), LabelClass(7, "tin", BLUE)
TWO = Palette("labels.json", (CUP, TIN), frozenset([9]), coloured=True)
STORED = np.array([[1, 1, 7, 9], [1, 7, 7, 9], [1, 1, 1, 1], [7, 7, 7, 7]], np.uint8)
KNOWN = np.array([[2, 2, 8, 0], [2, 8, 8, 0], [2, 2, 2, 2], [8, 8, 8, 8]])


def reduced_frame(factor=1, palette=TWO, size=(4, 4)):
    frame = Frame(
        "a",
        Path("a"),
        Header(size, False, np.uint8),
        np.eye(3, 4),
        # Labels are those of the image, wherever the camera that measured depth looks.
        intrinsics(5.0, 5.0, 2.0, 2.0),
        np.zeros(COEFFICIENTS),
        depth_K=intrinsics(9.0, 9.0, 1.0, 3.0),
        palette=palette,
    )
    side = np.array([n // factor for n in size])
    camera = Cameras(np.eye(3, 4), frame.K, np.zeros(COEFFICIENTS), side)
    return ReducedFrame(frame, factor, camera, 1.0)


def files_of(folder):
    """Write the same labels in every way that is read."""
    colours = np.zeros((4, 4, 3), np.uint8)
    colours[STORED == 1], colours[STORED == 7] = RED, BLUE
    grey = Image.fromarray(STORED)
    paletted = Image.fromarray(STORED, "P")
    paletted.putpalette(list(range(256)) * 3)
    pictures = {
        "grey": grey,
        "paletted": paletted,
        "deep": Image.fromarray(STORED.astype(np.uint16)),
        "transparent": Image.merge("LA", [grey, grey]),
    }
    for name, picture in pictures.items():
        picture.save(folder / f"{name}.png")
        yield folder / f"{name}.png"
    np.save(folder / "array.npy", STORED.astype(np.int64))
    yield folder / "array.npy"


def test_labels_are_read_from_every_kind_of_file(tmp_path):
    for path in files_of(tmp_path):
        np.testing.assert_array_equal(read_labels(path, reduced_frame()), KNOWN)
        # The nearest stored number, as a mean of numbers would be another class.
        np.testing.assert_array_equal(read_labels(path, reduced_frame(2)), KNOWN[1::2, 1::2])
    larger = read_labels(tmp_path / "grey.png", reduced_frame(size=(8, 8)))
    np.testing.assert_array_equal(larger, KNOWN.repeat(2, 0).repeat(2, 1))
    # Single objects have no names and ignore nothing.
    instances = read_instances(tmp_path / "grey.png", reduced_frame())
    np.testing.assert_array_equal(instances, STORED + 1)


def test_unknown_pixels_of_every_program(tmp_path):
    known = Palette("labels.json", (CUP,))
    clear = np.zeros((4, 4, 4), np.uint8)
    clear[:2] = (1, 1, 1, 255)  # grey saved in colour, and nothing painted below
    Image.fromarray(clear).save(tmp_path / "a.png")
    wanted = np.repeat([[2], [2], [0], [0]], 4, 1)
    np.testing.assert_array_equal(
        read_labels(tmp_path / "a.png", reduced_frame(palette=known)), wanted
    )
    np.save(tmp_path / "a.npy", np.where(wanted == 2, 1, -1).astype(np.int8))
    np.testing.assert_array_equal(
        read_labels(tmp_path / "a.npy", reduced_frame(palette=known)), wanted
    )
    for folder, zero in (("label-filt", 0), ("labels", 1)):
        (tmp_path / folder).mkdir()
        file = tmp_path / folder / "a.png"
        Image.fromarray(np.where(wanted == 2, 1163, 0).astype(np.uint16)).save(file)
        found = read_labels(file, reduced_frame(palette=None))
        np.testing.assert_array_equal(found, np.where(wanted == 2, 1164, zero))


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_the_largest_number_of_a_file_is_a_class(tmp_path, bits):
    path, largest = tmp_path / "a.png", 2**bits - 1
    picture = Image.fromarray(np.array([[0, 255]], np.uint8))
    path.write_bytes(grey_png(np.array([[0, 1]]), bits) if bits < 8 else b"")
    if bits == 8:
        picture.save(path)
    found = read_labels(path, reduced_frame(palette=None, size=(2, 1)))
    np.testing.assert_array_equal(found, [[1, 256 if bits == 8 else 2]])
    assert largest in (1, 3, 15, 255)


def grey_png(numbers, bits):
    """A grey PNG of few bits, which Pillow does not write."""

    def chunk(kind, data):
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    h, w = numbers.shape
    header = struct.pack(">IIBBBBB", w, h, bits, 0, 0, 0, 0)
    rows = b""
    for row in numbers:
        text = "".join(format(int(n), f"0{bits}b") for n in row)
        rows += b"\0" + int(text.ljust(-(-len(text) // 8) * 8, "0"), 2).to_bytes(
            -(-len(text) // 8), "big"
        )
    data = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + data


def test_colours_are_those_of_the_classes(tmp_path):
    colours = np.where(KNOWN[..., None] == 8, BLUE, RED).astype(np.uint8)
    Image.fromarray(colours).save(tmp_path / "a.png")
    np.testing.assert_array_equal(
        read_labels(tmp_path / "a.png", reduced_frame()), np.where(KNOWN == 8, 8, 2)
    )
    for palette, reason in (
        (None, "a picture in colour, and no file says"),
        (TWO._replace(classes=TWO.classes[:1]), "1 colour, as 10,30,220, of no class in labels"),
        (TWO._replace(classes=(*TWO.classes, LabelClass(3, "c", RED))), "have one colour"),
    ):
        with pytest.raises(ImageError, match=reason):
            read_labels(tmp_path / "a.png", reduced_frame(palette=palette))


@pytest.mark.parametrize(
    "name, array, reason",
    [
        ("a.png", np.full((4, 4), 5), r"1 number \(5\) without a class in labels.json"),
        ("a.png", np.full((4, 2), 1), "2x4, the image is 4x4"),
        ("a.jpg", np.full((4, 4), 1), "lossy"),
        ("a.npy", np.full((4, 4), -2), "number -2"),
        ("a.npy", np.full((4, 4), 70000), "number 70000"),
        ("a.npy", np.full((4, 4), 1.0), "type float64"),
        ("a.npy", np.full((4, 4, 2), 1), r"shape \(4, 4, 2\)"),
    ],
)
def test_labels_that_do_not_fit_are_refused(tmp_path, name, array, reason):
    path = tmp_path / name
    np.save(path, array) if path.suffix == ".npy" else Image.fromarray(array.astype(np.uint8)).save(
        path
    )
    with pytest.raises(ImageError, match=reason):
        read_labels(path, reduced_frame())


@given(st.lists(st.integers(0, 300), min_size=4, max_size=4), st.booleans())
def test_written_labels_are_read_again(tmp_path_factory, numbers, unknown):
    path = tmp_path_factory.mktemp("labels") / "a.png"
    labels = np.array([n + 1 for n in numbers], np.uint16).reshape(2, 2)
    labels[0, 0] = 0 if unknown else labels[0, 0]
    classes = [LabelClass(n, str(n), colour_of(n)) for n in sorted(set(numbers))]
    write_labels(path, labels, classes)
    largest = 255 if Image.open(path).mode == "P" else 65535
    palette = Palette("labels.json", tuple(classes), frozenset([largest]))
    frame = reduced_frame(palette=palette, size=(2, 2))
    np.testing.assert_array_equal(read_labels(path, frame), labels)


@pytest.mark.parametrize(
    "image, label",
    [
        ("train/r_0.png", "labels/train/r_0.png"),
        ("images/a/0.jpg", "semantics/a/0.png"),
        ("color/0.jpg", "label-filt/0.png"),
        ("rgb/rgb_12.png", "semantic_class/semantic_class_12.png"),
        ("0.jpg", "labels/0.npy"),
    ],
)
def test_the_label_file_of_an_image_is_found(tmp_path, image, label):
    for file in (image, label):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).touch()
    frame = reduced_frame(palette=None).frame
    object.__setattr__(frame, "path", tmp_path / image)
    (found,), notes = with_labels([frame], tmp_path)
    assert found.labels == tmp_path / label
    assert found.instances is None and found.palette == Palette("", ()) and not notes


def add_labels(root, names=None):
    """Write the labels of the small tabletop scene, in which a class is a column of pixels."""
    labels = np.tile(np.arange(8, dtype=np.uint8) // 2, (8, 1))
    for image in sorted(root.glob("t*/*.png")):
        file = root / "labels" / image.relative_to(root)
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(labels).save(file)
    if names is not None:
        (root / "labels.json").write_text(json.dumps(names))
    return root


def test_a_scene_has_its_labels_and_classes(tmp_path):
    root = write_small_tabletop(tmp_path / "scene", size=8)
    plain = load(root, "train")
    assert "labels" not in plain.maps and not plain.classes
    add_labels(root)
    unnamed = load(root, "train")
    assert [each.number for each in unnamed.classes] == [0, 1, 2, 3]
    assert unnamed.classes[2].name == "class 2"
    np.testing.assert_array_equal(unnamed.maps["labels"][5][3], [1, 1, 2, 2, 3, 3, 4, 4])
    add_labels(root, {"0": "table", "1": "cup", "2": "tin", "3": "fog", "ignore": 3})
    named = load(root, "test")
    assert [each.name for each in named.classes] == ["table", "cup", "tin"]
    np.testing.assert_array_equal(named.maps["labels"][0][3], [1, 1, 2, 2, 3, 3, 0, 0])
    assert len({scene.digest() for scene in (plain, unnamed, load(root, "train"))}) == 3
    assert named.select([1]).classes == named.classes


def test_labels_that_cannot_be_read_do_not_stop_those_who_learn_colours(tmp_path):
    root = add_labels(write_small_tabletop(tmp_path / "scene", size=8), {"0": "a", "1": "b"})
    (root / "labels" / "train" / "r_003.png").write_bytes(b"")
    scene = load(root, "train")
    (note,) = scene.notes
    assert note.startswith(
        "labels: 34 files are not read: labels/train/r_000.png: 2 numbers (2, 3)"
    )
    with pytest.raises(ConfigError, match="nothing is known in any of its pixels"):
        check_supervision({"labels": LabelError()}, scene)
    (root / "labels.json").write_text("{")
    scene = load(root, "train")
    assert "labels" not in scene.maps and scene.notes[0].startswith("labels: not read: labels.json")
    (root / "labels.json").unlink()
    scene = load(root, "train")
    (note,) = scene.notes
    assert note.startswith("labels: 1 file is not read: labels/train/r_003.png: cannot be decoded")
    assert [bool(x.any()) for x in scene.maps["labels"]] == [True, False, *[True] * 32]


def test_numbers_that_are_no_classes_are_refused(tmp_path):
    root = add_labels(write_small_tabletop(tmp_path / "scene", size=40))
    many = np.arange(1600, dtype=np.uint16).reshape(40, 40)
    Image.fromarray(many).save(root / "labels" / "train" / "r_000.png")
    scene = load(root, "train")
    assert "labels" not in scene.maps and not scene.classes
    assert scene.notes[-1].startswith("labels: not read: 1600 different numbers are no classes")


def test_a_file_that_fits_several_images_is_given_to_none(tmp_path):
    root = write_small_tabletop(tmp_path / "scene", size=8)
    (root / "labels").mkdir()
    for image in (root / "train").iterdir():
        Image.fromarray(np.ones((8, 8), np.uint8)).save(root / "labels" / image.name)
    scene = load(root, "test")
    assert "labels" not in scene.maps
    assert scene.notes[0].endswith("use their folders too, as labels/test/r_000.png")
    # Others have a name of their own.
    train = load(root, "train")
    assert [bool(x.any()) for x in train.maps["labels"]][:2] == [False, True]


def test_classes_of_all_views_are_trained_together(tmp_path):
    root = add_labels(write_small_tabletop(tmp_path / "scene", size=8))
    for file in (root / "labels" / "test").iterdir():
        Image.fromarray(np.full((8, 8), 9, np.uint8)).save(file)
    both = join(load(root, "train"), load(root, "test"))
    assert [each.number for each in both.classes] == [0, 1, 2, 3, 9]
    named = [LabelClass(1, "cup", RED), LabelClass(2, "tin", BLUE)]
    other = [LabelClass(0, "fog", RED), LabelClass(2, "can", RED)]
    assert [each.name for each in union(named, other)] == ["fog", "cup", "tin"]


def test_views_without_labels_are_counted(tmp_path):
    root = add_labels(write_small_tabletop(tmp_path / "scene", size=8))
    files = sorted((root / "labels" / "train").iterdir())
    for file in files[2:]:
        file.unlink()
    scene = load(root, "train")
    assert "labels: 2 of 34 views have a file in labels" in scene.notes
    assert [bool(x.any()) for x in scene.maps["labels"]] == [True] * 2 + [False] * 32
    for file in files[:2]:
        file.rename(file.with_name(f"other_{file.name}"))
    scene = load(root, "train")
    assert "labels" not in scene.maps
    (note,) = [note for note in scene.notes if note.startswith("labels")]
    assert note.endswith("no file in labels has the name of an image, as labels/train/r_000.png")


def test_a_loss_of_labels_needs_some(tmp_path):
    root = write_small_tabletop(tmp_path / "scene", size=8)
    losses = {"labels": LabelError()}
    with pytest.raises(ConfigError, match="needs the map 'labels', and the scene has no maps"):
        check_supervision(losses, load(root, "train"))
    add_labels(root, {"0": "a", "ignore": [0, 1, 2, 3]})
    with pytest.raises(ConfigError, match="'labels', and nothing is known in any of its pixels"):
        check_supervision(losses, load(root, "train"))


def test_a_frame_names_its_labels(tmp_path):
    root = tmp_path / "scene"
    (root / "images").mkdir(parents=True)
    frames = []
    for i in range(4):
        Image.new("RGB", (4, 4), (9 * i, 0, 0)).save(root / "images" / f"{i}.png")
        Image.fromarray(STORED + i).save(root / f"class{i}.png")
        pose = np.eye(4)
        pose[0, 3] = i
        frames.append(
            {
                "file_path": f"images/{i}.png",
                "transform_matrix": pose.tolist(),
                "semantics_path": f"class{i}.png",
                "instances_path": f"class{3 - i}.png",
            }
        )
    lens = {"fl_x": 5.0, "fl_y": 5.0, "cx": 2.0, "cy": 2.0, "w": 4, "h": 4}
    (root / "transforms.json").write_text(json.dumps({**lens, "frames": frames}))
    scene = load(root, "train")
    assert not [note for note in scene.notes if "semantics" in note]
    for name, labels, instances in zip(
        scene.names, scene.maps["labels"], scene.maps["instances"], strict=True
    ):
        i = int(name[-5])
        np.testing.assert_array_equal(labels, STORED + i + 1)
        np.testing.assert_array_equal(instances, STORED + 3 - i + 1)
    frames[2]["semantics_path"] = "nowhere.png"
    (root / "transforms.json").write_text(json.dumps({**lens, "frames": frames}))
    with pytest.raises(SceneError, match=r"frames\[2\].semantics_path: nowhere.png: no such file"):
        load(root, "train")


def test_other_programs_files_name_classes(tmp_path):
    panoptic = {"thing": ["chair", "cup"], "thing_colors": [[1, 2, 3]], "stuff": ["wall"]}
    (tmp_path / "panoptic_classes.json").write_text(json.dumps(panoptic))
    classes = read_palette(tmp_path).classes
    assert [(each.number, each.name) for each in classes] == [(0, "chair"), (1, "cup"), (2, "wall")]
    assert classes[0].colour == (1, 2, 3)
    (tmp_path / "panoptic_classes.json").unlink()
    replica = {"classes": [{"id": 5, "name": "book", "instances": []}, {"id": 2, "name": "bin"}]}
    replica["classes"].append({"id": -1, "name": "undefined"})
    (tmp_path / "info_semantic.json").write_text(json.dumps(replica))
    palette = read_palette(tmp_path)
    assert [each.name for each in palette.classes] == ["bin", "book"] and palette.ignored == {0}
    (tmp_path / "labels.json").write_text(json.dumps({"classes": ["floor", "wall"], "thing": 5}))
    assert [each.name for each in read_palette(tmp_path).classes] == ["floor", "wall"]


def test_all_problems_of_a_palette_are_told_at_once(tmp_path):
    wrong = {
        "classes": [
            {"id": 1, "name": "cup"},
            {"id": 1, "name": "cup"},
            {"id": "2", "name": "tin"},
            {"id": 3, "name": ""},
            {"id": 4, "name": "bin", "colour": [1, 2, 256]},
            5,
        ],
        "ignore": [9, "none"],
    }
    (tmp_path / "labels.json").write_text(json.dumps(wrong))
    with pytest.raises(SceneError) as caught:
        read_palette(tmp_path)
    keys = [problem.key for problem in caught.value.problems]
    assert keys == ["ignore", "classes[2]", "classes[3]", "classes[4]", "classes[5]", "", ""]
    for text, reason in (("{", "not JSON"), ("{}", "names no classes"), ("[1]", "no classes")):
        (tmp_path / "labels.json").write_text(text)
        with pytest.raises(SceneError, match=reason):
            read_palette(tmp_path)
