"""Read camera paths of nerfstudio's viewer and instant-ngp, and write nerfstudio's.

nerfstudio: {"camera_type", "render_width", "render_height", "camera_path": [{"camera_to_world": 16
numbers by rows, "fov": vertical degrees}, ...], "fps", "crop"}; every entry is one frame. The poses
are in nerfstudio's own world. It is the world of `transforms.json` only if the model was trained
with `--orientation-method none --center-method none --auto-scale-poses False`. For any other model,
`dataparser_transforms.json` in its output folder gives the transform between the two worlds.

instant-ngp: {"path": [{"R": quaternion x y z w, "T": position, "fov": vertical degrees}, ...],
"loop", "duration_seconds"}, OpenCV axes, in a world whose axes are y z x of `transforms.json`,
scaled by 0.33 and moved by 0.5. The camera here passes through the poses; instant-ngp's spline only
passes near them.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from nerf.cameras.cameras import Cameras
from nerf.cameras.lenses import EQUIRECTANGULAR, FISHEYE, PERSPECTIVE
from nerf.foundation.files import write_json
from nerf.paths.keyframe_reader import Crop, Keyframes, PathError, Reader
from nerf.scenes.base import Similarity
from nerf.scenes.formats.lens_keys import number

DATAPARSER = "dataparser_transforms.json"
LENS_NAMES = {"perspective": PERSPECTIVE, "fisheye": FISHEYE, "equirectangular": EQUIRECTANGULAR}
# Keys that the viewer stores for its own editor; the entries of camera_path are computed from them.
VIEWER_KEYS = (
    "keyframes",
    "seconds",
    "smoothness_value",
    "is_cycle",
    "default_fov",
    "default_transition_sec",
)
# nerfstudio's viewer wants a field of view in every entry, even where the lens has none.
EQUIRECTANGULAR_FOV = 90.0  # degrees
NGP_SCALE, NGP_OFFSET = 0.33, 0.5  # instant-ngp's defaults if transforms.json does not set them
NGP_FPS = 30.0
NGP_AXES = np.array(
    [[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]
)  # x y z of the file -> y z x


# nerfstudio


def read_nerfstudio(data: Mapping[str, Any], read: Reader, world: Similarity) -> Keyframes:
    """Read a camera path of nerfstudio's viewer.

    Args:
      data: the content of its file.
      read: collects problems and notes.
      world: the transform from the scene's file world to nerfstudio's, see `nerfstudio_world`.

    Returns:
      The keyframes, with poses in the scene's file world.
    """
    entries = read.entries(data, "camera_path")
    read.unused(
        data,
        (
            "camera_type",
            "camera_path",
            "render_width",
            "render_height",
            "fps",
            "crop",
            *VIEWER_KEYS,
        ),
    )
    for where, entry in entries.items():
        read.unused(entry, ("camera_to_world", "fov", "aspect", "render_time"), where)
    if any("render_time" in entry for entry in entries.values()):
        read.note("render_time", "not used: the scene does not change with time")
    kind = data.get("camera_type", "perspective")
    lens = LENS_NAMES.get(kind.lower()) if isinstance(kind, str) else None
    if lens is None:
        known = ", ".join(LENS_NAMES)
        read.report(
            "camera_type", f"{json.dumps(kind)} is not supported", f"export it as one of: {known}"
        )
    fps = read.number(data, "fps", 0.0, 1000.0) or 24.0
    wide, high = (read.number(data, key, 0.0, 1e5) for key in ("render_width", "render_height"))
    aspect = read.column(entries, "aspect", 0.0, 1e4)
    c2w = world.poses_back(read.poses(entries, "camera_to_world"))
    return Keyframes(
        c2w,
        len(entries),
        fps,
        fov=None if lens == EQUIRECTANGULAR else read.column(entries, "fov", 0.0, 180.0),
        times=np.arange(len(entries)) / fps,
        size=(max(round(wide), 1), max(round(high), 1)) if wide and high else None,
        aspect=None if aspect is None else float(aspect[0]),
        lens=PERSPECTIVE if lens is None else lens,
        crop=_crop(data.get("crop"), read, world),
    )


def _crop(crop: Any, read: Reader, world: Similarity) -> Crop | None:
    """Read the crop box of a camera path; `world` as in `read_nerfstudio`."""
    if crop is None:
        return None
    if not isinstance(crop, Mapping):
        read.report("crop", "not an object", "write {...}, or remove it")
        return None
    read.unused(crop, ("crop_center", "crop_scale", "crop_rot", "crop_bg_color"), "crop.")
    centre = read.vector(crop, "crop_center", 3, "crop.")
    size = read.vector(crop, "crop_scale", 3, "crop.")
    if (size <= 0).any():
        read.report("crop.crop_scale", "not above zero", "give the box's three sides")
    # Roll, pitch and yaw, in radians, are rotations about x, y and z, applied in this order.
    rotation = Rotation.from_euler(
        "xyz", read.vector(crop, "crop_rot", 3, "crop.", (0.0, 0.0, 0.0))
    ).as_matrix()
    colour = crop.get("crop_bg_color", {"r": 0, "g": 0, "b": 0})
    if not isinstance(colour, Mapping):
        read.report("crop.crop_bg_color", "not an object", 'write {"r": 0, "g": 0, "b": 0}')
        colour = {}
    rgb = [read.number(colour, key, -1.0, 256.0, "crop.crop_bg_color.") or 0.0 for key in "rgb"]
    # The box is given in nerfstudio's world: map file world -> nerfstudio's world -> box axes.
    to_box = Similarity(
        world.scale, rotation.T @ world.rotation, rotation.T @ (world.shift - centre)
    )
    sides = (float(size[0]), float(size[1]), float(size[2]))
    return Crop(to_box, sides, (rgb[0] / 255.0, rgb[1] / 255.0, rgb[2] / 255.0))


def nerfstudio_world(
    file: Path, scene_root: str | os.PathLike[str] | None, read: Reader
) -> Similarity:
    """Read the transform from the scene's file world to nerfstudio's world.

    nerfstudio computes scale * (transform @ pose) for a pose of `transforms.json`. Its stored
    `transform` also contains the scene's `applied_transform`. Our poses include that already, so it
    is divided out.

    Args:
      file: dataparser_transforms.json.
      scene_root: the folder of the scene, which has the `applied_transform`; None if unknown.
      read: collects problems and notes.

    Returns:
      The transform; the identity if the file cannot be read, which is reported to `read`.
    """
    data = _json_object(file, read)
    if data is None:
        return Similarity()
    matrix = read.pose(data.get("transform"), "transform")
    scale = read.number(data, "scale", 0.0, 1e12) or 1.0
    scene, about_scene = _scene_file(scene_root)
    if "applied_transform" in scene:
        applied = about_scene.pose(scene["applied_transform"], "applied_transform")
        # transform = matrix @ inverse(applied_transform)
        rotation = matrix[:, :3] @ applied[:, :3].T
        matrix = np.concatenate([rotation, (matrix[:, 3] - rotation @ applied[:, 3])[:, None]], -1)
    scale /= about_scene.number(scene, "applied_scale", 0.0, 1e12) or 1.0
    read.merge(about_scene)
    return Similarity(scale, matrix[:, :3], scale * matrix[:, 3])


def _json_object(file: Path, read: Reader) -> Mapping[str, Any] | None:
    """Return the content of nerfstudio's file; report a problem and return None if it is wrong."""
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        read.report(
            "", error.strerror or str(error), f"give the {DATAPARSER} of nerfstudio's output folder"
        )
        return None
    except (ValueError, RecursionError) as error:
        read.report(
            "", f"not valid JSON ({error})", "copy it again from nerfstudio's output folder"
        )
        return None
    if not isinstance(data, dict) or "transform" not in data:
        read.report(
            "", "no transform in it", f"give the {DATAPARSER} of nerfstudio's output folder"
        )
        return None
    return data


def _scene_file(root: str | os.PathLike[str] | None) -> tuple[Mapping[str, Any], Reader]:
    """Return the content of the scene's transforms.json, empty if unreadable, and its reader."""
    file = Path(root or "", "transforms.json")
    if str(root).lower().endswith(".json"):
        file = Path(str(root))
    try:
        data = {} if root is None else json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        data = {}
    return data if isinstance(data, dict) else {}, Reader(str(file))


def save_nerfstudio(
    file: str | os.PathLike[str],
    cameras: Cameras,
    transform: Similarity,
    fps: float,
    scene_root: str | os.PathLike[str] | None = None,
) -> list[str]:
    """Write a camera path for nerfstudio's viewer and its Blender add-on.

    Every camera becomes one frame. The poses are in the scene's file world, or in the world of a
    nerfstudio model if its dataparser_transforms.json is beside the file. `read_keyframes` follows
    the same rule, so that it returns the same cameras.

    Args:
      file: the file to write.
      cameras: the cameras of all frames, normalised world; of one size and one lens.
      transform: from the scene's file world to the normalised world.
      fps: frames per second.
      scene_root: folder of the scene, see `nerfstudio_world`.

    Returns:
      Notes for the user.

    Raises:
      PathError: the dataparser_transforms.json beside the file is wrong.
    """
    beside = Path(file).with_name(DATAPARSER)
    about = Reader(str(beside))
    world = nerfstudio_world(beside, scene_root, about) if beside.exists() else Similarity()
    if about.problems:
        raise PathError(about.problems)
    write_json(Path(file), _viewer_data(cameras, world, transform, fps))
    if beside.exists():
        return [*about.notes, f"{file}: poses are in the world of the model of {beside}"]
    return []


def _viewer_data(
    cameras: Cameras, world: Similarity, transform: Similarity, fps: float
) -> dict[str, Any]:
    """Return the content of nerfstudio's file.

    Args:
      cameras: the cameras of all frames, normalised world.
      world: the transform from the scene's file world to nerfstudio's.
      transform: from the scene's file world to the normalised world.
      fps: frames per second.
    """
    poses = world.poses(transform.poses_back(np.asarray(cameras.c2w, np.float64)))
    # The matrices are 4x4, by rows.
    matrices = [[*pose.ravel().tolist(), 0.0, 0.0, 0.0, 1.0] for pose in poses]
    width, height = (int(side) for side in cameras.size[0])
    lens = int(cameras.model[0])
    fov = 2 * np.degrees(np.arctan(0.5 * height / np.asarray(cameras.K, np.float64)[:, 1, 1]))
    if lens == EQUIRECTANGULAR:
        fov = np.full(len(poses), EQUIRECTANGULAR_FOV)
    views = [{"fov": float(angle), "aspect": width / height} for angle in fov]
    entries = list(zip(matrices, views, strict=True))
    return {
        "camera_type": next(name for name, known in LENS_NAMES.items() if known == lens),
        "render_width": width,
        "render_height": height,
        "fps": fps,
        "seconds": len(poses) / fps,
        "is_cycle": False,
        "smoothness_value": 0.0,
        "default_fov": float(fov[0]),
        # The viewer computes frames from the keyframes; these are as far apart as the frames.
        "default_transition_sec": 1.0 / fps,
        "keyframes": [{"matrix": matrix, **view} for matrix, view in entries],
        "camera_path": [{"camera_to_world": matrix, **view} for matrix, view in entries],
    }


# instant-ngp


def read_instant_ngp(data: Mapping[str, Any], read: Reader) -> Keyframes:
    """Read a camera path that instant-ngp saved (base_cam.json).

    Args:
      data: the content of its file.
      read: collects problems and notes.
    """
    entries = read.entries(data, "path")
    read.unused(data, ("path", "loop", "time", "duration_seconds", "spline_order"))
    own = (
        "R",
        "T",
        "fov",
        "slice",
        "scale",
        "aperture_size",
        "dof",
        "glow_mode",
        "glow_y_cutoff",
        "timestamp",
    )
    for where, entry in entries.items():
        read.unused(entry, own, where)
        for key in ("aperture_size", "dof", "glow_mode"):
            if entry.get(key) and number(entry[key]) != 0.0:
                read.note(key, "not used: videos have no depth of field and no glow")
    if entries:
        scaled = f"scaled by {NGP_SCALE} and moved by {NGP_OFFSET}"
        read.note(
            "path",
            f"read as in instant-ngp's world, {scaled} as for a transforms.json that sets neither",
        )
    quaternions = np.stack([read.vector(entry, "R", 4, where) for where, entry in entries.items()])
    positions = np.stack([read.vector(entry, "T", 3, where) for where, entry in entries.items()])
    if (short := np.linalg.norm(quaternions, axis=-1) < 1e-6).any():
        read.report("R", "a quaternion of length zero", "write x, y, z, w of a rotation")
        quaternions = np.where(short[:, None], [0.0, 0.0, 0.0, 1.0], quaternions)
    rotations = Rotation.from_quat(quaternions).as_matrix() * [
        1.0,
        -1.0,
        -1.0,
    ]  # OpenCV axes to OpenGL ones
    to_ngp = Similarity(NGP_SCALE, NGP_AXES, np.full(3, NGP_OFFSET))
    c2w = to_ngp.poses_back(np.concatenate([rotations, positions[..., None]], -1))
    # Older files have no duration; newer files have 0 if it was never set.
    seconds = read.number(data, "duration_seconds", -1e-9, 1e6) or 2.0 * len(entries)
    frames = 1 if len(entries) == 1 else max(round(NGP_FPS * seconds), 1)
    fov = read.column(entries, "fov", 0.0, 180.0)
    return Keyframes(c2w, frames, NGP_FPS, fov, loop=read.flag(data, "loop"))
