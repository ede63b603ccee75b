"""Choose and make the camera path of a video."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from nerf.cameras.cameras import Cameras
from nerf.cameras.lenses import EQUIRECTANGULAR
from nerf.foundation.instantiate import ConfigError, parameters_of
from nerf.paths.coverage import RenderView, unknown_frames, usual_distance
from nerf.paths.keyframe_reader import Crop, Keyframes, PathError
from nerf.paths.keyframes import is_path_file, read_keyframes
from nerf.paths.path_options import parse_path, parse_range
from nerf.paths.paths import DEFAULT_FPS, make_path, usual_path
from nerf.paths.video_cameras import all_around
from nerf.rendering.images import make_render_image
from nerf.runs.read import Run
from nerf.scenes.base import Problem

# The reason for a path that the program chose, for its note.
REASONS = {"follow": "along the photos", "orbit": "around what the photos show"}
FLAGS = (  # flags of nerf render that users may mistake for options of a path
    "frames",
    "width",
    "height",
    "focal",
    "fov",
)  # of nerf render, which are no options of a path


@dataclasses.dataclass(frozen=True)
class VideoPlan:
    """A video to be rendered.

    Attributes:
      cameras: the cameras of all frames of the path.
      numbers: numbers of the frames to render.
      fps: frames per second.
      crop: the box to show, or None for the complete scene.
      notes: lines for the user.
    """

    cameras: Cameras
    numbers: Sequence[int]
    fps: float
    crop: Crop | None
    notes: Sequence[str]


def plan(
    run: Run,
    path: str | None,
    frames: int | None = None,
    only: str | None = None,
    shape: Mapping[str, Any] | None = None,
    plugins: tuple[str, ...] = (),
    one_picture: bool = False,
) -> VideoPlan:
    """Choose and make the camera path of a video.

    Args:
      run: the trained run.
      path: the value of --path; None chooses a path that suits the capture.
      frames: number of frames of the path; default: as `make_path`.
      only: the value of --range.
      shape: width, height, focal and fov of the pictures; or with `equirectangular` they show all
        around, see `nerf.paths.video_cameras.all_around`.
      plugins: packages outside `nerf` that may contain the path.
      one_picture: whether the output is a single picture.

    Raises:
      PathError: for a wrong path file or a wrong option of a path.
      ConfigError: for a range outside of the path, or a run on a picture.
    """
    if run.model.space.num_dims != 3:
        raise ConfigError(
            f"{run.folder}: a picture has no camera paths: use --enlarge=2 --out=picture.png"
        )
    train = run.cameras["train"]
    name, options = (usual_path(train, run.unbounded), {}) if path is None else parse_path(path)
    notes = []
    if path is None:
        notes.append(f"path: {name}, {REASONS[name]} (--path=... chooses another)")
    keys: Keyframes | None = None
    check_options(name, options)
    if is_path_file(name):
        keys = read_keyframes(name, options.get("dataparser"), run.root)
        notes += keys.notes
    # The distance to the scene is measured in renders of the training views.
    render_image = make_render_image(run.model, run.config["background"], run.config["chunk"])
    distance = usual_distance(train, render_image)
    given = {"plugins": plugins, "distance": distance, "keys": keys, **({} if keys else options)}
    cameras = _make_cameras(run, name, frames, shape or {}, given)
    numbers = _numbers(cameras, only, one_picture)
    if distance is not None:
        chosen = cameras[list(numbers)]
        notes += _unknown(chosen, train, render_image, distance, numbers, name, keys)
    fps = keys.fps if keys else DEFAULT_FPS
    return VideoPlan(cameras, numbers, fps, keys.crop if keys else None, notes)


def _make_cameras(
    run: Run,
    name: str,
    frames: int | None,
    shape: Mapping[str, Any],
    given: Mapping[str, Any],
) -> Cameras:
    """Return the cameras of a path; see `plan`, and `make_path` for the arguments `given`."""
    train, shape = run.cameras["train"], dict(shape)
    around = shape.pop("equirectangular", False)
    cameras = make_path(name, train, run.transform, frames, **shape, **given)
    if not around:
        return cameras
    c2w = np.asarray(cameras.c2w, np.float64)
    return all_around(c2w, train, shape.get("width"), shape.get("height"))


def check_options(name: str, options: Mapping[str, Any]) -> None:
    """Raise PathError for options that no path has."""
    if is_path_file(name):
        what = "a keyframe file"
        fixes = {key: "the only one is dataparser" for key in options if key != "dataparser"}
    else:
        # Arguments of `make_path` itself are set by flags or by the program, never by the path.
        what = "a path"
        reserved = [key for key in options if key in parameters_of(make_path)]
        fixes = dict.fromkeys(reserved, "leave it out")
        fixes |= {key: f"give it as --{key}={options[key]}" for key in reserved if key in FLAGS}
    if fixes:
        reason = f"no option of {what}"
        raise PathError([Problem(name, key, reason, fix) for key, fix in fixes.items()])


def _numbers(cameras: Cameras, only: str | None, one_picture: bool) -> Sequence[int]:
    """Return the numbers of the frames to render. Raises ConfigError if there are none."""
    first, last = (0, len(cameras) - 1) if only is None else parse_range(only)
    if last >= len(cameras):
        raise ConfigError(
            f"--range={only}: the path has frames 0 to {len(cameras) - 1}: choose among them"
        )
    if one_picture and first != last:
        count = f"a picture for {last - first + 1} frames"
        raise ConfigError(
            f"--out: {count}: choose one with --range={first}, or give a name that ends in .mp4"
        )
    return range(first, last + 1)


def _unknown(
    cameras: Cameras,
    train: Cameras,
    render_image: RenderView,
    distance: float,
    numbers: Sequence[int],
    name: str,
    keys: Keyframes | None,
) -> list[str]:
    """Return a warning on frames that show unseen parts, if any."""
    looked, unknown = unknown_frames(cameras, train, render_image, distance)
    if not unknown.any():
        return []
    share = f"{unknown.sum()} of {len(looked)} frames looked at"
    bad = [numbers[i] for i, is_bad in zip(looked, unknown, strict=True) if is_bad]
    where = f"the first is frame {bad[0]}, the last {bad[-1]}"
    fix = "are its poses in the units and axes of the scene's file?"
    if (np.asarray(cameras.model) == EQUIRECTANGULAR).all():
        fix = "usual for frames that show all around: trust them only where the photos look"
    elif name == "follow":
        fix = "check the run's pictures in its folder eval"
    elif keys is None:
        fix = "--path=follow stays where the photos were taken"
    elif keys.from_nerfstudio_world:
        beside = "put the model's dataparser_transforms.json beside it"
        fix = f"is the path in nerfstudio's own world? {beside}"
    what = f"{share} ({where}) see what no photo shows"
    return [f"warning: path leaves what the photos saw: {what}: {fix}"]
