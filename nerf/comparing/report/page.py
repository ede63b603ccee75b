"""Write the report of a study as one HTML page, and return its numbers as plain data."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup
from matplotlib.figure import Figure

from nerf.comparing.comparison import Comparison, Groups, judge, scores_of
from nerf.comparing.report import words
from nerf.comparing.report.curves import curves, curves_figure, line_style, shared_views
from nerf.comparing.report.figure import as_webp, parse_crops, pictures_figure, write_figures
from nerf.comparing.report.meshes import ShownMesh
from nerf.comparing.report.pictures import (
    Blob,
    View,
    error_colours,
    fill,
    sorted_views,
    video_blobs,
)
from nerf.comparing.report.protocol import differing_keys, protocol_lines
from nerf.comparing.report.sweep import Sweep, sweep_figure, sweep_svg
from nerf.comparing.report.table import (
    CLASSES,
    COLUMNS,
    FACTS,
    PER_IMAGE,
    QUALITY,
    SURFACE,
    Column,
    Table,
    as_csv,
    as_latex,
    as_markdown,
    make_table,
    table_of_classes,
)
from nerf.comparing.report.templates import HERE, as_script, style, template
from nerf.comparing.run_store import RunResult
from nerf.comparing.statistics import Difference
from nerf.foundation.files import write_bytes

MAX_FIGURE_FRACTION = 0.3  # of the space for pictures; a larger figure is not in the page
MEGABYTES = 24.0  # size of a page; pictures get the space that numbers and videos leave


@dataclasses.dataclass(frozen=True)
class Study:
    """The contents of a page.

    Attributes:
      title: the title of the page.
      command: the command line that asked for it.
      groups: finished runs of each config.
      outcomes: the result of each requested run, in the order of the requests.
      failures: the reason for each config without a result.
      videos: the fly-through of each config; None if it failed.
      scene: name of the scene.
      sweeps: the sweeps to plot.
      columns: columns of the table, in order.
      crops: views and crops of the figure, in the form that `figure.parse_crops` reads.
      figures: folder for figures as files; None writes none.
      fits: of runs that fit one image: the picture, error and spectrum of each config.
      meshes: the mesh of each config; empty if none were asked for.
    """

    title: str
    command: str
    groups: Groups
    outcomes: Sequence[RunResult]
    failures: Mapping[str, str]
    videos: Mapping[str, Path | None]
    scene: str = "a scene"
    sweeps: Sequence[Sweep] = ()
    columns: Sequence[Column] = COLUMNS
    crops: Sequence[str] = ()
    figures: Path | None = None
    fits: Figure | None = None
    meshes: Sequence[ShownMesh] = ()


def warnings(study: Study) -> list[str]:
    """Return a line for each reason why numbers of the runs are not comparable."""
    results = [result for group in study.groups.values() for result in group]
    lines = []
    if any(
        len({json.dumps(result.results.get(key)) for result in results}) > 1
        for key in ("device", "processor")
    ):
        lines.append(
            "The runs were made on different devices or processors: "
            "their seconds and memory are not comparable."
        )
    jobs = 1
    for result in results:
        try:
            jobs = max(jobs, json.loads((result.folder / "study.json").read_text())["jobs"])
        except (OSError, ValueError, KeyError):
            continue
    if jobs > 1:
        lines.append(
            f"Some runs were trained {jobs} at a time and slowed each other down: "
            "their seconds are not comparable."
        )
    counts = {
        label: sum(bool(o.failure) for o in study.outcomes if o.label == label)
        for label in study.groups
    }
    lines += [
        f"{words.pluralize(n, 'run')} of {label} failed: see the list of runs."
        for label, n in counts.items()
        if n
    ]
    return lines


def plain(study: Study, table: Table, comparisons: Sequence[Comparison]) -> dict[str, Any]:
    """Return the numbers of a study as plain data for scripts.

    Args:
      study: the study.
      table: its complete table.
      comparisons: its comparisons, the planned one first.

    Returns: JSON-serialisable data: verdict, comparisons, table, scores of every seed and view,
    runs, meshes and protocol.
    """
    return {
        "title": study.title,
        "command": study.command,
        "verdict": words.headline(comparisons[0]) if comparisons else None,
        "scope": words.scope_note(study.scene),
        "answers": [
            {
                "axis": a.axis,
                "at": a.at,
                "ends": a.ends,
                "progress": a.progress,
                "differences": [_difference(d) for d in a.differences],
                "missing": a.missing,
            }
            for a in comparisons
        ],
        "table": _plain_rows(table),
        "views": next(iter(study.groups.values()))[0].names if study.groups else [],
        "per_image": {
            column.key: {label: score.tolist() for label, score in scores.items()}
            for column in PER_IMAGE
            if study.groups and (scores := scores_of(study.groups, column.key)) is not None
        },
        "seeds": {
            label: [r.config["seed"] for r in results] for label, results in study.groups.items()
        },
        "runs": [_plain_run(outcome) for outcome in study.outcomes],
        "meshes": {mesh.label: mesh.numbers for mesh in study.meshes},
        "protocol": {key: values for key, values in protocol_lines(study.groups)}
        if study.groups
        else {},
    }


def _plain_run(outcome: RunResult) -> dict[str, Any]:
    """Return where a run lies, and whether it was trained, reused or failed."""
    return {
        "config": outcome.label,
        "seed": outcome.seed,
        "folder": str(outcome.folder),
        "note": outcome.note,
        "failure": outcome.failure or None,
    }


def _plain_rows(table: Table) -> list[dict[str, Any]]:
    """Return the numbers of each row by the key of their column; None where there is none."""
    return [
        {
            "config": row.label,
            "seeds": row.seeds,
            **dict.fromkeys(column.key for column in table.columns),
            **{c.key: cell.value for c, cell in zip(table.columns, row.cells, strict=False)},
            "failure": row.failure or None,
        }
        for row in table.rows
    ]


def _difference(d: Difference) -> dict[str, Any]:
    """Return a difference as plain data, with its description."""
    return {**dataclasses.asdict(d), "words": words.describe_difference(d)}


def write_page(study: Study, out: Path, megabytes: float = MEGABYTES) -> dict[str, Any]:
    """Write the page of a study atomically, and its figures if asked for.

    Args:
      study: the contents.
      out: the HTML file.
      megabytes: maximum size of the page in MB; views that do not fit are shown as numbers only.

    Returns: the numbers of the study, as `plain` returns them.
    """
    judged = judge(study.groups, [column.key for column in PER_IMAGE])
    table = make_table(judged, study.failures)
    comparisons = judged.comparisons
    numbers = plain(study, table, comparisons)
    labels = list(study.groups)
    views = sorted_views(study.groups) if labels else []
    videos = video_blobs(study.videos, labels)
    context = _context_without_pictures(
        study, table.only(study.columns), comparisons, numbers, views
    )
    figure = pictures_figure(study.groups, parse_crops(study.crops, views)) if labels else None
    # Render without pictures first, to find the space that is left for them.
    room = int(megabytes * 1e6) - len(_render(study, context, views, [], videos))
    overview = "" if figure is None else as_webp(figure)
    fits = "" if study.fits is None else as_webp(study.fits)
    for name, drawing in (("overview", overview), ("fits", fits)):
        context[name] = drawing if len(drawing) < MAX_FIGURE_FRACTION * room else ""
    room -= len(context["overview"]) + len(context["fits"])
    blobs, shown = fill(study.groups, views, room) if labels else ([], [])
    out.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(out, _render(study, context, shown, blobs, videos).encode())
    if study.figures is not None:
        drawn: dict[str, Figure | None] = {
            f"curves_{axis}": curves_figure(study.groups, axis) for axis in ("seconds", "step")
        }
        drawn |= {f"sweep_{sweep.key}": sweep_figure(sweep) for sweep in study.sweeps}
        write_figures(study.figures, {"pictures": figure, "fits": study.fits, **drawn})
    return numbers


def _context_without_pictures(
    study: Study,
    table: Table,
    comparisons: Sequence[Comparison],
    numbers: Mapping[str, Any],
    views: Sequence[View],
) -> dict[str, Any]:
    """Return the variables of the template, except for the pictures."""
    some = bool(study.groups)
    shared = shared_views(study.groups)
    lead = "No run finished, so there is nothing to compare"
    if comparisons:
        lead = words.headline(comparisons[0])
    return {
        "labels": list(study.groups),
        "lead": lead,
        "comparisons": [
            (
                words.comparison_title(a),
                words.headline(a),
                words.comparison_method(a),
                list(map(words.describe_difference, a.differences)),
            )
            for a in comparisons
        ],
        "scope": words.scope_note(study.scene),
        "warnings": warnings(study) if some else [],
        "tables": [*_split_table(table), *_of_classes(study)],
        "without_numbers": table.without_numbers(),
        "line_style": line_style,
        "copies": {"Markdown": as_markdown(table), "LaTeX": as_latex(table), "CSV": as_csv(table)},
        "differing": differing_keys(study.groups) if some else [],
        "curves": [
            Markup(svg) for axis in ("seconds", "step") if (svg := curves(study.groups, axis))
        ],
        "sweeps": [(sweep, Markup(sweep_svg(sweep))) for sweep in study.sweeps],
        "curve_views": len(views) if shared is None else int(shared.sum()),
        "views": views,
        "overview": "",
        "fits": "",
        "protocol": protocol_lines(study.groups) if some else [],
        "numbers": as_script(numbers),
        "style": style(),
        "script": Markup((HERE / "script.js").read_text(encoding="utf-8")),
    }


def _split_table(table: Table) -> list[tuple[str, Table]]:
    """Split the table into those that fit on a page: quality, surface, classes and cost.

    Columns without a number are dropped, and so is a table without columns.
    """
    kinds = {"Quality": QUALITY, "Surface": SURFACE, "Classes": CLASSES, "Cost": FACTS}
    parts = [
        (t, table.only([c for c in table.columns if c in kind]).numbered())
        for t, kind in kinds.items()
    ]
    filled = [(title, part) for title, part in parts if part.columns]
    return filled or [("Runs", table.numbered())]


def _of_classes(study: Study) -> list[tuple[str, Table]]:
    """Return the table of single classes with its title, if any config has classes."""
    table = table_of_classes(study.groups).numbered()
    return [("Intersection over union of each class, %", table)] if table.columns else []


def _render(
    study: Study,
    context: Mapping[str, Any],
    shown: Sequence[View],
    blobs: Sequence[Blob],
    videos: Sequence[Blob],
) -> str:
    """Render the page with these views, pictures and videos."""
    return template("page.html.j2").render(
        study=study,
        omitted=len(context["views"]) - len(shown),
        blobs=[*blobs, *videos],
        data=as_script(_for_script(study, shown, context["copies"], videos)),
        **context,
    )


def _for_script(
    study: Study, shown: Sequence[View], copies: Mapping[str, str], videos: Sequence[Blob]
) -> dict[str, Any]:
    """Return the data that the script of the page needs."""
    labels = list(study.groups)
    first = [results[0] for results in study.groups.values()]

    def of_view(metric: str, view: View) -> list[float | None]:
        """Return a metric of each config's first run; None if it was not recorded."""
        return [result.results["per_image"][view.name].get(metric) for result in first]

    return {
        "labels": labels,
        "seeds": [[result.config["seed"] for result in study.groups[label]] for label in labels],
        "normals": [result.results["protocol"].get("normals") for result in first],
        "views": [
            {
                "index": view.index,
                "name": view.name,
                "apart": view.apart,
                "psnr": of_view("psnr", view),
                "mean": [view.psnr[label] for label in labels],
                "normals": of_view("normal_degrees", view),
                "depth": of_view("depth_error", view),
            }
            for view in shown
        ],
        "copies": copies,
        "colours": error_colours(),
        "videos": [blob.key for blob in videos],
    }
