"""Train a config on a scene, or resume a run.

    nerf train --scene=data/tabletop --workdir=runs/tabletop --max_seconds=60

The same command resumes a run that was stopped, and a larger budget continues it.

--scene is a folder in any format of `nerf.scenes.formats`: transforms.json, Blender's, COLMAP,
LLFF, IDR, Middlebury, RGB-D. With --task=image it is an image, and the encoding and network of the
config's field are fitted to that instead.
--config is a name in configs/, a file, or a run folder whose config is used again. Any value of it,
and any argument of the classes it names, is a flag:
--config.batch_size=4096 --config.background=black --config.model.occupancy=None
"""

import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from absl import flags

from nerf.cli.commands import define_config, stop_on_signal
from nerf.foundation.errors import UserError
from nerf.runs.config_files import load_config
from nerf.runs.lock import run_lock

_CONFIG, _VALUES = define_config()
_SCENE = flags.DEFINE_string(
    "scene", None, "Folder of the scene; with --task=image the image file."
)
_TASK = flags.DEFINE_enum(
    "task", "scene", ["scene", "image"], "What to train on: posed images, or one image."
)
_WORKDIR = flags.DEFINE_string("workdir", None, "Run folder: created, or resumed.", required=True)
_MAX_SECONDS = flags.DEFINE_float(
    "max_seconds", None, "Seconds of training; config.steps is then ignored."
)
_PLUGIN = flags.DEFINE_multi_string(
    "plugin", [], "Package outside `nerf` that the config may name; repeatable."
)
_TENSORBOARD = flags.DEFINE_bool(
    "tensorboard", False, "Write TensorBoard events into the run folder too."
)
_PROFILE = flags.DEFINE_string(
    "profile", None, "Folder for a trace of a few training calls by JAX's profiler."
)
_VIEW = flags.DEFINE_bool(
    "view", False, "Watch the training in a browser; frames take at most a tenth of the time."
)
_VIEW_PORT = flags.DEFINE_integer(
    "view_port", 8080, "With --view: TCP port; 0 takes a free one.", lower_bound=0
)
_DEVICE_MEMORY = flags.DEFINE_float(
    "device_memory", None, "GB of device memory to use; default: all."
)
_HOST_MEMORY = flags.DEFINE_float(
    "host_memory", None, "GB of memory for photos; default: most of what is free."
)
_DISTRIBUTED = flags.DEFINE_bool(
    "distributed", False, "Join the processes of a TPU pod, Slurm or Open MPI."
)
_COORDINATOR = flags.DEFINE_string(
    "coordinator", None, "Join processes elsewhere: HOST:PORT of the first process."
)
_PROCESSES = flags.DEFINE_integer("processes", None, "With --coordinator: number of processes.")
_PROCESS = flags.DEFINE_integer("process", None, "With --coordinator: index of this one, from 0.")
_HEARTBEAT = flags.DEFINE_integer(
    "heartbeat", 100, "Seconds without a heartbeat until a process counts as lost."
)


def main(argv: list[str]) -> int:
    """Train, or resume the run, and return the exit code."""
    if argv[1:]:
        raise UserError(f"{argv[1]}: not a flag: the folder of a scene is given as --scene=FOLDER")
    plugins = tuple(_PLUGIN.value)
    config = load_config(_CONFIG.value, _VALUES.value, plugins)
    with stop_on_signal() as stop, _joined(), _owning():
        from nerf.check.check import quick_check
        from nerf.training.image_task import beside_files, image_task, unused_by_image_task
        from nerf.training.loop import train  # takes seconds

        if _TASK.value == "image":
            _refuse_folder()
            print(
                "".join(f"{line}\n" for line in unused_by_image_task(config, _VALUES.value)),
                end="",
                file=sys.stderr,
            )
            config = image_task(config)
        with _watched() as on_call:
            results = train(
                config,
                _SCENE.value,
                _WORKDIR.value,
                max_seconds=_MAX_SECONDS.value,
                plugins=plugins,
                should_stop=stop,
                tensorboard=_TENSORBOARD.value,
                profile=_PROFILE.value,
                device_memory=_bytes(_DEVICE_MEMORY.value),
                host_memory=_bytes(_HOST_MEMORY.value),
                inspect=quick_check,
                on_call=on_call,
            )
    if results is None:
        print(f"stopped and saved: run the same command again to resume {_WORKDIR.value}")
        return stop.exit_code
    if not results:
        return 0  # the first of the processes reports
    print(_describe(results))
    if _TASK.value == "image" and results["psnr"] is not None:
        from nerf.output.fit import write_fit

        print(beside_files(config, _SCENE.value, results))
        fit = write_fit(Path(_WORKDIR.value), Path(_CONFIG.value).stem, plugins)
        print(f"picture, error and spectrum: {fit}")
    return 0


def _describe(results: dict) -> str:
    """Return the last lines of a training: the scores, and where everything is."""
    from nerf.evaluation.metrics import describe_scores

    trained = f"after {results['train_seconds']:.0f} s of training and {results['steps']} steps"
    numbers = f"numbers: {_WORKDIR.value}/results.json"
    protocol = results["protocol"]
    if results["psnr"] is None:
        render = f"nerf render --run={_WORKDIR.value} --out={_WORKDIR.value}/video.mp4"
        return f"not scored, as no view is held out, {trained}\n{numbers}   video: {render}"
    kind = "held-out views"
    if protocol["trained_on"]:
        kind = f"views, {protocol['trained_on']} of them trained on,"
    views = f"{protocol['views']} {kind} ({protocol['split']})"
    scores = f"{describe_scores(results)} over {views} {trained}"
    return f"{scores}\npictures: {_WORKDIR.value}/eval   {numbers}"


def _refuse_folder() -> None:
    """Raise UserError for a folder as the scene of --task=image."""
    if _SCENE.value and Path(_SCENE.value).is_dir():
        reason = "a folder, and --task=image trains on one picture"
        raise UserError(f"--scene={_SCENE.value}: {reason}: give its file, or leave --task out")


def _bytes(gigabytes: float | None) -> float | None:
    return None if gigabytes is None else 1e9 * gigabytes


def _several() -> bool:
    return _DISTRIBUTED.value or _COORDINATOR.value is not None


def _joined() -> contextlib.AbstractContextManager[None]:
    if not _several():
        return contextlib.nullcontext()
    from nerf.training.processes import initialize  # takes seconds

    return initialize(_COORDINATOR.value, _PROCESSES.value, _PROCESS.value, _HEARTBEAT.value)


@contextlib.contextmanager
def _watched() -> Iterator[Callable]:
    """Yield what is called after each call of the jitted step: with --view, a viewer."""
    if not _VIEW.value:
        yield lambda call, session: None
        return
    if _several():
        raise UserError("--view: not with several processes: start it after the training")
    if _TASK.value == "image":
        raise UserError("--view: a picture has nothing to fly through: leave --view out")
    from nerf.viewer.guard import LOCAL, check_port, require_viser
    from nerf.viewer.live import LiveView

    require_viser()
    if _VIEW_PORT.value:
        check_port(LOCAL[0], _VIEW_PORT.value)
    live = LiveView(Path(_WORKDIR.value), port=_VIEW_PORT.value)
    try:
        yield live.after_call
    finally:
        live.close()
    print(f"the viewer ended with the training: nerf view {_WORKDIR.value}", file=sys.stderr)


@contextlib.contextmanager
def _owning() -> Iterator[None]:
    """Lock the run folder, which belongs to the first process."""
    if _several():
        from nerf.training.processes import is_first

        if not is_first():
            yield
            return
    with run_lock(Path(_WORKDIR.value)):
        yield
