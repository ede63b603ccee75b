"""The library in a notebook or a script: load, train, look, render, compare.

README.md, section "In Python", shows the calls in order, and `examples/` has scripts.

Capture, checks, plans of videos and comparison are imported by the functions that need them:
together they take as long to import as JAX, and a notebook that looks at a run needs none of them.

Nothing here prints a traceback for a mistake of the user or exits the process: errors are
`nerf.UserError`, whose message is one line with a fix.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, PyTree

from nerf.cameras.cameras import Cameras
from nerf.cameras.resizing import resized
from nerf.fields import Samples
from nerf.foundation.errors import UserError as UserError
from nerf.foundation.instantiate import ConfigError
from nerf.foundation.progress import Phases
from nerf.output.frames import RenderOptions
from nerf.output.parts import make_parts
from nerf.output.video import check_encoder
from nerf.output.video_rendering import cropped, render_video
from nerf.rendering.images import make_render_image
from nerf.rendering.intervals import evaluate_field
from nerf.rendering.model import last_field
from nerf.runs import config_files
from nerf.runs.budget import Budget as Budget
from nerf.runs.read import Run, load_run
from nerf.scenes import Scene, load
from nerf.training import loop
from nerf.training.image_task import image_task
from nerf.training.session import Call, Session

# What sets the pictures of a film, among the options of `render`.
SHAPE = ("width", "height", "fov", "focal", "equirectangular")


def load_config(
    name: str = "ngp",
    changes: Mapping[str, Any] | None = None,
    plugins: tuple[str, ...] = (),
    task: str = "scene",
) -> dict[str, Any]:
    """Load a config and change values in it.

    It is a dictionary: add a section, such as a loss of your own, by assignment.

    Args:
      name: a config that comes with the library, as "ngp" or "systems/siren"; a file with
        `get_config()`; or a run folder, to use its config again.
      changes: values by dotted key, as {"model.stages.main.field.network.width": 64}; None switches
        a section off.
      plugins: packages outside `nerf` that the config may name.
      task: "scene", or "image" to fit the encoding and network of the config to one image.

    Returns: the config as plain data.

    Raises:
      ConfigError: one line for each problem.
    """
    words = [f"{key}={value}" for key, value in (changes or {}).items()]
    config = config_files.load_config(name, words, plugins, told_as="")
    if task not in ("scene", "image"):
        raise ConfigError(f"task={task}: no such task: give 'scene' or 'image'")
    return image_task(config) if task == "image" else config


def make_scene(source: str | Path, out: str | Path, frames: int = 120, **options: Any) -> Path:
    """Make a scene of photos or of a video, by estimating where each was taken.

    Args:
      source: a folder of photos, or a video.
      out: the scene's folder; made if it is missing, and must not hold a scene yet.
      frames: number of frames to pick from a video.
      **options: see `nerf.capture.mapping.Options`.

    Returns: the scene's folder, for `train`.

    Raises:
      UserError: pycolmap is not installed, or the poses cannot be estimated; one line.
    """
    from nerf.capture import photos
    from nerf.capture.mapping import Options as CaptureOptions

    folder = Path(out).expanduser()
    with Phases() as phases:
        photos.make_scene(
            Path(source).expanduser(),
            folder,
            frames,
            options=CaptureOptions(**options),
            report=phases.report,
        )
    return folder


def load_scene(folder: str | Path, split: str = "train", max_side: int = 1024) -> Scene:
    """Load one split of a scene.

    Args:
      folder: the scene, in any format of `nerf.scenes.formats`.
      split: "train", "val" or "test".
      max_side: larger images are reduced by an integer factor, in pixels.

    Returns: images, cameras in the normalised world, and the transform from the file's world.

    Raises:
      SceneError: one line for each problem.
    """
    return load(Path(folder).expanduser(), split, max_side)


def train(
    config: Mapping[str, Any],
    scene: str | Path | None,
    workdir: str | Path,
    *,
    max_seconds: int | float | None = None,
    on_call: Callable[[Call, Session], None] = lambda call, session: None,
    **options: Any,
) -> Run:
    """Train a config on a scene, or resume the run in `workdir`, and score its held-out views.

    Interrupted (Ctrl-C, or the stop button of a notebook), it saves and raises KeyboardInterrupt;
    the same call resumes. To iterate yourself, use `Session`.

    Args:
      config: from `load_config`.
      scene: the scene's folder; of a config for the task "image", the image file.
      workdir: the run folder; made if it is missing.
      max_seconds: seconds of training; None: `config["steps"]` optimizer steps.
      on_call: called after every few steps with a `Call` (step, seconds, metrics) and the session.
      **options: see `nerf.training.loop.Options`.

    Returns: the run; `run.results` has its scores, and its folder `eval` the held-out views.

    Raises:
      UserError: one line for each problem of the config, the scene or the run folder.
    """
    from nerf.check.check import quick_check

    options = {"inspect": quick_check, **options}
    seconds = None if max_seconds is None else float(max_seconds)
    loop.train(config, scene, workdir, max_seconds=seconds, on_call=on_call, **options)
    return load_run(Path(workdir).expanduser(), options.get("plugins", ()))


def render_image(run: Run, camera: Cameras, scale: int | float = 1.0) -> dict[str, np.ndarray]:
    """Render one camera.

    Args:
      run: a trained run.
      camera: one camera (no leading axes) in the normalised world, as `run.cameras["test"][0]`.
      scale: factor on the size of its image.

    Returns: "rgb" (h, w, 3) sRGB in [0, 1], "opacity" (h, w) and "depth" (h, w), the distance along
      the ray in the normalised world, 0 if nothing is hit; and every other quantity of the field.
    """
    render = make_render_image(run.model, run.config["background"], run.config["chunk"])
    return render(camera if scale == 1.0 else resized(camera, float(scale)))


def query(
    run: Run,
    points: Float[np.ndarray, "*b 3"],
    directions: Float[np.ndarray, "*b 3"],
) -> dict[str, np.ndarray]:
    """Evaluate the field at points, in the units and axes of the scene's file.

    Args:
      run: a trained run.
      points: positions in the file's world.
      directions: view directions in the file's world, of any length.

    Returns: the field's quantities: "density" (*b), per unit of length of the file's world, "rgb"
      (*b, 3) sRGB in [0, 1], and whatever else it predicts.
    """
    unit = np.asarray(directions) / np.linalg.norm(directions, axis=-1, keepdims=True)
    place = jnp.asarray(run.transform.points(np.asarray(points, np.float64)), jnp.float32)
    towards = jnp.asarray(np.matmul(unit, run.transform.rotation.T), jnp.float32)
    graph, state = nnx.split(run.model)
    return jax.device_get(_evaluate(graph, state, place, towards, run.transform.scale))


@partial(jax.jit, static_argnums=0)
def _evaluate(
    graph: nnx.GraphDef,
    state: PyTree,
    place: Float[Array, "*b 3"],
    towards: Float[Array, "*b 3"],
    scale: float | Float[Array, ""],
) -> dict[str, Array]:
    """Evaluate the last field at places of the normalised world; see `query`."""
    model = nnx.merge(graph, state)
    inside = model.space.warp(place)
    quantities = evaluate_field(model, last_field(model), Samples(inside, towards))
    if "density" in quantities:
        # The field's density is per unit of the box; a unit of the file is `scale` normalised
        # units, each of which the space shortens by `stretch`.
        per_unit = scale / model.space.stretch(inside)
        quantities = {**quantities, "density": quantities["density"] * per_unit}
    return quantities


def render(
    run: Run,
    out: str | Path,
    path: str | None = None,
    frames: int | None = None,
    fps: int | float | None = None,
    beside: Run | None = None,
    stereo: float | None = None,
    **options: Any,
) -> Path:
    """Render a video along a camera path.

    Args:
      run: a trained run.
      out: the video, .mp4, .webm, .mov or .gif; its frames are kept in a folder beside it.
      path: "orbit", "ellipse", "spiral", "follow", with options as "orbit:radius=2", or a keyframe
        file; None chooses by the cameras.
      frames: number of frames; None: 192.
      fps: frames a second; None: 24, or as the keyframe file says.
      beside: another run of the scene, on the right of each frame.
      stereo: distance between two eyes whose pictures are side by side, in the file's units.
      **options: `width`, `height` in pixels, `fov` in degrees or `focal` in pixels, or
        `equirectangular=True` for frames that show all around; and `depth`, `opacity`,
        `transparent` and `crf` of `nerf.output.frames.RenderOptions`.

    Returns: the video.

    Raises:
      UserError: one line for each problem.
    """
    from nerf.output.video_plan import plan

    out = Path(out).expanduser()
    out.parent.mkdir(parents=True, exist_ok=True)
    check_encoder(out)
    shape = {name: options.pop(name) for name in SHAPE if name in options}
    planned = plan(run, path, frames=frames, shape=shape)
    rate = planned.fps if fps is None else float(fps)
    wanted = RenderOptions(fps=rate, **options)
    runs = [one for one in (run, beside) if one is not None]
    shown = [one if planned.crop is None else cropped(one, planned.crop) for one in runs]
    render_video(make_parts(shown, planned.cameras, stereo), out, wanted)
    return out


def compare(arguments: Sequence[str | Path], out: str | Path, **question: Any) -> dict[str, Any]:
    """Compare configs or finished runs, and write a page with the verdict.

    Args:
      arguments: run folders, or configs as "ngp" or "configs/ngp.py:batch_size=512".
      out: the page, an .html.
      **question: `scenes`, `budget` ("60s"), `steps`, `seeds` ("3") and the other attributes of
        `nerf.comparing.report.build.Question`.

    Returns: the numbers of the page, with "verdict".

    Raises:
      UserError: one line for each problem.
    """
    from nerf.comparing.report.build import Question, build_report

    words = [str(argument) for argument in arguments]
    command = f"nerf.compare({words}, {str(out)!r})"
    return build_report(Question(words, command, Path(out), **question))
