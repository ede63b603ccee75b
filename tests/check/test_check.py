"""What is wrong with a scene is named, with its fix; what is right is left alone."""

import dataclasses
import itertools
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image
from scipy import ndimage
from scipy.spatial.transform import Rotation

from nerf.check import check, features, looks
from nerf.check.check import check_scene, load_all, quick_check
from nerf.check.contradictions import contradictions
from nerf.check.diagnostics import Diagnostic
from nerf.check.evidence import (
    MAX_ERROR,
    RayMatches,
    agreement,
    as_rays,
    match_pictures,
    reprojection_error,
)
from nerf.check.layout import lay_out, lens_diagnostics, place_diagnostics, up_diagnostics
from nerf.check.picture import make_figure
from nerf.scenes import SceneError
from tests.conftest import ROOT
from tests.support.unchecked import unchecked

TABLETOP = ROOT / "data" / "tabletop"
FLIP = np.diag([1.0, -1.0, -1.0, 1.0])


def write_copy(folder, edit=lambda frames: None, **keys):
    """Fifty views of the bundled scene, frames and keys of the file changed."""
    data = json.loads((TABLETOP / "transforms_train.json").read_text())
    data["frames"] = data["frames"][::2]
    for frame in data["frames"]:
        frame["transform_matrix"] = np.array(frame["transform_matrix"])
        target = folder / (frame["file_path"] + ".png")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(TABLETOP / (frame["file_path"] + ".png"), target)
    edit(data["frames"])
    for frame in data["frames"]:
        frame["transform_matrix"] = frame["transform_matrix"].tolist()
    (folder / "transforms_train.json").write_text(json.dumps({**data, **keys}))
    return folder


@unchecked()
def load_copy(folder, edit=lambda frames: None, **keys):
    """Load a copy without shape checks; `intact` is loaded with them."""
    return load_all(write_copy(folder, edit, **keys))


def each(change):
    """An edit that changes every matrix of a file by itself."""

    def edit(frames):
        for frame in frames:
            frame["transform_matrix"] = change(frame["transform_matrix"])

    return edit


def reordered(order):
    def edit(frames):
        matrices = [frame["transform_matrix"] for frame in frames]
        for frame, k in zip(frames, order(len(frames)), strict=True):
            frame["transform_matrix"] = matrices[k]

    return edit


@pytest.fixture(scope="module")
def intact(tmp_path_factory):
    return load_all(write_copy(tmp_path_factory.mktemp("intact")))


@pytest.fixture(scope="module")
def sightings(intact):
    """The pictures' matches, which no edit of the cameras changes."""
    return match_pictures(intact)


@pytest.fixture(scope="module")
def seen(intact, sightings):
    return as_rays(intact, sightings)


def nearest(scene, view, count):
    apart = np.linalg.norm(scene.cameras.position - scene.cameras.position[view], axis=-1)
    return np.argsort(apart)[:count].tolist()


def found(scene, seen):
    return [str(diagnostic) for diagnostic in contradictions(scene, lay_out(scene), seen)[0]]


@pytest.mark.long
def test_a_broken_list_of_test_views_is_reported_and_a_missing_one_is_not(tmp_path):
    assert len(load_copy(tmp_path)) == 50
    data = json.loads((tmp_path / "transforms_train.json").read_text())
    data["frames"] = [{**data["frames"][0], "transform_matrix": [[0.0]]}]
    (tmp_path / "transforms_test.json").write_text(json.dumps(data))
    with pytest.raises(SceneError, match="transforms_test.json"):
        load_all(tmp_path)


@pytest.mark.long
def test_a_list_of_test_views_without_their_images_is_no_problem(tmp_path):
    write_copy(tmp_path)
    data = json.loads((tmp_path / "transforms_train.json").read_text())
    data["frames"] = [{**data["frames"][0], "file_path": "elsewhere/r_0"}]
    (tmp_path / "transforms_test.json").write_text(json.dumps(data))
    assert len(load_all(tmp_path)) == 50


@pytest.mark.long
def test_the_bundled_scene_as_it_is_gives_no_finding(intact, seen):
    layout = lay_out(intact)
    assert layout.inward and layout.up[2] > 0.9
    assert found(intact, seen) == []
    cheap = [
        *lens_diagnostics(intact),
        *place_diagnostics(intact, layout),
        *up_diagnostics(intact, layout),
    ]
    assert [*cheap, *looks.copies(intact), *looks.blurred(intact)] == []
    fits = reprojection_error(seen, layout.c2w)[0] < MAX_ERROR
    assert list(looks.exposure_jumps(seen, fits, intact.names)) == []
    assert fits.mean() > 0.6 and quick_check(intact) == []


@pytest.mark.long
@pytest.mark.parametrize(
    "edit, says, fix",
    [
        (each(lambda m: m @ FLIP), "axes are OpenCV's", "negate its second and third column"),
        (each(np.linalg.inv), "world-to-camera", "invert every pose matrix"),
        (
            each(lambda m: np.linalg.inv(m @ FLIP)),
            "world-to-camera, and the cameras' axes are OpenCV's",
            "invert every",
        ),
        (
            each(lambda m: m @ np.diag([-1.0, -1.0, 1.0, 1.0])),
            "others than OpenGL's",
            "as (-x, -y, +z)",
        ),
        (reordered(lambda n: np.roll(range(n), 1)), "another order", "pose is listed 1 later"),
        (
            reordered(lambda n: np.random.default_rng(0).permutation(n)),
            "do not belong together",
            "estimate the poses again",
        ),
    ],
    ids=["opencv", "inverse", "opencv inverse", "turned", "shifted", "shuffled"],
)
def test_what_is_wrong_with_all_poses_is_told_with_the_edit_that_mends_it(
    tmp_path, seen, edit, says, fix
):
    scene = load_copy(tmp_path, edit)
    (only,) = found(scene, seen)
    assert says in only and fix in only


@pytest.mark.long
def test_images_and_poses_sorted_in_two_ways_are_told(intact, seen):
    """Names sorted differently by letters and by numbers: the pose of 2 went to 10, and so on."""
    names = [f"r_{i}" for i in range(len(intact))]
    by_letter = np.argsort(names, kind="stable")
    scene = dataclasses.replace(intact, names=names, cameras=intact.cameras[by_letter])
    (only,) = found(scene, seen)
    assert "sorted as 1, 10, 2: sort both the same way" in only


@pytest.mark.long
def test_inaccurate_poses_are_told_with_the_pixels_by_which_they_miss(tmp_path, seen):
    rng = np.random.default_rng(0)

    def shake(matrix):
        matrix = matrix.copy()
        matrix[:3, :3] = (
            matrix[:3, :3] @ Rotation.from_rotvec(rng.normal(size=3) * 0.02).as_matrix()
        )
        return matrix

    scene = load_copy(tmp_path, each(shake))
    (only,) = found(scene, seen)
    assert "poses or lenses are inaccurate" in only
    assert 2 < float(only.split("miss by ")[1].split(" pixels")[0]) < 16


@pytest.mark.long
@pytest.mark.parametrize("degrees", [3.0, 180.0])
def test_one_wrong_pose_among_fifty_is_named(tmp_path, seen, degrees):
    a = np.radians(degrees)
    turn = np.array(
        [[np.cos(a), -np.sin(a), 0, 0], [np.sin(a), np.cos(a), 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
    )

    def edit(frames):
        frames[20]["transform_matrix"] = turn @ frames[20]["transform_matrix"]

    scene = load_copy(tmp_path, edit)
    (only,) = found(scene, seen)
    assert only.startswith(f"{scene.names[20]}: wrong pose") and "remove the frame" in only


@pytest.mark.long
def test_two_exchanged_poses_are_named_with_whose_they_are(tmp_path, seen):
    scene = load_all(
        write_copy(
            tmp_path, reordered(lambda n: [*range(20), 30, *range(21, 30), 20, *range(31, n)])
        )
    )
    lines = found(scene, seen)
    assert len(lines) == 2
    for one, other in ((20, 30), (30, 20)):
        line = next(line for line in lines if line.startswith(scene.names[one]))
        assert f"that is the pose of {scene.names[other]}: exchange the two" in line


@pytest.mark.long
@pytest.mark.parametrize("factor", [0.5, 4.0])
def test_a_focal_length_of_another_image_size_is_told_with_the_factor(tmp_path, sightings, factor):
    angle = json.loads((TABLETOP / "transforms_train.json").read_text())["camera_angle_x"]
    scene = load_copy(tmp_path, fl_x=factor * 100 / np.tan(angle / 2))
    (only,) = found(scene, as_rays(scene, sightings))
    assert "focal length is that of" in only and "or give the size" in only
    said = float(only.split("multiply the focal length by ")[1].split(",")[0])
    assert abs(np.log(said * factor)) < 0.1


@pytest.mark.long
@pytest.mark.parametrize(
    "keys, says",
    [
        ({"fl_x": 500.0, "cx": 540.0, "cy": 540.0}, "the middle of 1080x1080 ones: give the size"),
        ({"fl_x": 400.0, "fl_y": 600.0}, "pixels are not square: focal lengths fx / fy = 0.667"),
        ({"fl_x": 3000.0}, "suits no ordinary lens: the longer side spans 3.8 degrees"),
    ],
)
def test_a_lens_that_suits_no_picture_of_this_size_is_told_from_its_numbers(tmp_path, keys, says):
    (only,) = map(str, lens_diagnostics(load_copy(tmp_path, **keys)))
    assert says in only


@pytest.mark.long
def test_cameras_far_away_or_in_one_place_or_upside_down_are_told(tmp_path):
    def far(frames):
        frames[7]["transform_matrix"][:3, 3] *= 30

    scene = load_copy(tmp_path / "far", far)
    (only,) = place_diagnostics(scene, lay_out(scene))
    assert only.views == (scene.names[7],)

    def same(frames):
        for frame in frames:
            frame["transform_matrix"][:3, 3] = 1.0

    scene = load_copy(tmp_path / "same", same)
    assert "in one place" in str(*place_diagnostics(scene, lay_out(scene)))
    sideways = each(
        lambda m: np.array([[0, 0, 1, 0], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1.0]]) @ m
    )
    scene = load_copy(tmp_path / "up", sideways)
    (only,) = map(str, up_diagnostics(scene, lay_out(scene)))
    assert "lean to +x of the file" in only and "turn all poses" in only


@pytest.mark.long
def test_copies_blur_and_exposure_are_told_with_their_views(intact):
    few = intact.select(range(12))
    images = [image.copy() for image in few.images]
    images[3] = images[2]
    images[5] = ndimage.gaussian_filter(images[5], (2.0, 2.0, 0.0))
    scene = dataclasses.replace(few, images=images)
    (copy,), (blur,) = list(looks.copies(scene)), list(looks.blurred(scene))
    assert copy.views == (few.names[2], few.names[3]) and "two poses" in copy.why
    assert blur.views == (few.names[5],)


@pytest.mark.long
def test_a_jump_of_exposure_is_told_with_its_size(intact):
    near = intact.select(nearest(intact, 20, 8))
    images = [image.copy() for image in near.images]
    images[0][..., :3] = np.rint(images[0][..., :3] * 0.6)
    scene = dataclasses.replace(near, images=images)
    seen = as_rays(scene, match_pictures(scene))
    fits = reprojection_error(seen, lay_out(scene).c2w)[0] < MAX_ERROR
    (only,) = looks.exposure_jumps(seen, fits, scene.names)
    assert only.views == (scene.names[0],) and "darker" in only.why
    assert abs(float(only.why.split(" times")[0].split()[-1]) - 1 / 0.6) < 0.15


@pytest.mark.long
def test_nothing_is_said_of_pictures_that_show_nothing(intact):
    """Without matches only what poses tell by themselves is said: all look away from one point."""
    few = intact.select(range(6))
    scene = dataclasses.replace(few, images=[np.full_like(image, 128) for image in few.images])
    report = check_scene(scene)
    assert report.diagnostics == [] and "too few to hold the cameras against" in report.facts[-1]
    flipped = scene.cameras.c2w.copy()
    flipped[:, :, 1:3] *= -1
    scene = dataclasses.replace(scene, cameras=dataclasses.replace(scene.cameras, c2w=flipped))
    assert "meet behind them" in "".join(map(str, check_scene(scene).diagnostics))


@pytest.mark.long
def test_a_glance_asks_the_pictures_where_cameras_look_odd(intact):
    scene = intact.select(nearest(intact, 20, 12))
    flipped = scene.cameras.c2w.copy()
    flipped[:, :, 1:3] *= -1
    (line,) = quick_check(
        dataclasses.replace(scene, cameras=dataclasses.replace(scene.cameras, c2w=flipped))
    )
    assert line.startswith("check: the cameras' axes are OpenCV's")


@pytest.mark.long
def test_a_glance_stays_short(intact):
    lines = quick_check(dataclasses.replace(intact, images=[intact.images[0]] * len(intact)))
    assert len(lines) == check.MAX_QUICK_LINES + 1 and "--check" in lines[-1]


@pytest.mark.long
def test_features_are_found_again_in_a_turned_scaled_and_brighter_picture():
    rng = np.random.default_rng(0)
    picture = ndimage.gaussian_filter(rng.uniform(size=(400, 400)), 2.0)
    picture = ((picture - picture.min()) / np.ptp(picture)).astype(np.float32)
    a, scale, centre = np.radians(35.0), 1.2, np.array([200.0, 200.0])
    turn = np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]]) / scale
    offset = centre - 0.5 - turn @ (centre - 0.5)
    other = np.clip(0.7 * ndimage.affine_transform(picture, turn, offset, order=1) + 0.1, 0, 1)
    first, second = features.find_features(picture), features.find_features(other)
    from nerf.check.matches import match

    pairs = match([first, second], [(0, 1)])
    x, y = first.points[pairs.features[:, 0]], second.points[pairs.features[:, 1]]
    # Rows are y: a picture's pixel at y comes from turn @ (row, column) of the first.
    source = ((y[:, ::-1] - centre) @ turn.T + centre)[:, ::-1]
    miss = np.linalg.norm(source - x, axis=-1)
    assert len(miss) > 60 and np.median(miss) < 0.5 and (miss < 2).mean() > 0.95
    moved = np.angle(
        np.exp(1j * (second.angles[pairs.features[:, 1]] - first.angles[pairs.features[:, 0]] + a))
    )
    assert (
        np.median(np.abs(moved)) < 0.1
        or np.median(np.abs(np.angle(np.exp(1j * (moved - 2 * a))))) < 0.1
    )


def test_a_blank_or_tiny_picture_has_no_features():
    for shape in ((200, 200), (5, 7), (1, 1)):
        assert len(features.find_features(np.full(shape, 0.5, np.float32)).points) == 0


def test_rays_to_known_points_agree_with_the_right_cameras_only(intact):
    """A hundred points, each seen by five views: all pairs of these are matches."""
    rng = np.random.default_rng(0)
    c2w = lay_out(intact).c2w
    points = rng.uniform(-1, 1, (100, 3))
    seers = [rng.choice(len(c2w), 5, replace=False) for _ in points]
    ends = [(p, i, j) for p, some in enumerate(seers) for i, j in itertools.combinations(some, 2)]
    which, views = np.array(ends)[:, 0], np.array(ends)[:, 1:]
    rays = np.einsum(
        "mkij,mki->mkj", c2w[views][..., :3], points[which][:, None] - c2w[views][..., 3]
    )
    rays /= np.linalg.norm(rays, axis=-1, keepdims=True)
    numbers = 100 * views + which[:, None]
    seen = RayMatches(
        views, numbers, rays, np.ones(views.shape), np.full(len(views), 277.0), len(c2w)
    )
    error, met = reprojection_error(seen, c2w)
    assert error.max() < 1e-3 and np.abs(met - points[which]).max() < 1e-5
    assert agreement(seen, c2w[::-1]) < 0.1 and agreement(seen, c2w, 3.0) < 0.4
    backwards = np.concatenate([c2w[..., :1], -c2w[..., 1:3], c2w[..., 3:]], -1)
    assert agreement(seen, backwards) == 0.0


@pytest.mark.parametrize("name", ["fox", "lego_200", "chair_200", "dino", "fern"])
@pytest.mark.slow
def test_real_scenes_give_no_finding(dataset, name):
    report = check_scene(load_all(dataset(name), max_side=640))
    assert report.diagnostics == []


@pytest.mark.slow
def test_a_depth_cameras_lens_given_for_its_colour_pictures_is_told(dataset, tmp_path):
    """The 585 pixels are the depth camera's; by the pictures, the colour camera has 1/8 less."""
    root = Path(shutil.copytree(dataset("redkitchen"), tmp_path / "kitchen"))
    shutil.copy(root / "camera-intrinsics.txt", root / "color-intrinsics.txt")
    (only,) = map(str, check_scene(load_all(root, max_side=640)).diagnostics)
    assert "the focal length is inaccurate" in only
    assert 0.85 < float(only.split("with the focal length times ")[1].split(":")[0]) < 0.95


@pytest.mark.long
def test_titles_labels_and_legend_of_the_picture_are_not_cut_off(intact):
    report = check.Report(
        [Diagnostic(intact.names[:1], "blurred", "", "")], [], lay_out(intact), np.zeros((0, 3))
    )
    figure = make_figure(intact, report)
    FigureCanvasAgg(figure).draw()
    legends = [*figure.legends, *(axis.get_legend() for axis in figure.axes if axis.get_legend())]
    assert legends
    for shown in (
        *(text for axis in figure.axes for text in (axis.title, axis.xaxis.label)),
        *legends,
    ):
        box = shown.get_window_extent()
        assert (
            box.x0 >= 0 and box.y0 >= 0 and box.x1 <= figure.bbox.x1 and box.y1 <= figure.bbox.y1
        ), shown


@pytest.mark.whole
def test_the_command_draws_a_picture_and_its_exit_code_tells(tmp_path):
    scene = write_copy(tmp_path / "scene", each(lambda m: m @ FLIP))
    data = json.loads((scene / "transforms_train.json").read_text())
    data["frames"].sort(
        key=lambda frame: np.linalg.norm(np.array(frame["transform_matrix"])[:3, 3] - [2, 2, 2.5])
    )
    data["frames"] = data["frames"][:16]
    (scene / "transforms_train.json").write_text(json.dumps(data))
    command = [
        sys.executable,
        "capture.py",
        f"--check={scene}",
        f"--out={tmp_path / 'picture.png'}",
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "FOUND the cameras' axes are OpenCV's" in done.stdout and "findings: 1;" in done.stdout
    assert min(Image.open(tmp_path / "picture.png").size) > 500
