"""Train and score a run with nerfbaselines: its datasets, its trainer, its metrics.

nerfbaselines (github.com/nerfbaselines/nerfbaselines) evaluates many methods under one protocol, so
it checks this project's numbers from outside. This file is a method for it and the registration of
that method; docs/comparing.md, section "A check from outside", shows the commands.

    export NERFBASELINES_REGISTER=$PWD/examples/nerfbaselines_method.py
    nerfbaselines train --method nerf-compare --backend python --data SCENE --output OUT \
        --set config=ngp --set steps=3000
    echo '{"method": "nerf-compare"}' > runs/demo/nb-info.json
    nerfbaselines render --checkpoint runs/demo --backend python --data SCENE \
        --output OUT/predictions

A checkpoint is a run folder, so `nerf view`, `nerf render` and `nerf.load_run` open what
nerfbaselines trained, and nerfbaselines opens what `nerf train` trained. The file imports nothing
of nerfbaselines but its function `register`, and is a pattern for other benchmarks.
"""

import contextlib
import dataclasses
import json
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

import nerf
from nerf.cameras.cameras import Cameras, intrinsics
from nerf.cameras.lenses import COEFFICIENTS, FISHEYE, PERSPECTIVE
from nerf.foundation.png import to_bytes
from nerf.rendering.images import make_render_image
from nerf.runs.budget import Budget, change_budget
from nerf.runs.checkpoints import Checkpoints
from nerf.runs.config_checks import check_config
from nerf.runs.device_sizes import settle
from nerf.runs.read import Run
from nerf.runs.record import read_json
from nerf.runs.resume import check_resumable
from nerf.runs.write import RunWriter
from nerf.scenes import Scene, Similarity
from nerf.scenes.decode import Header
from nerf.scenes.frames import Frame
from nerf.scenes.images import add_alpha
from nerf.scenes.maps import mask_unseen
from nerf.scenes.normalise import distances_to_points, normalise
from nerf.training.session import Session

METHOD = "nerf-compare"
CONFIG = "ngp"  # trained unless `--set config=...` names another
# The camera models of nerfbaselines by their number. Each has our lens, and for our coefficients in
# their order the column of `distortion_parameters` that holds it.
CAMERA_MODELS = ("pinhole", "opencv", "opencv_fisheye", "full_opencv")
LENSES = (
    (PERSPECTIVE, ()),
    (PERSPECTIVE, (0, 1, 2, 3)),  # k1 k2 p1 p2
    (FISHEYE, (0, 1, 4, 5)),  # k1 k2 k3 k4; columns 2 and 3 are not used
    (PERSPECTIVE, (0, 1, 2, 3, 4, 5, 6, 7)),  # k1 k2 p1 p2 k3 k4 k5 k6
)
OUTPUTS = ("color", "accumulation", "depth")


def convert_cameras(cameras: Any, transform: Similarity) -> Cameras:
    """Convert cameras of nerfbaselines to ours.

    Its poses are camera-to-world with OpenCV axes: +x right, +y down, a camera looks along +z. The
    centre of its first pixel is (0.5, 0.5), as here.

    Args:
      cameras: one camera, or n.
      transform: from the world of the dataset to the normalised one.

    Returns:
      The cameras in the normalised world, with the same leading axes.

    Raises:
      UserError: a camera model is unknown; one line.
    """
    models = np.asarray(cameras.camera_models, np.int64)
    unknown = sorted(set(models.reshape(-1).tolist()) - set(range(len(LENSES))))
    if unknown:
        known = ", ".join(CAMERA_MODELS)
        raise nerf.UserError(
            f"camera model {unknown[0]} of nerfbaselines: not one of {known}: undistort the images"
        )
    # OpenGL's y and z axes point the other way; the position stays.
    c2w = np.asarray(cameras.poses, np.float64)[..., :3, :4] * [1.0, -1.0, -1.0, 1.0]
    given = np.asarray(cameras.distortion_parameters, np.float64)
    distortion = np.zeros((*models.shape, COEFFICIENTS))
    for number, (_, columns) in enumerate(LENSES):
        # A dataset stores as many columns as its longest lens needs; those that are missing are 0.
        for ours, theirs in enumerate(columns):
            if theirs < given.shape[-1]:
                own = np.where(models == number, given[..., theirs], 0.0)
                distortion[..., ours] += own
    fx, fy, cx, cy = np.moveaxis(np.asarray(cameras.intrinsics, np.float64), -1, 0)
    return Cameras(
        c2w=transform.poses(c2w).astype(np.float32),
        K=intrinsics(fx, fy, cx, cy).astype(np.float32),
        distortion=distortion.astype(np.float32),
        size=np.asarray(cameras.image_sizes, np.int32),
        model=np.asarray(np.array([lens for lens, _ in LENSES], np.int32)[models]),
    )


def convert_dataset(dataset: Mapping[str, Any]) -> Scene:
    """Convert a loaded dataset of nerfbaselines to the training views of a scene.

    Args:
      dataset: with its images.

    Returns:
      The scene. The training cameras determine its normalised world. It is bounded if a pixel is
      transparent.

    Raises:
      UserError: the images are not sRGB pictures, or a camera model is unknown; one line.
    """
    space = dataset["metadata"].get("color_space", "srgb")
    if space != "srgb":
        raise nerf.UserError(f"color_space {space!r}: not sRGB: convert the images to sRGB")
    names = _names(dataset)
    in_file = convert_cameras(dataset["cameras"], Similarity())
    sizes = np.asarray(in_file.size).tolist()
    images = [
        _pixels(np.asarray(image)[:h, :w], name)
        for image, (w, h), name in zip(dataset["images"], sizes, names, strict=True)
    ]
    bounded = any(image.shape[-1] == 4 and image[..., 3].min() < 255 for image in images)
    images = [add_alpha(image) if bounded else image[..., :3] for image in images]
    c2w = np.asarray(in_file.c2w, np.float64)
    frames = [
        Frame(
            name=name,
            path=Path(name),
            header=Header((w, h), bounded, np.uint8),
            c2w=c2w[i],
            K=np.asarray(in_file.K[i], np.float64),
            distortion=np.asarray(in_file.distortion[i]),
            model=int(in_file.model[i]),
        )
        for i, (name, (w, h)) in enumerate(zip(names, sizes, strict=True))
    ]
    points = dataset.get("points3D_xyz")
    points = None if points is None or not len(points) else np.asarray(points, np.float64)
    distances = None if points is None else distances_to_points(frames, points)
    transform = normalise(frames, bounded, level=True, distances=distances)
    cameras = convert_cameras(dataset["cameras"], transform)
    masks = dataset.get("masks")
    given = {} if masks is None else {"mask": _masks(masks, sizes)}
    maps, notes = mask_unseen(given, cameras)
    scene = Scene(images, cameras, names, transform, not bounded, notes, maps)
    if points is None:
        return scene
    return dataclasses.replace(scene, points=transform.points(points))


def _names(dataset: Mapping[str, Any]) -> list[str]:
    """Return the names of the images below the folder that they share."""
    root = dataset.get("image_paths_root")
    return [
        Path(path).relative_to(root).as_posix() if root else Path(path).as_posix()
        for path in dataset["image_paths"]
    ]


def _pixels(image: np.ndarray, name: str) -> np.ndarray:
    """Return an image, or raise an error that names it."""
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[-1] not in (3, 4):
        kind = f"{image.dtype} of shape {image.shape}"
        raise nerf.UserError(f"{name}: {kind}: convert it to an 8-bit RGB or RGBA image")
    return image


def _masks(masks: Any, sizes: list[list[int]]) -> list[np.ndarray]:
    """Return masks without the padding of a stack of images of several sizes."""
    return [
        np.asarray(mask)[:h, :w].astype(bool) for mask, (w, h) in zip(masks, sizes, strict=True)
    ]


def background_of(dataset: Mapping[str, Any]) -> tuple[float, ...] | None:
    """Return the sRGB colour that nerfbaselines puts behind transparent pixels, in [0, 1].

    Without a colour in the metadata it is black. None for a dataset without transparency.
    """
    colour = dataset["metadata"].get("background_color")
    if colour is None:
        transparent = any(np.asarray(image).shape[-1] == 4 for image in dataset["images"])
        return (0.0, 0.0, 0.0) if transparent else None
    return tuple(float(c) / 255.0 for c in np.asarray(colour))


@contextlib.contextmanager
def one_line_errors() -> Iterator[None]:
    """Let the command line of nerfbaselines print a UserError without a traceback."""
    try:
        yield
    except nerf.UserError as error:
        message = str(error)
        # It calls this attribute of an exception, if there is one, instead of raising it.
        error.write_to_logger = lambda: print(message, file=sys.stderr)
        raise


class NerfMethod:
    """The protocol `Method` of nerfbaselines, over a training session or a finished run.

    An iteration is an optimizer step. A session takes `steps_per_call` steps at a time, so the
    model may be fewer than that many steps ahead of the iteration.

    Args:
      checkpoint: a run folder, of `nerf train` or saved by this class; None starts a run.
      train_dataset: the training views; None only renders.
      config_overrides: changes to the config by dotted key, and "config", its name or file.
    """

    def __init__(
        self,
        *,
        checkpoint: str | None = None,
        train_dataset: Mapping[str, Any] | None = None,
        config_overrides: Mapping[str, Any] | None = None,
    ):
        self.folder = None if checkpoint is None else Path(checkpoint)
        self.source: Session | Run
        self.config: dict[str, Any]
        changes = dict(config_overrides or {})
        name = changes.pop("config", CONFIG)
        with one_line_errors():
            if train_dataset is not None:
                if self.folder is not None and "config" in (config_overrides or {}):
                    raise nerf.UserError("config: the checkpoint has its own: do not give one")
                self._start(str(self.folder or name), changes, train_dataset)
            elif self.folder is not None:
                self.source = run = nerf.load_run(self.folder)
                self.config, self.transform = run.config, run.transform
            else:
                raise nerf.UserError("nothing to train or to render: give --data or --checkpoint")

    def _start(self, name: str, changes: Mapping[str, Any], dataset: Mapping[str, Any]) -> None:
        """Prepare training, from the checkpoint if there is one.

        Args:
          name: of the config, or the run folder that has it.
          changes: to the config.
          dataset: the training views.
        """
        # nerfbaselines keeps the held-out views, so the run folder must not promise any.
        self.config = nerf.load_config(name, {**changes, "eval_split": "none"})
        background = background_of(dataset)
        if background is not None:
            self.config["background"] = background
        self.config = settle(self.config, len(jax.devices()), folder=self.folder)
        check_config(self.config, len(jax.devices()), None, ())
        scene = convert_dataset(dataset)
        self.transform = scene.transform
        self.source = session = Session(self.config, scene)
        self.budget = Budget(self.config["steps"])
        self.budget_changes: list[dict[str, Any]] = []
        if self.folder is not None:
            self._resume(self.folder, session)
        session.compile()
        self._calls = session.calls(self.budget)
        self._metrics: dict[int, dict[str, float]] = {}

    def _resume(self, folder: Path, session: Session) -> None:
        """Restore the checkpoint's state, or raise if its config or its views are not these."""
        check_resumable(folder, self.config, self.budget)
        if read_json(folder / "scene.json")["digest"]["train"] != session.scene.digest():
            raise nerf.UserError(
                f"{folder}: trained on other views than those of --data: give the dataset that"
                " nerfbaselines trained it on"
            )
        checkpoints = Checkpoints(folder / "checkpoints", read_only=True)
        state, facts = checkpoints.restore(session.state)
        self.budget_changes = change_budget(folder, facts, self.budget)
        session.resume(state, facts["step"], facts["seconds"], facts["skipped"])

    @classmethod
    def get_method_info(cls) -> dict[str, Any]:
        """Return what nerfbaselines needs to know to load a dataset."""
        return {
            "method_id": METHOD,
            "required_features": frozenset(("color", "points3D_xyz")),
            "supported_camera_models": frozenset(CAMERA_MODELS),
            "supported_outputs": OUTPUTS,
            "can_resume_training": True,
        }

    def get_info(self) -> dict[str, Any]:
        """Return what nerfbaselines needs to know to train or render."""
        loaded = self.folder is not None
        return {
            **self.get_method_info(),
            "num_iterations": self.config["steps"],
            "loaded_step": self.source.step if loaded else None,
            "loaded_checkpoint": str(self.folder) if loaded else None,
            "batch_size": self.config["batch_size"],
            "hparams": json.loads(json.dumps(self.config)),
        }

    def train_iteration(self, step: int) -> dict[str, float]:
        """Take the optimizer step number `step`, and return its loss and PSNR."""
        if not isinstance(self.source, Session):
            raise nerf.UserError("loaded without a dataset: give train_dataset to train")
        first = self.source.step
        if step >= first:
            call = next(self._calls, None)
            if call is None:
                raise nerf.UserError(f"all {first} steps are taken: give more with --set steps=...")
            self._metrics = {
                first + i: {name: float(call.metrics[name][i]) for name in ("loss", "psnr")}
                for i in range(call.step - first)
                if call.taken[i]
            }
        return self._metrics.get(step, {})

    def render(
        self, camera: Any, *, options: Mapping[str, Any] | None = None
    ) -> dict[str, np.ndarray]:
        """Render a camera of the dataset's world.

        Args:
          camera: one camera of nerfbaselines.
          options: not used.

        Returns:
          "color" (h, w, 3), "accumulation" (h, w), and "depth" (h, w): the distance along the ray
          in units of the dataset's world, 0 where nothing is hit. Colours are bytes, rounded as in
          our scores: nerfbaselines would truncate other numbers.
        """
        source = self.source
        model = source.model() if isinstance(source, Session) else source.model
        show = make_render_image(model, self.config["background"], self.config["chunk"])
        with one_line_errors():
            picture = show(convert_cameras(camera.item(), self.transform))
        return {
            "color": to_bytes(picture["rgb"]),
            "accumulation": picture["opacity"],
            "depth": picture["depth"] / np.float32(self.transform.scale),
        }

    def save(self, path: str) -> None:
        """Write a run folder, which `nerf.load_run` and this class read."""
        folder, session = Path(path), self.source
        if not isinstance(session, Session):
            copy_run(session, folder)
            return
        RunWriter.open(folder, self.config, None, {"train": session.scene})
        checkpoints = Checkpoints(folder / "checkpoints", self.config["keep"])
        checkpoints.save(
            session.step,
            session.state,
            **dataclasses.asdict(self.budget),
            seconds=session.seconds,
            skipped=session.skipped,
            score=None,
            extended=self.budget_changes,
        )
        checkpoints.wait()

    def get_train_embedding(self, index: int) -> None:
        """Return None: pictures have no embedding."""

    def optimize_embedding(self, dataset: Any, *, embedding: Any = None) -> None:
        """Raise a UserError: pictures have no embedding."""
        raise nerf.UserError("pictures have no embedding here: use the protocol 'default'")


def copy_run(run: Run, folder: Path) -> None:
    """Copy what `nerf.load_run` reads of a run, and no older checkpoints, into a folder."""
    checkpoint = f"checkpoints/{run.step}.safetensors"
    for file in ("config.json", "scene.json", "code.json", checkpoint):
        source, copy = run.folder / file, folder / file
        if source.exists() and not (copy.exists() and copy.samefile(source)):
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, copy)


# nerfbaselines runs a file of NERFBASELINES_REGISTER under the file's name, which ends with .py. It
# imports the class by its module's name later.
if __name__.endswith(".py"):
    import nerfbaselines

    sys.path.append(str(Path(__file__).parent))
    nerfbaselines.register(
        {
            "id": METHOD,
            "method_class": f"{Path(__file__).stem}:{NerfMethod.__name__}",
            "metadata": {"name": METHOD, "description": "Radiance fields in JAX and Flax."},
        }
    )
