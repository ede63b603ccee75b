"""Compare configs or finished runs: which is better, and is the difference real?

    nerf compare configs/ngp.py small=configs/ngp.py:model.max_samples_per_ray=8 \\
        --scene=data/tabletop --budget=60s --seeds=3 --out=report.html
    nerf compare ngp --sweep=batch_size=512,1024 --scene=data/tabletop --budget=60s --out=page.html
    nerf compare ngp nerf --scene=data/tabletop --scene=SCENE --budget=60s --out=page.html
    nerf compare runs/mine runs/other --out=report.html
    nerf compare --list runs/

The result is one self-contained HTML page. An argument is a finished run, a folder of runs that
differ in their seed, or a config, with changed values after a colon and a name before an equals
sign. Configs are trained first, or found among the runs.
docs/comparing.md tells how to ask a fair question.
"""

import json
import shlex
import sys
from pathlib import Path
from typing import Any

from absl import flags

from nerf.cli.commands import stop_on_signal
from nerf.foundation.instantiate import ConfigError

_SCENES = flags.DEFINE_multi_string(
    "scene",
    [],
    "Folder of the scene that configs are trained on; repeatable: compare over several scenes.",
)
_OUT = flags.DEFINE_string("out", None, "The page (.html).")
_JSON = flags.DEFINE_string(
    "json", None, "Write the numbers as JSON here too; - is the terminal. Also with --list."
)
_BUDGET = flags.DEFINE_string("budget", None, "Seconds of training for each run, as 60s or 2m.")
_STEPS = flags.DEFINE_integer(
    "steps", None, "Or: steps of training for each run. Default: what each config says."
)
_SEEDS = flags.DEFINE_string("seeds", "3", "How many seeds of each config, or a range as 3-5.")
_SWEEP = flags.DEFINE_multi_string(
    "sweep", [], "KEY=VALUE,VALUE: each config at each of these values; repeatable."
)
_GRID = flags.DEFINE_enum("grid", "product", ["product", "zip"], "How several --sweep go together.")
_SPLIT = flags.DEFINE_enum(
    "split", None, ["val", "test"], "Held-out views; default: what each config says (test)."
)
_EVALS = flags.DEFINE_integer(
    "eval_times", 8, "Scorings of a run, for curves and equal steps; fewer if slow."
)
_RUNS = flags.DEFINE_string(
    "runs", "runs", "Folder searched for runs to reuse; new ones go to its folder compare."
)
_JOBS = flags.DEFINE_integer(
    "jobs",
    None,
    "How many runs are trained at a time; here one, or one on each GPU, and more only with "
    "--steps; on a cluster as many as it has room for.",
)
_ENGINE = flags.DEFINE_enum(
    "engine",
    "local",
    ["local", "ray"],
    "Where runs are trained: here, or on a Ray cluster (RAY_ADDRESS), which needs the extra ray.",
)
_FRESH = flags.DEFINE_bool("fresh", False, "Train all runs again, also where they exist.")
_PATH = flags.DEFINE_string(
    "path", None, "Camera path of the fly-through; default orbit, follow in open scenes."
)
_FRAMES = flags.DEFINE_integer("frames", 48, "Frames of the fly-through; 0 makes none.")
_MEGABYTES = flags.DEFINE_float(
    "megabytes", 24.0, "Size of the page; views that do not fit show numbers only."
)
_COLUMNS = flags.DEFINE_string(
    "columns", None, "Columns of the table, in order, as psnr,ssim,parameters; default all."
)
_FIGURES = flags.DEFINE_string(
    "figures", None, "Folder for figures of a paper: pictures and curves as PDF, SVG, PNG."
)
_CROP = flags.DEFINE_multi_string(
    "crop", [], "View of the figure, as r_019, or r_019:X,Y,SIDE to enlarge; repeatable."
)
_MESH = flags.DEFINE_bool(
    "mesh", False, "Also meshes of the runs, from all around, with numbers; needs the extra mesh."
)
_RESOLUTION = flags.DEFINE_integer(
    "resolution", None, "With --mesh: cells along the longest side of the box; default 128."
)
_LIST = flags.DEFINE_bool("list", False, "Instead: a table of all runs in the folders given.")
_PLUGIN = flags.DEFINE_multi_string(
    "plugin", [], "Package outside `nerf` that configs may name; repeatable."
)


def main(argv: list[str]) -> int:
    """Compare, or list runs, and return the exit code."""
    if _LIST.value:
        return _list(argv[1:] or [_RUNS.value])
    if not argv[1:] or not _OUT.value:
        raise ConfigError(
            "nerf compare A B --scene=S --out=REPORT.html: give configs or runs, and --out"
        )
    _leave_devices_to_children()
    from nerf.comparing.engines import Interrupted
    from nerf.comparing.report.build import Question, build_report

    question = Question(
        arguments=argv[1:],
        command=shlex.join(["nerf", "compare", *sys.argv[1:]]),
        scenes=tuple(_SCENES.value),
        out=Path(_OUT.value),
        budget=_BUDGET.value,
        steps=_STEPS.value,
        seeds=_SEEDS.value,
        sweep=_SWEEP.value,
        together=_GRID.value == "zip",
        split=_SPLIT.value,
        eval_times=_EVALS.value,
        runs=Path(_RUNS.value),
        jobs=_JOBS.value,
        engine=_ENGINE.value,
        fresh=_FRESH.value,
        path=_PATH.value,
        frames=_FRAMES.value,
        megabytes=_MEGABYTES.value,
        columns=_COLUMNS.value,
        figures=None if _FIGURES.value is None else Path(_FIGURES.value),
        crops=tuple(_CROP.value),
        mesh=_MESH.value,
        resolution=_RESOLUTION.value,
        plugins=tuple(_PLUGIN.value),
    )
    with stop_on_signal() as stop:
        try:
            numbers = build_report(question, stop)
        except Interrupted as error:
            print(error, file=sys.stderr)
            return stop.exit_code
    _write_json(numbers)
    if _JSON.value != "-":
        scope = [numbers["scope"]] if "scope" in numbers else []
        print("\n".join([str(numbers["verdict"]), *scope, f"wrote {_OUT.value}"]))
    return 0 if numbers["verdict"] else 1


def _leave_devices_to_children() -> None:
    """Let JAX use the processor in this process, whose children train and render."""
    import jax

    # Otherwise it would take most of a GPU's memory.
    jax.config.update("jax_platforms", "cpu")


def _list(folders: list[str]) -> int:
    from nerf.runs.results import as_table, run_folders, summary

    if missing := [folder for folder in folders if not Path(folder).is_dir()]:
        raise ConfigError(f"{missing[0]}: no such folder: give one that holds runs")
    rows = [summary(place) for folder in folders for place in run_folders(Path(folder))]
    _write_json(rows)
    if not rows:
        print(
            f"{', '.join(folders)}: no run in it: give the folder of --workdir, or one above",
            file=sys.stderr,
        )
    elif _JSON.value != "-":
        print(as_table(rows))
    return 0


def _write_json(data: Any) -> None:
    from nerf.foundation.files import write_json

    if _JSON.value == "-":
        print(json.dumps(data, indent=1))
    elif _JSON.value:
        write_json(Path(_JSON.value), data)
