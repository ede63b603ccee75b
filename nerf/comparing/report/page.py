"""A comparison -> one HTML page, and the same numbers as plain data."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup
from matplotlib.figure import Figure

from nerf.comparing.comparison import Comparison, Groups, judge, scores_of
from nerf.comparing.report import words
from nerf.comparing.report.curves import curves, curves_figure, line_style, shared_views
from nerf.comparing.report.figure import as_webp, parse_crops, pictures_figure, write_figures
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
    COLUMNS,
    FACTS,
    PER_IMAGE,
    Column,
    Table,
    as_csv,
    as_latex,
    as_markdown,
    make_table,
)
from nerf.comparing.report.templates import HERE, as_script, style, template
from nerf.comparing.run_store import RunResult
from nerf.comparing.statistics import Difference
from nerf.foundation.files import write_bytes

MAX_FIGURE_FRACTION = 0.3  # of what pictures get: a figure that needs more is not in the page
MEGABYTES = 24.0  # a page's size, of which pictures get what numbers and videos leave


@dataclasses.dataclass(frozen=True)
class Study:
    """All that a page tells.

    Attributes:
      title: what it is about.
      command: how it was asked for.
      groups: finished runs of each config.
      outcomes: what became of each run that was wanted, in the order they were asked for.
      failures: why configs, or some of their seeds, have no result.
      videos: a fly-through of each config that has one.
      scene: its name.
      sweeps: of what a key does.
      columns: of the table, in order.
      crops: views of the figure, as `nerf.comparing.report.figure.parse_crops` reads them.
      figures: a folder for figures as files; None writes none.
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


def warnings(study: Study) -> list[str]:
    """What makes some of the numbers less comparable than they look, a line each."""
    results = [result for group in study.groups.values() for result in group]
    lines = []
    if any(
        len({json.dumps(result.results.get(key)) for result in results}) > 1
        for key in ("device", "processor")
    ):
        lines.append(
            "The runs were made on different devices or processors: their seconds and memory are not comparable."
        )
    jobs = 1
    for result in results:
        try:
            jobs = max(jobs, json.loads((result.folder / "study.json").read_text())["jobs"])
        except (OSError, ValueError, KeyError):
            continue
    if jobs > 1:
        lines.append(
            f"Some runs were trained {jobs} at a time: they took each other's time, so seconds say little."
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


def plain(study: Study, table: Table, answers: Sequence[Comparison]) -> dict[str, Any]:
    """The numbers of a study for scripts: verdicts, table, scores of every seed and view, and the runs."""
    return {
        "title": study.title,
        "command": study.command,
        "verdict": words.headline(answers[0]) if answers else None,
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
            for a in answers
        ],
        "table": [
            {
                "config": row.label,
                "seeds": row.seeds,
                **dict.fromkeys(column.key for column in table.columns),
                **{c.key: cell.value for c, cell in zip(table.columns, row.cells, strict=False)},
                "failure": row.failure or None,
            }
            for row in table.rows
        ],
        "views": next(iter(study.groups.values()))[0].names if study.groups else [],
        "per_image": {
            column.key: {label: score.tolist() for label, score in scores.items()}
            for column in PER_IMAGE
            if study.groups and (scores := scores_of(study.groups, column.key)) is not None
        },
        "seeds": {
            label: [r.config["seed"] for r in results] for label, results in study.groups.items()
        },
        "runs": [
            {
                "config": o.label,
                "seed": o.seed,
                "folder": str(o.folder),
                "note": o.note,
                "failure": o.failure or None,
            }
            for o in study.outcomes
        ],
        "protocol": {key: values for key, values in protocol_lines(study.groups)}
        if study.groups
        else {},
    }


def _difference(d: Difference) -> dict[str, Any]:
    return {**dataclasses.asdict(d), "words": words.describe_difference(d)}


def write_page(study: Study, out: Path, megabytes: float = MEGABYTES) -> dict[str, Any]:
    """Write the page, whole or not at all, and return `plain` of the study."""
    judged = judge(study.groups, [column.key for column in PER_IMAGE])
    table, answers = make_table(judged, study.failures), judged.comparisons
    numbers = plain(study, table, answers)
    labels = list(study.groups)
    views = sorted_views(study.groups) if labels else []
    videos = video_blobs(study.videos, labels)
    told = _told_without_pictures(study, table.only(study.columns), answers, numbers, views)
    figure = pictures_figure(study.groups, parse_crops(study.crops, views)) if labels else None
    room = int(megabytes * 1e6) - len(_render(study, told, views, [], videos))
    overview = "" if figure is None else as_webp(figure)
    told["overview"] = overview if len(overview) < MAX_FIGURE_FRACTION * room else ""
    blobs, shown = fill(study.groups, views, room - len(told["overview"])) if labels else ([], [])
    out.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(out, _render(study, told, shown, blobs, videos).encode())
    if study.figures is not None:
        drawn: dict[str, Figure | None] = {
            f"curves_{axis}": curves_figure(study.groups, axis) for axis in ("seconds", "step")
        }
        drawn |= {f"sweep_{sweep.key}": sweep_figure(sweep) for sweep in study.sweeps}
        write_figures(study.figures, {"pictures": figure, **drawn})
    return numbers


def _told_without_pictures(
    study: Study,
    table: Table,
    answers: Sequence[Comparison],
    numbers: Mapping[str, Any],
    views: Sequence[View],
) -> dict[str, Any]:
    """What the template needs but for the pictures."""
    some = bool(study.groups)
    shared = shared_views(study.groups)
    return {
        "labels": list(study.groups),
        "lead": words.headline(answers[0])
        if answers
        else "No run ended, so there is nothing to compare",
        "answers": [
            (
                words.comparison_title(a),
                words.headline(a),
                words.comparison_method(a),
                list(map(words.describe_difference, a.differences)),
            )
            for a in answers
        ],
        "scope": words.scope_note(study.scene),
        "warnings": warnings(study) if some else [],
        "tables": _halves(table),
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
        "protocol": protocol_lines(study.groups) if some else [],
        "numbers": as_script(numbers),
        "style": style(),
        "script": Markup((HERE / "script.js").read_text(encoding="utf-8")),
    }


def _halves(table: Table) -> list[tuple[str, Table]]:
    """The table in two that fit on a page: what was measured on pictures, and what it cost; one of them may miss."""
    kinds = {"Quality": PER_IMAGE, "Cost": FACTS}
    halves = [
        (t, table.only([c for c in table.columns if c in kind]).numbered())
        for t, kind in kinds.items()
    ]
    some = [(title, half) for title, half in halves if half.columns]
    return some or [("Runs", table.numbered())]


def _render(
    study: Study,
    told: Mapping[str, Any],
    shown: Sequence[View],
    blobs: Sequence[Blob],
    videos: Sequence[Blob],
) -> str:
    return template("page.html.j2").render(
        study=study,
        left_out=len(told["views"]) - len(shown),
        blobs=[*blobs, *videos],
        data=as_script(_for_script(study, shown, told["copies"], videos)),
        **told,
    )


def _for_script(
    study: Study, shown: Sequence[View], copies: Mapping[str, str], videos
) -> dict[str, Any]:
    """What the page's script needs."""
    labels = list(study.groups)
    first = {label: results[0].scores("psnr") for label, results in study.groups.items()}
    return {
        "labels": labels,
        "seeds": [[result.config["seed"] for result in study.groups[label]] for label in labels],
        "views": [
            {
                "index": view.index,
                "name": view.name,
                "apart": view.apart,
                "psnr": [float(np.asarray(first[label])[view.index]) for label in labels],
                "mean": [view.psnr[label] for label in labels],
            }
            for view in shown
        ],
        "copies": copies,
        "colours": error_colours(),
        "videos": [blob.key for blob in videos],
    }
