"""True distances and normals that lie beside the images of a scene."""

import numpy as np
import pytest

from nerf.cameras.cameras import Cameras, intrinsics
from nerf.cameras.lenses import COEFFICIENTS
from nerf.scenes import SceneError, load
from nerf.scenes.decode import Header
from nerf.scenes.frames import Frame, ReducedFrame
from nerf.scenes.maps import read_distance, read_normals
from tests.support.small_scenes import write_small_tabletop

TURN = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])  # of the normalised world


def reduced_frame(path, factor):
    """A frame of 4x4 pixels whose normalised world is the file's, turned and half as large."""
    c2w, K = np.eye(3, 4), intrinsics(5.0, 5.0, 2.0, 2.0)
    frame = Frame("a", path, Header((4, 4), False, np.uint8), c2w, K, np.zeros(COEFFICIENTS))
    side = 4 // factor
    camera = Cameras(
        (TURN @ c2w).astype(np.float32), K, np.zeros(COEFFICIENTS), np.array([side, side])
    )
    return ReducedFrame(frame, factor, camera, 0.5)


@pytest.mark.parametrize("factor", [1, 2])
def test_distances_and_normals_are_those_of_the_normalised_world(tmp_path, factor):
    distance = np.arange(16.0).reshape(4, 4).astype(np.float32)
    normals = np.zeros((4, 4, 3), np.float16)
    normals[:, :, 0], normals[3, 3] = 1.0, 0.0
    np.savez(tmp_path / "a.npz", depth=distance, normals=normals)
    reduced = reduced_frame(tmp_path / "a.npz", factor)
    kept = slice(factor - 1, None, factor)  # the nearest stored pixel, not a mean
    np.testing.assert_allclose(
        read_distance(tmp_path / "a.npz", reduced), 0.5 * distance[kept, kept]
    )
    turned = read_normals(tmp_path / "a.npz", reduced)
    np.testing.assert_allclose(turned[0, 0], [0.0, 1.0, 0.0], atol=1e-6)
    assert not turned[-1, -1].any()


def test_truth_lies_beside_the_images_and_a_damaged_file_is_named(tmp_path):
    root = write_small_tabletop(tmp_path / "scene", size=8)
    assert not load(root, "test").maps
    image = next(iter(sorted((root / "test").glob("*.png"))))
    for folder, name, channels in (("depth", "depth", ()), ("normals", "normals", (3,))):
        (root / folder / "test").mkdir(parents=True)
        array = np.ones((8, 8, *channels), np.float32)
        np.savez(root / folder / "test" / f"{image.stem}.npz", **{name: array})
    maps = load(root, "test").maps
    assert [float(x.max() > 0) for x in maps["depth"]] == [1.0, 0.0]
    assert [x.shape for x in maps["normals"]] == [(8, 8, 3)] * 2
    assert not load(root, "train").maps
    np.savez(root / "depth" / "test" / f"{image.stem}.npz", depth=np.full((8, 8), np.nan))
    with pytest.raises(SceneError) as caught:
        load(root, "test")
    (problem,) = caught.value.problems
    assert problem.file == f"depth/test/{image.stem}.npz" and "not finite" in problem.reason
