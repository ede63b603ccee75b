"""Answer the question of nerf compare: find or train runs, render videos and write the page."""

import dataclasses
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from nerf.comparing.child_processes import run_child
from nerf.comparing.comparison import Groups
from nerf.comparing.engines import Engine, Interrupted, LocalEngine, visible_gpus
from nerf.comparing.forecast import duration
from nerf.comparing.report.figure import split_crop
from nerf.comparing.report.meshes import ShownMesh, compare_meshes
from nerf.comparing.report.page import Study, write_page
from nerf.comparing.report.scenes import Scenes, write_scenes_page
from nerf.comparing.report.sweep import find_sweeps
from nerf.comparing.report.table import COLUMNS, parse_columns
from nerf.comparing.run_store import (
    RunResult,
    RunStore,
    find_or_train,
)
from nerf.comparing.studies import (
    Method,
    RunRequest,
    parse_argument,
    parse_seconds,
    parse_seeds,
    sweep,
    wanted_runs,
    with_unique_labels,
)
from nerf.comparing.study_scenes import scene_digests
from nerf.foundation.errors import UserError
from nerf.foundation.instantiate import ConfigError
from nerf.foundation.resources import nerf_command
from nerf.meshes.isosurface import load_marching_cubes
from nerf.output.fit import fits_of_runs
from nerf.runs.read import load_run
from nerf.runs.record import read_json
from nerf.runs.results import Result, check_protocols
from nerf.scenes import SceneError
from nerf.training.image_task import is_image_task

FPS = 12  # of the fly-throughs
RESOLUTION = 128  # of meshes, in cells along the longest side of the box
MIN_RESOLUTION = 16


@dataclasses.dataclass(frozen=True)
class Question:
    """The arguments and flags of nerf compare; `nerf compare --help` describes each."""

    arguments: Sequence[str]
    command: str
    out: Path
    scenes: Sequence[str] = ()
    budget: str | None = None
    steps: int | None = None
    seeds: str = "3"
    sweep: Sequence[str] = ()
    together: bool = False
    split: str | None = None
    eval_times: int = 8
    runs: Path = Path("runs")
    jobs: int | None = None
    engine: str = "local"
    fresh: bool = False
    path: str | None = None
    frames: int = 48
    megabytes: float = 24.0
    columns: str | None = None
    figures: Path | None = None
    crops: Sequence[str] = ()
    mesh: bool = False
    resolution: int | None = None
    plugins: tuple[str, ...] = ()


def check(question: Question) -> None:
    """Raise ConfigError if flags contradict each other or are out of range."""
    if question.budget and question.steps:
        raise ConfigError(
            "--budget and --steps: both set the length of the runs: give one; "
            "the page compares at equal time and at equal steps"
        )
    if question.steps is not None and question.steps < 1:
        raise ConfigError(f"--steps={question.steps}: below 1: choose a positive number")
    if question.jobs is not None and question.jobs < 1:
        raise ConfigError(f"--jobs={question.jobs}: below 1: choose a positive number")
    if question.budget and question.engine == "local":
        gpus = max(len(visible_gpus()), 1)
        if (question.jobs or 1) > gpus:
            fix = f"use --steps, or --jobs={gpus}"
            reason = "runs at the same time slow each other down"
            raise ConfigError(f"--jobs={question.jobs}: {reason}: {fix}")
    if question.frames < 0 or question.eval_times < 0:
        raise ConfigError("--frames, --eval_times: below 0: choose 0 for none")
    if question.out.suffix not in (".html", ".htm"):
        raise ConfigError(
            f"--out={question.out}: not an .html file: give the page a name that ends in .html"
        )
    if question.figures is not None and question.figures.exists() and not question.figures.is_dir():
        raise ConfigError(
            f"--figures={question.figures}: a file: give a folder; "
            "it is created if it does not exist"
        )
    if question.resolution is not None and not question.mesh:
        raise ConfigError("--resolution: has no effect here, only with --mesh: remove it")
    if question.resolution is not None and question.resolution < MIN_RESOLUTION:
        reason = f"below {MIN_RESOLUTION}: choose a larger number of cells"
        raise ConfigError(f"--resolution={question.resolution}: {reason}")
    if question.mesh:
        load_marching_cubes()
    for text in question.crops:
        split_crop(text)


def build_report(
    question: Question, should_stop: Callable[[], bool] = lambda: False
) -> dict[str, Any]:
    """Compare the configs of a question, write the page and return its numbers.

    Raises:
      ConfigError: wrong arguments.
      SceneError: problems of a scene.
      Interrupted: if asked to stop.
    """
    check(question)
    methods = [parse_argument(text, parse_seeds(question.seeds)) for text in question.arguments]
    if question.sweep:
        methods = sweep(methods, question.sweep, question.together)
    methods = with_unique_labels(methods)
    if len(methods) < 2:
        raise ConfigError(
            f"{methods[0].label}: only one config: give two, or --sweep=KEY=VALUE,VALUE"
        )
    if not question.scenes and any(method.file for method in methods):
        raise ConfigError("--scene: not given: name the scene folder to train the configs on")
    if len(question.scenes) > 1:
        return _report_over_scenes(question, methods, should_stop)
    scene = question.scenes[0] if question.scenes else None
    return write_page(
        _study(question, methods, scene, should_stop), question.out, question.megabytes
    )


def _report_over_scenes(
    question: Question, methods: Sequence[Method], should_stop: Callable[[], bool]
) -> dict[str, Any]:
    """Write a page for each scene, and the page over all of them."""
    if finished := [method.label for method in methods if method.runs]:
        raise ConfigError(
            f"{finished[0]}: a finished run is of one scene: give its config, or a single --scene"
        )
    paths = [Path(scene).expanduser().resolve() for scene in question.scenes]
    if twice := [path for path in paths if paths.count(path) > 1]:
        raise ConfigError(f"--scene={twice[0]}: given twice: give each scene once")
    # Scenes whose folders have the same name also get the name of the parent folder.
    names = [path.name for path in paths]
    names = [
        name if names.count(name) == 1 else f"{path.parent.name}-{name}"
        for name, path in zip(names, paths, strict=True)
    ]
    _check_scenes(question, methods)
    studies: dict[str, Study] = {}
    pages: dict[str, Path] = {}
    numbers: dict[str, Any] = {}
    for i, (name, scene) in enumerate(zip(names, question.scenes, strict=True), 1):
        print(f"scene {i} of {len(names)}: {scene}", file=sys.stderr, flush=True)
        figures = None if question.figures is None else question.figures / name
        own = dataclasses.replace(question, figures=figures)
        studies[name] = _study(own, methods, scene, should_stop)
        pages[name] = question.out.with_name(f"{question.out.stem}-{name}{question.out.suffix}")
        numbers[name] = write_page(studies[name], pages[name], question.megabytes)
    scenes = Scenes(_title(methods, f"{len(names)} scenes"), question.command, studies, pages)
    return {**write_scenes_page(scenes, question.out), "scenes": numbers}


def _check_scenes(question: Question, methods: Sequence[Method]) -> None:
    """Raise SceneError with the problems of all scenes, before anything is trained."""
    requests, problems = _requests(question, methods), []
    for scene in question.scenes:
        try:
            scene_digests(requests, scene, question.plugins)
        except SceneError as error:
            problems += error.problems
    if problems:
        raise SceneError(problems)


def _requests(question: Question, methods: Sequence[Method]) -> list[RunRequest]:
    """Return the runs that a question needs on each scene."""
    budget = parse_seconds(question.budget) if question.budget else None
    return wanted_runs(
        methods, budget, question.steps, question.eval_times, question.split, question.plugins
    )


def _engine(question: Question) -> Engine:
    """Return what trains the runs: this machine, or a Ray cluster."""
    if question.engine == "ray":
        from nerf.comparing.ray_engine import RayEngine

        return RayEngine.connect(question.jobs)
    return LocalEngine(question.jobs)


def _title(methods: Sequence[Method], place: str) -> str:
    """Return the title of a page: "a and b, on fox"."""
    if len(methods) > 3:
        return f"{len(methods)} configs on {place}"
    return f"{' and '.join(method.label for method in methods)}, on {place}"


def _study(
    question: Question,
    methods: Sequence[Method],
    scene: str | None,
    should_stop: Callable[[], bool],
) -> Study:
    """Find or train the runs on one scene, and render their fly-throughs."""
    columns = COLUMNS if question.columns is None else parse_columns(question.columns)
    requests = _requests(question, methods)
    store = RunStore(
        scene,
        question.runs,
        question.plugins,
        _engine(question) if requests else LocalEngine(gpus=()),
        question.fresh,
        question.frames,
        should_stop,
    )
    if question.mesh:
        _refuse_meshes_of_images(methods, requests)
    trained = find_or_train(requests, store)
    groups, outcomes = _gather(methods, trained)
    check_protocols([(label, result) for label, results in groups.items() for result in results])
    failures = {
        o.label: f"seed {o.seed}: {o.failure}"
        for o in reversed(outcomes)
        if o.failure and o.label not in groups
    }
    of_images = groups and all(is_image_task(r[0].config) for r in groups.values())
    videos = {} if of_images else _render_videos(groups, question, store)
    scene = scene or next(
        (read_json(r[0].folder / "scene.json")["root"] for r in groups.values()), None
    )
    name = Path(scene).expanduser().resolve().name if scene else "a scene"
    points = {method.label: (method.base, method.point) for method in methods if method.point}
    return Study(
        _title(methods, name),
        question.command,
        groups,
        outcomes,
        failures,
        videos,
        scene=name,
        sweeps=find_sweeps(groups, points, question.together),
        columns=columns,
        crops=question.crops,
        figures=question.figures,
        fits=_draw_fits(groups, question.plugins) if of_images else None,
        meshes=_meshes(groups, question, store),
    )


def _meshes(groups: Groups, question: Question, store: RunStore) -> Sequence[ShownMesh]:
    """Return the meshes of the first runs, if they are asked for."""
    if not question.mesh or not groups:
        return ()
    return compare_meshes(groups, question.resolution or RESOLUTION, store)


def _refuse_meshes_of_images(methods: Sequence[Method], requests: Sequence[RunRequest]) -> None:
    """Raise a ConfigError if a config fits images."""
    configs = [run.config for run in requests]
    configs += [run.config for method in methods for run in method.runs]
    if any(is_image_task(config) for config in configs):
        raise ConfigError("--mesh: a picture has no surface: remove it")


def _draw_fits(groups: Groups, plugins: tuple[str, ...]) -> Figure | None:
    """Draw the first run of each config on an image; None if the image or a checkpoint is gone.

    Args:
      groups: the finished runs of each config.
      plugins: packages outside `nerf` that configs may name.
    """
    try:
        runs = {label: load_run(results[0].folder, plugins) for label, results in groups.items()}
        return fits_of_runs(runs, plugins)
    except UserError as error:
        print(f"{error}: no picture of the fits", file=sys.stderr)
        return None


def _gather(
    methods: Sequence[Method], trained: Sequence[RunResult]
) -> tuple[dict[str, list[Result]], list[RunResult]]:
    """Merge given and trained runs by method, in the order of the arguments.

    Returns: the finished runs of each label, and all run results.
    """
    groups: dict[str, list[Result]] = {}
    outcomes: list[RunResult] = []
    for method in methods:
        given = [
            RunResult(method.label, run.config["seed"], run.folder, run, "given as a finished run")
            for run in method.runs
        ]
        mine = sorted(
            [*given, *(o for o in trained if o.label == method.label)], key=lambda o: o.seed
        )
        outcomes += mine
        if results := [o.result for o in mine if o.result is not None]:
            groups[method.label] = results
    return groups, outcomes


def _tell(store: RunStore, title: str, line: str) -> None:
    """Log a line under a title."""
    store.say(f"{title}: {line}")


def _render_videos(
    groups: Groups, question: Question, store: RunStore
) -> Mapping[str, Path | None]:
    """Render a fly-through of each config's first run along the same camera path.

    Returns: the video of each label; None if it could not be rendered.
    """
    videos: dict[str, Path | None] = {}
    for label, results in groups.items() if question.frames else ():
        folder = results[0].folder
        name = "".join(c if c.isalnum() else "_" for c in Path(question.path or "usual").stem)
        out = folder / "compare" / f"{name}_{question.frames}.mp4"
        out.parent.mkdir(exist_ok=True)
        flags = [f"--out={out}", f"--frames={question.frames}", f"--fps={FPS}"]
        if question.path:  # otherwise nerf render chooses by the scene, the same for all configs
            flags.append(f"--path={question.path}")
        command = nerf_command(
            "render",
            f"--run={folder}",
            *flags,
            *(f"--plugin={p}" for p in question.plugins),
        )
        title = f"fly-through of {label}"
        frame = results[0].results["seconds_per_frame"]
        takes = "" if frame is None else f", about {duration(question.frames * frame)}"
        store.say(f"{title}: {question.frames} frames{takes}: {out}")
        tell = partial(_tell, store, title)
        code = run_child(command, out.with_suffix(".log"), store.should_stop, on_progress=tell)
        if store.should_stop():
            raise Interrupted("stopped: run the same command again to render the missing frames")
        if code:
            print(
                f"{label}: no fly-through, exit code {code}: see {out.with_suffix('.log')}",
                file=sys.stderr,
            )
        videos[label] = out if code == 0 else None
    return videos
