"""Stand-ins for the cameras and datasets that nerfbaselines passes to a method."""

import dataclasses
import json

import imageio.v3 as imageio
import numpy as np

from tests.cameras.test_cameras import random_rotation


@dataclasses.dataclass
class StandIn:
    """The attributes of cameras of nerfbaselines; of one camera, arrays have no leading axis."""

    poses: np.ndarray
    intrinsics: np.ndarray
    camera_models: np.ndarray
    distortion_parameters: np.ndarray
    image_sizes: np.ndarray

    def __len__(self):
        return len(self.poses)

    def __getitem__(self, index):
        arrays = (getattr(self, field.name)[index] for field in dataclasses.fields(self))
        return StandIn(*arrays)

    def item(self):
        return self


def opencv_pixels(cameras, points):
    """Project points by the equations of OpenCV's calibration module, in plain numpy."""
    rotation, centre = cameras.poses[:, :, :3], cameras.poses[:, :, 3]
    x, y, z = np.einsum("nji,nj->in", rotation, points - centre)
    x, y = x / z, y / z
    r = np.hypot(x, y)
    bent_x, bent_y = x.copy(), y.copy()
    for i, (model, d) in enumerate(
        zip(cameras.camera_models, cameras.distortion_parameters, strict=True)
    ):
        k1, k2, p1, p2, k3, k4, k5, k6 = d
        if model == 2:
            theta = np.arctan(r[i])
            bent = theta * (1 + k1 * theta**2 + k2 * theta**4 + k3 * theta**6 + k4 * theta**8)
            bent_x[i], bent_y[i] = x[i] * bent / r[i], y[i] * bent / r[i]
        elif model in (1, 3):
            if model == 1:
                k3 = k4 = k5 = k6 = 0.0
            radial = 1 + k1 * r[i] ** 2 + k2 * r[i] ** 4 + k3 * r[i] ** 6
            radial /= 1 + k4 * r[i] ** 2 + k5 * r[i] ** 4 + k6 * r[i] ** 6
            cross = 2 * x[i] * y[i]
            bent_x[i] = x[i] * radial + p1 * cross + p2 * (r[i] ** 2 + 2 * x[i] ** 2)
            bent_y[i] = y[i] * radial + p2 * cross + p1 * (r[i] ** 2 + 2 * y[i] ** 2)
    fx, fy, cx, cy = cameras.intrinsics.T
    return np.stack([fx * bent_x + cx, fy * bent_y + cy], -1)


def some_cameras(seed=0):
    """Return five cameras of each model, and a point in the wide view of each."""
    rng = np.random.default_rng(seed)
    models = np.repeat(np.arange(4, dtype=np.int32), 5)
    count = len(models)
    rotation = np.stack([random_rotation(rng) for _ in models])
    centre = rng.normal(size=(count, 3))
    cameras = StandIn(
        poses=np.concatenate([rotation, centre[..., None]], -1),
        intrinsics=np.array([[90.0, 80.0, 47.0, 33.0]] * count),
        camera_models=models,
        distortion_parameters=rng.uniform(-0.1, 0.1, (count, 8)),
        image_sizes=np.array([[100, 70]] * count, np.int32),
    )
    ahead = np.concatenate([rng.uniform(-0.5, 0.5, (count, 2)), np.ones((count, 1))], -1)
    ahead *= rng.uniform(1.0, 3.0, (count, 1))
    return cameras, np.einsum("nij,nj->ni", rotation, ahead) + centre


def stand_in_dataset(folder, size, split="train"):
    """Return a split of a scene in Blender's format, with photos of `size` pixels a side."""
    record = json.loads((folder / f"transforms_{split}.json").read_text())
    names = [f"{frame['file_path']}.png" for frame in record["frames"]]
    opengl = np.array([frame["transform_matrix"] for frame in record["frames"]])
    focal = 0.5 * size / np.tan(0.5 * record["camera_angle_x"])
    count = len(names)
    cameras = StandIn(
        poses=opengl[:, :3] * [1.0, -1.0, -1.0, 1.0],
        intrinsics=np.array([[focal, focal, size / 2, size / 2]] * count),
        camera_models=np.zeros(count, np.int32),
        distortion_parameters=np.zeros((count, 0)),
        image_sizes=np.full((count, 2), size, np.int32),
    )
    return {
        "cameras": cameras,
        "images": [imageio.imread(folder / name) for name in names],
        "image_paths": [str(folder / name) for name in names],
        "image_paths_root": str(folder),
        "masks": None,
        "points3D_xyz": None,
        "metadata": {"color_space": "srgb", "background_color": np.full(3, 255, np.uint8)},
    }
