"""COLMAP's models: what the files say is what the cameras do, whichever way they are written."""

import struct
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from nerf import scenes
from nerf.cameras.cameras import Cameras
from nerf.cameras.lenses import EQUIRECTANGULAR, FISHEYE, ORTHOGRAPHIC, PERSPECTIVE
from nerf.scenes import SceneError
from nerf.scenes.formats import colmap, colmap_lenses
from nerf.scenes.formats.colmap_model import PARAMETERS, Lens, Model, Photo, read_model, write_text
from tests.scenes.test_scenes import noise, refusal, refused_once, ring, save
from tests.support.compiled import to_pixels

W, H = 16, 12
SMALL = {
    "k1": 0.05,
    "k2": -0.02,
    "p1": 0.003,
    "p2": -0.002,
    "k3": 0.01,
    "k4": 0.02,
    "k5": -0.01,
    "k6": 0.004,
}
VALUES = {
    "f": 14.0,
    "fx": 14.0,
    "fy": 15.0,
    "cx": 8.5,
    "cy": 5.5,
    "sx1": 0.001,
    "sy1": -0.002,
    **SMALL,
}
OTHERS = (*colmap_lenses.REFUSED, *colmap_lenses.FITTED, "EQUIRECTANGULAR")
SUPPORTED = [name for name in PARAMETERS if name not in OTHERS]


def lens(kind: str, size=(W, H)) -> Lens:
    return Lens(
        kind, size, np.array([VALUES.get(word, 0.1) for word in PARAMETERS[kind][1].split()])
    )


def written(c2w: np.ndarray, name: str, number: int, xy=(), points=()) -> Photo:
    """An image whose camera is at an OpenGL pose; the quaternion is scipy's."""
    rotation = (c2w[:, :3] * [1, -1, -1]).T
    x, y, z, w = Rotation.from_matrix(rotation).as_quat()
    xy, points = np.array(xy, float).reshape(-1, 2), np.array(points, np.int64)
    return Photo(name, number, np.array([w, x, y, z]), -rotation @ c2w[:, 3], xy, points)


def make_model(kinds=("OPENCV",), count: int = 9, size=(W, H)) -> Model:
    """Cameras on a ring, points near its middle, and features of them at random."""
    rng = np.random.default_rng(0)
    ids = np.array([3, 7, 8, 40])
    lenses = {5 + i: lens(kind, size) for i, kind in enumerate(kinds)}
    photos = {}
    for i, pose in enumerate(ring(count)):
        seen = ids[rng.random(len(ids)) < 0.7].tolist() + [-1]
        photos[10 + i] = written(
            pose, f"{i:03d}.png", 5 + i % len(kinds), rng.random((len(seen), 2)), seen
        )
    return Model(
        lenses, photos, ids, rng.uniform(-0.3, 0.3, (4, 3)), rng.integers(0, 256, (4, 3), np.uint8)
    )


def write_binary(folder: Path, model: Model) -> None:
    """By the format's description."""
    folder.mkdir(parents=True, exist_ok=True)
    cameras = struct.pack("<Q", len(model.lenses))
    for number, a in model.lenses.items():
        cameras += (
            struct.pack("<iiQQ", number, PARAMETERS[a.kind][0], *a.size)
            + a.parameters.astype("<f8").tobytes()
        )
    images, tracks = (
        struct.pack("<Q", len(model.photos)),
        {number: [] for number in model.ids.tolist()},
    )
    for number, photo in model.photos.items():
        images += struct.pack("<i4d3di", number, *photo.quaternion, *photo.translation, photo.lens)
        images += photo.name.encode() + b"\0" + struct.pack("<Q", len(photo.points))
        for i, ((x, y), point) in enumerate(zip(photo.xy, photo.points.tolist(), strict=True)):
            images += struct.pack("<ddq", x, y, point)
            tracks.get(point, []).append((number, i))
    points = struct.pack("<Q", len(model.ids))
    for number, xyz, rgb in zip(model.ids.tolist(), model.xyz, model.rgb, strict=True):
        points += struct.pack("<Q3d3BdQ", number, *xyz, *rgb.tolist(), 0.5, len(tracks[number]))
        points += b"".join(struct.pack("<ii", *place) for place in tracks[number])
    for part, data in (("cameras", cameras), ("images", images), ("points3D", points)):
        (folder / f"{part}.bin").write_bytes(data)


WRITERS = {"text": write_text, "binary": write_binary}


def write_scene(
    root: Path, model: Model | None = None, where="sparse/0", write=write_text, sizes=None
) -> Path:
    model = model or make_model()
    write(root / where, model)
    for folder, size in (sizes or {"images": (W, H)}).items():
        for i, photo in enumerate(model.photos.values()):
            save(root / folder / photo.name, noise(*size, 3, seed=i))
    return root


def assert_same(a: Model, b: Model) -> None:
    assert list(a.lenses) == list(b.lenses) and list(a.photos) == list(b.photos)
    for mine, other in zip(a.lenses.values(), b.lenses.values(), strict=True):
        assert (mine.kind, mine.size) == (other.kind, other.size)
        np.testing.assert_array_equal(mine.parameters, other.parameters)
    for mine, other in zip(a.photos.values(), b.photos.values(), strict=True):
        assert (mine.name, mine.lens) == (other.name, other.lens)
        np.testing.assert_allclose(mine.quaternion, other.quaternion, atol=1e-15)
        for field in ("translation", "xy", "points"):
            np.testing.assert_array_equal(getattr(mine, field), getattr(other, field))
    for field in ("ids", "xyz", "rgb"):
        np.testing.assert_array_equal(getattr(a, field), getattr(b, field))


# ---- what is read


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize("kinds", [tuple(SUPPORTED), OTHERS])
def test_a_written_model_is_read_back(tmp_path, write, kinds):
    model = make_model(kinds, count=12)
    model.photos[10] = written(ring(1)[0], "a folder/with space .png", 5)  # without features
    WRITERS[write](tmp_path, model)
    assert_same(read_model(tmp_path), model)


@pytest.mark.parametrize("write", WRITERS)
def test_a_model_may_have_no_points(tmp_path, write):
    WRITERS[write](tmp_path, make_model())
    next(tmp_path.glob("points3D.*")).unlink()
    assert read_model(tmp_path).xyz.shape == (0, 3)


def reference(kind: str, given: dict[str, float], local: np.ndarray) -> np.ndarray:
    """Pixels of points in OpenCV camera axes, by COLMAP's formulas, one model after the other."""
    u, v = local[:, 0] / local[:, 2], local[:, 1] / local[:, 2]
    if "FISHEYE" in kind:
        r = np.hypot(u, v)
        u, v = (np.arctan(r) / r * x for x in (u, v))
    k = lambda name: given.get(name, 0.0)  # noqa: E731
    r2 = u * u + v * v
    if "FISHEYE" in kind:
        radial = k("k1") * r2 + k("k2") * r2**2 + k("k3") * r2**3 + k("k4") * r2**4
    else:
        above = 1 + k("k1") * r2 + k("k2") * r2**2 + k("k3") * r2**3
        radial = above / (1 + k("k4") * r2 + k("k5") * r2**2 + k("k6") * r2**3) - 1
    du = u * radial + 2 * k("p1") * u * v + k("p2") * (r2 + 2 * u * u) + k("sx1") * r2
    dv = v * radial + 2 * k("p2") * u * v + k("p1") * (r2 + 2 * v * v) + k("sy1") * r2
    fx, fy = (given["f"], given["f"]) if "f" in given else (given["fx"], given["fy"])
    return np.stack([fx * (u + du) + given["cx"], fy * (v + dv) + given["cy"]], -1)


@pytest.mark.parametrize("kind", SUPPORTED)
def test_a_point_is_seen_where_colmap_sees_it(tmp_path, kind):
    root = write_scene(tmp_path, make_model((kind,)))
    scene, model = scenes.load(root, "train"), read_model(root / "sparse/0")
    photos = {f"images/{photo.name}": photo for photo in model.photos.values()}
    given = dict(zip(PARAMETERS[kind][1].split(), lens(kind).parameters, strict=True))
    points = np.random.default_rng(1).uniform(-0.7, 0.7, (len(scene), 3))
    expected = []
    for name, point in zip(scene.names, points, strict=True):
        w, *v = photos[name].quaternion
        local = Rotation.from_quat([*v, w]).apply(point) + photos[name].translation
        expected.append(reference(kind, given, local[None])[0])
    normalised = jnp.asarray(scene.transform.points(points), jnp.float32)
    pixels, seen = to_pixels(scene.cameras, normalised)
    np.testing.assert_allclose(pixels, expected, atol=2e-4)
    assert bool(seen.all())


@pytest.mark.parametrize(
    "where", ["sparse/0", "sparse", "sparse/1", "colmap/sparse/0", "dense/sparse", "."]
)
@pytest.mark.parametrize("write", WRITERS)
def test_a_model_is_found_where_colmap_puts_it(tmp_path, where, write):
    root = write_scene(tmp_path, where=where, write=WRITERS[write])
    scene = scenes.load(root, "test")
    assert scene.names == ["images/000.png", "images/008.png"] and scene.unbounded
    np.testing.assert_array_equal(scene.images[0], noise(W, H, 3, seed=0))


def test_points_are_in_the_scene_s_world(tmp_path):
    model = make_model()
    scene = scenes.load(write_scene(tmp_path, model), "train")
    assert scene.points.dtype == np.float32
    np.testing.assert_allclose(
        scene.transform.points_back(scene.points.astype(float)), model.xyz, atol=1e-6
    )
    np.testing.assert_array_equal(scene.point_colours, model.rgb)


@pytest.mark.parametrize("max_side, size", [(16, (16, 12)), (8, (8, 6)), (5, (4, 3)), (2, (2, 1))])
def test_the_folder_is_chosen_that_needs_least_reduction(tmp_path, max_side, size):
    sizes = {"images": (16, 12), "images_2": (8, 6), "images_4": (4, 3)}
    scene = scenes.load(write_scene(tmp_path, sizes=sizes), "train", max_side=max_side)
    assert scene.images[0].shape == (size[1], size[0], 3)
    folder = {16: "images", 8: "images_2"}.get(max_side, "images_4")
    assert scene.names[0].startswith(f"{folder}/")
    scale = W // size[0]  # the last row of 4x3 pixels halved is cropped
    expected = lens("OPENCV").parameters[:4] / scale
    np.testing.assert_allclose(scene.cameras.K[0][[0, 1, 0, 1], [0, 1, 2, 2]], expected, rtol=1e-6)


def test_x_and_y_follow_the_image_apart(tmp_path):
    """155 pixels halved are 77 or 78: the axes are scaled by different numbers, each by its own."""
    model = make_model(("PINHOLE",), size=(155, 101))
    scene = scenes.load(write_scene(tmp_path, model, sizes={"images_2": (78, 50)}), "train")
    np.testing.assert_allclose(
        scene.cameras.K[0, 0], np.array([14.0, 0, 8.5]) * 78 / 155, rtol=1e-6
    )
    np.testing.assert_allclose(
        scene.cameras.K[0, 1], np.array([0, 15.0, 5.5]) * 50 / 101, rtol=1e-6
    )


def test_masks_beside_the_images_are_the_scene_s(tmp_path):
    root = write_scene(tmp_path, sizes={"images_2": (8, 6)})
    for i in range(9):
        save(
            root / "masks_2" / f"{i:03d}.png.png",
            np.where(np.arange(6)[:, None] > i % 3, 255, 0).repeat(8, 1).astype(np.uint8),
        )
    scene = scenes.load(root, "train")
    assert scene.unbounded and len(scene.maps["mask"]) == 7
    np.testing.assert_array_equal(scene.maps["mask"][0], np.arange(6)[:, None].repeat(8, 1) > 1)


def test_missing_images_are_left_out_with_a_note(tmp_path):
    root = write_scene(tmp_path)
    (root / "images/003.png").unlink()
    assert "1 of 9" in scenes.load(root, "train").notes[0]
    for i in range(3):
        (root / f"images/{i:03d}.png").unlink()
    with pytest.raises(SceneError) as caught:
        scenes.load(root, "train")
    assert len(caught.value.problems) == 4


def test_a_panorama_s_points_are_in_reach(tmp_path):
    """Cameras look outwards from nearly one place.

    Points stay between 0.1 and 8 of the normalised world.
    """
    rng = np.random.default_rng(0)
    model = make_model()
    outward = [np.concatenate([p[:, :3] * [-1, 1, -1], 1e-3 * p[:, 3:]], -1) for p in ring(9)]
    photos = {
        10 + i: written(p, f"{i:03d}.png", 5, rng.random((40, 2)), range(40))
        for i, p in enumerate(outward)
    }
    far = rng.normal(size=(40, 3))
    far *= rng.uniform(3, 9, (40, 1)) / np.linalg.norm(far, axis=-1, keepdims=True)
    model = Model(model.lenses, photos, np.arange(40), far, np.zeros((40, 3), np.uint8))
    scene = scenes.load(write_scene(tmp_path, model), "train")
    distance = np.linalg.norm(scene.points - scene.cameras.position[:, None], axis=-1)
    assert distance.min() >= 0.2 and np.median(distance) == pytest.approx(4.0, rel=1e-2)


# Rays of pycolmap 4.2.1's `cam_ray_from_img` through PIXELS of images of 640x480 (640x320 for the
# panorama).
PIXELS = [[20.0, 30.0], [600.0, 100.0], [330.0, 470.0], [322.0, 238.5], [5.0, 475.0]]
RAYS = {
    ("SIMPLE_DIVISION", (500, 320, 240, -0.15)): [
        [-0.510392738, -0.357274916, 0.782210897],
        [0.495389531, -0.247694765, 0.832608261],
        [0.018654872, 0.429062058, 0.903082358],
        [0.003999965, -0.002999974, 0.9999875],
        [-0.524809112, 0.391524258, 0.755833415],
    ],
    ("DIVISION", (500, 510, 322, 238, -0.25)): [
        [-0.533197736, -0.36003483, 0.765555416],
        [0.507489811, -0.246979806, 0.825502918],
        [0.015212047, 0.43249938, 0.901505896],
        [0.0, 0.000980392, 0.999999519],
        [-0.549166472, 0.402525063, 0.732386346],
    ],
    ("SIMPLE_FISHEYE", (300, 320, 240)): [
        [-0.769524561, -0.538667193, 0.343030035],
        [0.772937058, -0.386468529, 0.50320014],
        [0.030156719, 0.693604544, 0.719724467],
        [0.00666659, -0.004999942, 0.999965278],
        [-0.774421422, 0.577742966, 0.257845935],
    ],
    ("FISHEYE", (300, 310, 322, 238)): [
        [-0.778467049, -0.518867164, 0.353222197],
        [0.771849253, -0.370788571, 0.516492562],
        [0.024243208, 0.680373905, 0.732464071],
        [0.0, 0.001612903, 0.999998699],
        [-0.781567473, 0.56547723, 0.263415617],
    ],
    ("EUCM", (400, 410, 322, 238, 0.6, 1.1)): [
        [-0.65316469, -0.438889535, 0.617050942],
        [0.626556155, -0.303438321, 0.71788061],
        [0.018925806, 0.535461842, 0.844347339],
        [0.0, 0.001219512, 0.999999256],
        [-0.669167736, 0.488090339, 0.560341291],
    ],
    ("FOV", (400, 410, 322, 238, 0.9)): [
        [-0.61575516, -0.413752458, 0.670562813],
        [0.588020305, -0.284775582, 0.757056793],
        [0.01768587, 0.500380716, 0.865624832],
        [0.0, 0.001136062, 0.999999355],
        [-0.632702054, 0.461492304, 0.621862496],
    ],
}


def pixels_of(lens: Lens, rays) -> tuple[np.ndarray, np.ndarray]:
    """Where a lens of COLMAP sees rays with OpenCV axes, and whether it does."""
    K, size, model, distortion = colmap_lenses.camera_of(lens)
    n = len(rays)
    sizes, models = np.tile(np.int32(size), (n, 1)), np.full(n, model, np.int32)
    cameras = Cameras(
        np.tile(np.eye(3, 4), (n, 1, 1)),
        np.tile(K, (n, 1, 1)),
        np.tile(distortion, (n, 1)),
        sizes,
        models,
    )
    points = jnp.asarray(np.array(rays) * [1, -1, -1], jnp.float32)
    pixels, seen = to_pixels(cameras, points)
    return np.asarray(pixels), np.asarray(seen)


@pytest.mark.parametrize("kind, parameters", RAYS)
def test_colmap_s_newer_lenses_see_what_pycolmap_sees(kind, parameters):
    pixels, seen = pixels_of(
        Lens(kind, (640, 480), np.array(parameters, float)), RAYS[kind, parameters]
    )
    np.testing.assert_allclose(pixels, PIXELS, atol=2e-3)
    assert seen.all()


def test_the_focal_length_of_fov_is_that_on_its_axis():
    fov = Lens("FOV", (640, 480), np.array([400.0, 410.0, 322.0, 238.0, 0.9]))
    expected = np.array([400.0, 410.0]) * 2 * np.tan(0.45) / 0.9
    np.testing.assert_allclose(np.diag(colmap_lenses.camera_of(fov)[0])[:2], expected, rtol=1e-9)


def test_colmap_s_panorama_sees_what_pycolmap_sees():
    rays = [
        [-0.056631731, -0.956940336, -0.284706939],
        [0.318189645, -0.555570233, -0.768177757],
        [-1.0, 0.0, 0.0],
    ]
    pixels, _ = pixels_of(Lens("EQUIRECTANGULAR", (640, 320), np.array([640.0, 320.0])), rays)
    np.testing.assert_allclose(pixels, [[20.0, 30.0], [600.0, 100.0], [160.0, 160.0]], atol=1e-3)


@pytest.mark.long
def test_a_division_lens_that_sees_more_than_half_the_sphere_becomes_a_fisheye():
    """tan(theta) = r / (1 + k r^2) beyond 90 degrees, where no perspective lens reaches."""
    f, k, r = 160.0, -0.2, np.linspace(0.05, 2.4, 20)
    theta = np.arctan2(r, 1 + k * r * r)
    rays = np.stack([np.sin(theta), np.zeros(20), np.cos(theta)], -1)
    wide = Lens("SIMPLE_DIVISION", (640, 480), np.array([f, 240.0, 240.0, k]))
    assert theta[-1] > np.pi / 2 and colmap_lenses.camera_of(wide)[2] == FISHEYE
    np.testing.assert_allclose(pixels_of(wide, rays)[0][:, 0], 240 + f * r, atol=0.05)


@pytest.mark.parametrize(
    "kind, parameters",
    [
        ("SIMPLE_DIVISION", (20, 320, 240, -5)),
        ("FOV", (100, 100, 320, 240, 1.5)),
        ("EUCM", (9, 9, 320, 240, 0.9, 40)),
    ],
)
def test_a_lens_that_cannot_be_represented_is_refused_by_name(kind, parameters):
    with pytest.raises(ValueError, match=f"camera model {kind} is bent too strongly"):
        colmap_lenses.camera_of(Lens(kind, (640, 480), np.array(parameters, float)))


# ---- which model, which images, which masks


def half(w=W, h=H, right=True) -> np.ndarray:
    """A mask of which one half is seen."""
    seen = (np.arange(w) >= w // 2) == right
    return np.where(seen, 255, 0).astype(np.uint8)[None].repeat(h, 0)


def some_photos(model: Model, numbers) -> Model:
    return Model(
        model.lenses, {n: model.photos[n] for n in numbers}, model.ids, model.xyz, model.rgb
    )


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize("where", ["sparse", "colmap/sparse"])
def test_the_model_with_most_images_is_read_and_the_others_are_named(tmp_path, write, where):
    whole = make_model(count=17)
    write_scene(tmp_path, some_photos(whole, range(10, 13)), f"{where}/0", WRITERS[write])
    write_scene(tmp_path, some_photos(whole, range(13, 27)), f"{where}/1", WRITERS[write])
    scene = scenes.load(tmp_path, "train")
    assert len(scene) == 12 and scene.notes[0].startswith(
        f"{where}/1: the model with the most images (14)"
    )
    assert f"{where}/0 (3 images)" in scene.notes[0]
    assert "3 of 17 photos in images have no pose" in scene.notes[1]


def test_of_models_numbered_beyond_nine_the_first_of_equals_is_read(tmp_path):
    for number in (10, 2):
        write_scene(tmp_path, make_model(), f"sparse/{number}")
    assert scenes.load(tmp_path, "train").notes[0].startswith("sparse/2: ")


def test_a_distorted_model_goes_with_the_images_of_input(tmp_path):
    root = write_scene(
        tmp_path, where="distorted/sparse/0", sizes={"input": (W, H), "images": (W, H)}
    )
    assert scenes.load(root, "test").names == ["input/000.png", "input/008.png"]
    write_scene(tmp_path, where="sparse/0")
    assert scenes.load(root, "test").names == ["images/000.png", "images/008.png"]


def in_two_folders(root: Path) -> Path:
    """A model of nine photos of equal names in two folders."""
    model = make_model()
    photos = {
        number: written(pose, f"cam_{'ab'[i % 2]}/{i // 2:04d}.jpg", 5)
        for i, (number, pose) in enumerate(zip(model.photos, ring(9), strict=True))
    }
    return write_scene(root, Model(model.lenses, photos, model.ids, model.xyz, model.rgb))


@pytest.mark.parametrize("ending", [".jpg.png", ".png", ".JPG", "_mask.png"])
def test_masks_in_subfolders_belong_to_the_images_of_the_same_subfolder(tmp_path, ending):
    root = in_two_folders(tmp_path)
    for path in (root / "images").rglob("*.jpg"):
        name = path.relative_to(root / "images").with_suffix("").as_posix()
        save(root / "masks" / f"{name}{ending.lower()}", half(right=name.startswith("cam_a")))
        (root / "masks" / f"{name}{ending.lower()}").rename(root / "masks" / f"{name}{ending}")
    scene = scenes.load(root, "train")
    for name, mask in zip(scene.names, scene.maps["mask"], strict=True):
        right = "cam_a" in name
        assert mask[:, 10:].all() == right and mask[:, :6].all() != right


def test_one_mask_for_two_photos_is_refused(tmp_path):
    root = in_two_folders(tmp_path)
    for i in range(5):
        save(root / "masks" / f"{i:04d}.png", half())
    lines = refusal(root)
    assert len(lines) == 4 and all(
        "2 images" in line and "subfolders of masks" in line for line in lines
    )


def test_masks_of_full_size_go_with_smaller_images(tmp_path):
    root = write_scene(tmp_path, sizes={"images": (16, 12), "images_4": (4, 3)})
    for i in range(9):
        save(root / "masks" / f"{i:03d}.png", half())
    scene = scenes.load(root, "train", max_side=4)
    assert scene.names[0].startswith("images_4/")
    np.testing.assert_array_equal(scene.maps["mask"][0], np.array([[False, False, True, True]] * 3))


def test_a_photo_without_a_mask_counts_everywhere_as_in_colmap(tmp_path):
    root = write_scene(tmp_path)
    for i in range(8):
        save(root / "masks" / f"{i:03d}.png.png", half())
    scene = scenes.load(root, "test")
    assert not scene.maps["mask"][0].all() and scene.maps["mask"][1].all()
    assert "1 of 9 images have no mask" in "".join(scene.notes)


def test_masks_of_no_image_s_name_are_refused_once(tmp_path):
    root = write_scene(tmp_path)
    save(root / "masks/other.png", half())
    refused_once(root, "masks: no mask has the name of an image")


def test_an_image_of_one_line_is_refused_with_the_rule(tmp_path):
    root = write_scene(tmp_path)
    path = root / "sparse/0/images.txt"
    path.write_text("".join(line + "\n" for line in path.read_text().splitlines()[::2]))
    refused_once(root, "images.txt: line 2: ", "two lines for each image", "may be empty")


# ---- what is refused


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize("kind", colmap_lenses.REFUSED)
def test_a_lens_without_a_closed_formula_is_refused_by_name(tmp_path, kind, write):
    refused_once(
        write_scene(tmp_path, make_model((kind,)), write=WRITERS[write]), kind, "not supported"
    )


def damage(root: Path, part: str, change) -> Path:
    path = root / "sparse/0" / part
    path.write_bytes(change(path.read_bytes()))
    return root


BINARY_FAULTS = {
    "cut short": ("images.bin", lambda data: data[:-9], "ends too early"),
    "cut within a name": ("images.bin", lambda data: data[: 8 + 64 + 3], "too short"),
    "endless": ("points3D.bin", lambda data: b"\xff" * 8 + data[8:], "too short"),
    "endless features": (
        "images.bin",
        lambda data: data[:80] + b"\xff" * 7 + data[87:],
        "ends too early",
    ),
    "unknown lens": (
        "cameras.bin",
        lambda data: data[:12] + b"\x63" + data[13:],
        "camera model 99",
    ),
    "empty": ("cameras.bin", lambda data: b"", "ends too early"),
    "no image": ("images.bin", lambda data: bytes(8), "no image"),
    "no rotation": ("images.bin", lambda data: data[:12] + bytes(32) + data[44:], "no pose"),
    "infinite point": (
        "points3D.bin",
        lambda data: data[:16] + struct.pack("<d", np.inf) + data[24:],
        "not finite",
    ),
    "nan focal": (
        "cameras.bin",
        lambda data: data[:32] + struct.pack("<d", np.nan) + data[40:],
        "not finite",
    ),
    "other camera": ("cameras.bin", lambda data: data[:8] + b"\x63" + data[9:], "no camera 5"),
    "other shape": ("cameras.bin", lambda data: data[:16] + b"\x63" + data[17:], "99x12"),
}


@pytest.mark.parametrize("fault", BINARY_FAULTS)
def test_damaged_binary_models_are_refused(tmp_path, fault):
    part, change, reason = BINARY_FAULTS[fault]
    root = damage(write_scene(tmp_path, make_model(count=2), write=write_binary), part, change)
    with pytest.raises(SceneError, match=reason):
        scenes.load(root, "train")


TEXT_FAULTS = {
    "a word too few": ("cameras.txt", b" 8.5", b"", "parameters"),
    "no number": ("cameras.txt", b"8.5", b"wide", "line 1"),
    "unknown lens": ("cameras.txt", b"OPENCV", b"CUBE", "CUBE"),
    "short line": ("images.txt", b" 000.png", b"", "line 1: 9 words"),
    "odd features": ("images.txt", b" -1\n", b"\n", "line 2"),
    "endless number": ("points3D.txt", b"3 ", b"3" * 40 + b" ", "64 bits"),
    "outside": ("images.txt", b"000.png", b"../../x.png", "outside"),
}


@pytest.mark.parametrize("fault", TEXT_FAULTS)
def test_damaged_text_models_are_refused(tmp_path, fault):
    part, old, new, reason = TEXT_FAULTS[fault]
    root = damage(
        write_scene(tmp_path, make_model(count=2)), part, lambda data: data.replace(old, new, 1)
    )
    with pytest.raises(SceneError, match=reason):
        scenes.load(root, "train")


# ---- cameras written as a model


def mixed_cameras() -> Cameras:
    rng = np.random.default_rng(2)
    distortion = rng.normal(0, 1e-2, (4, 8))
    distortion[0] = 0.0
    K = np.array([[14.0, 0, 8.5], [0, 15.0, 5.5], [0, 0, 1]])
    model = np.array([PERSPECTIVE, PERSPECTIVE, FISHEYE, FISHEYE], np.int32)
    size = np.tile(np.int32([W, H]), (4, 1))
    return Cameras(np.stack(ring(4)), np.tile(K, (4, 1, 1)), distortion, size, model)


def test_cameras_written_as_a_model_are_read_back(tmp_path):
    cameras, names = mixed_cameras(), [f"{i}.png" for i in range(4)]
    write_text(tmp_path, colmap.to_model(cameras, names))
    model = read_model(tmp_path)
    assert [lens.kind for lens in model.lenses.values()] == [
        "PINHOLE",
        "FULL_OPENCV",
        *["THIN_PRISM_FISHEYE"] * 2,
    ]
    for i, photo in enumerate(model.photos.values()):
        K, size, kind, distortion = colmap_lenses.camera_of(model.lenses[photo.lens])
        np.testing.assert_allclose(colmap.pose_of(photo), cameras.c2w[i], atol=1e-12)
        np.testing.assert_array_equal(K, cameras.K[i])
        np.testing.assert_array_equal(distortion, cameras.distortion[i])
        assert kind == cameras.model[i] and size == (W, H) and photo.name == names[i]


def test_a_panorama_is_written_as_colmap_s_own(tmp_path):
    cameras = mixed_cameras()
    size, K = (
        np.tile(np.int32([32, 16]), (4, 1)),
        np.array([[16 / np.pi, 0, 16.0], [0, 16 / np.pi, 8.0], [0, 0, 1]]),
    )
    model = np.full(4, EQUIRECTANGULAR, np.int32)
    cameras = Cameras(cameras.c2w, np.tile(K, (4, 1, 1)), np.zeros((4, 8)), size, model)
    write_text(tmp_path, colmap.to_model(cameras, ["a", "b", "c", "d"]))
    lens = read_model(tmp_path).lenses[1]
    assert (tmp_path / "cameras.txt").read_text().startswith("1 EQUIRECTANGULAR 32 16 32.0 16.0\n")
    back, _, kind, _ = colmap_lenses.camera_of(lens)
    np.testing.assert_allclose(back, K)
    assert kind == EQUIRECTANGULAR


def test_a_lens_that_colmap_lacks_is_refused():
    cameras = mixed_cameras()
    cameras = Cameras(
        cameras.c2w, cameras.K, cameras.distortion, cameras.size, np.full(4, ORTHOGRAPHIC, np.int32)
    )
    with pytest.raises(SceneError, match="no orthographic lens"):
        colmap.to_model(cameras, ["a", "b", "c", "d"])


@pytest.mark.parametrize("seed", range(5))
def test_any_rotation_has_its_quaternion(seed):
    x, y, z, w = quaternion = (
        Rotation.random(random_state=seed).as_quat() if seed else np.array([0.6, 0.0, -0.8, 0.0])
    )
    found = colmap._quaternion(Rotation.from_quat(quaternion).as_matrix())
    np.testing.assert_allclose(abs(found @ [w, x, y, z]), 1.0, atol=1e-12)


# ---- a real model


@pytest.mark.long
def test_a_real_model_s_points_fall_on_their_features(dataset):
    """1457 points that COLMAP found in nine photos.

    A mirrored axis or a half pixel too much is seen at once.
    """
    root = dataset("fox9_colmap")
    model = read_model(root / "sparse/0")
    photos = {f"images/{photo.name}": photo for photo in model.photos.values()}
    places = {number: place for place, number in enumerate(model.ids.tolist())}
    views, errors = 0, []
    for split in ("train", "test"):
        scene = scenes.load(root, split, max_side=2000)
        views += len(scene)
        seen = [
            (view, places[number], xy)
            for view, name in enumerate(scene.names)
            for number, xy in zip(photos[name].points.tolist(), photos[name].xy, strict=True)
            if number >= 0
        ]
        view, place, features = (np.array(column) for column in zip(*seen, strict=True))
        pixels, _ = to_pixels(scene.cameras[view], jnp.asarray(scene.points[place], jnp.float32))
        errors.append(pixels - features)
    offsets = np.concatenate(errors)
    assert views == 9 and len(scene.points) == 1457
    assert np.median(np.linalg.norm(offsets, axis=-1)) < 2.0
    np.testing.assert_allclose(
        offsets.mean(0), 0, atol=0.05
    )  # half a pixel at one end would be one here
