"""A comparison -> one HTML page, and the same numbers as plain data."""

import dataclasses
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup
from matplotlib.figure import Figure

from nerf.comparing.answers import Comparison, Groups, judge, scores_of
from nerf.comparing.jobs import RunResult
from nerf.comparing.report import words
from nerf.comparing.report.curves import curves, curves_figure, look, shared_views
from nerf.comparing.report.figure import as_webp, parse_crops, pictures_figure, write_figures
from nerf.comparing.report.pictures import (
    Blob,
    View,
    error_colours,
    fill,
    sorted_views,
    video_blobs,
)
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
from nerf.comparing.statistics import Difference
from nerf.foundation.files import write_bytes
from nerf.runs.results import MUST_AGREE, NEUTRAL

HERE = Path(__file__).parent
FIGURE_SHARE = 0.3  # of what pictures get: a figure that needs more is not in the page
MEGABYTES = 24.0  # a page's size, of which pictures get what numbers and videos leave
MADE_WITH = ("versions", "device", "processor", "commit")  # of results.json
HIDDEN_KEYS = ("seed", *NEUTRAL)  # of a config: say nothing about what is compared


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


def flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """A config by dotted keys."""
    out: dict[str, Any] = {}
    for key, value in config.items():
        out |= (
            flat(value, f"{prefix}{key}.")
            if isinstance(value, Mapping)
            else {f"{prefix}{key}": value}
        )
    return out


def differing_keys(groups: Groups) -> list[tuple[str, list[str]]]:
    """Keys in which the configs differ, with the value of each; "absent" where a config has no such key."""
    configs = [flat(results[0].config) for results in groups.values()]
    out = []
    for key in sorted(set().union(*configs)):
        values = ["absent" if key not in config else json.dumps(config[key]) for config in configs]
        if len(set(values)) > 1 and key not in HIDDEN_KEYS:
            out.append((key, [value.strip('"') for value in values]))
    return out


def protocol_lines(groups: Groups) -> list[tuple[str, list[str]]]:
    """What all numbers share, and what of it differs between devices or versions, as (name, values)."""
    results = [result for group in groups.values() for result in group]
    protocol = results[0].results["protocol"]
    lines = [(key, [_text(protocol.get(key))]) for key in MUST_AGREE]
    others = dict.fromkeys(
        key for result in results for key in result.results["protocol"] if key not in MUST_AGREE
    )
    lines += [
        (key, _distinct(result.results["protocol"].get(key) for result in results))
        for key in others
    ]
    lines += [(key, _distinct(result.results.get(key) for result in results)) for key in MADE_WITH]
    return lines


def _distinct(values: Iterable[Any]) -> list[str]:
    return sorted({_text(value) for value in values if value is not None}) or ["not recorded"]


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_text(inner)[:16]}" for key, inner in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


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
        f"{words.count(n, 'run')} of {label} failed: see the list of runs."
        for label, n in counts.items()
        if n
    ]
    return lines


def plain(study: Study, table: Table, answers: Sequence[Comparison]) -> dict[str, Any]:
    """The numbers of a study for scripts: verdicts, table, scores of every seed and view, and the runs."""
    return {
        "title": study.title,
        "command": study.command,
        "verdict": words.lead(answers[0]) if answers else None,
        "scope": words.scope(study.scene),
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
    return {**dataclasses.asdict(d), "words": words.sentence(d)}


def as_script(data: Any) -> Markup:
    """JSON that may stand inside a script element whatever it says."""
    text = json.dumps(data, ensure_ascii=True, allow_nan=False)
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))


def breakable(label: str) -> Markup:
    """Text whose lines may end after the signs that join the words of a long name."""
    return Markup("").join(
        part + Markup("<wbr>") * (part in "._=/-") for part in re.split(r"([._=/-])", label) if part
    )


def write_page(study: Study, out: Path, megabytes: float = MEGABYTES) -> dict[str, Any]:
    """Write the page, whole or not at all, and return `plain` of the study."""
    judged = judge(study.groups, [column.key for column in PER_IMAGE])
    table, answers = make_table(judged, study.failures), judged.answers
    numbers = plain(study, table, answers)
    labels = list(study.groups)
    views = sorted_views(study.groups) if labels else []
    videos = video_blobs(study.videos, labels)
    told = _told_without_pictures(study, table.only(study.columns), answers, numbers, views)
    figure = pictures_figure(study.groups, parse_crops(study.crops, views)) if labels else None
    room = int(megabytes * 1e6) - len(_render(study, told, views, [], videos))
    overview = "" if figure is None else as_webp(figure)
    told["overview"] = overview if len(overview) < FIGURE_SHARE * room else ""
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
        "lead": words.lead(answers[0])
        if answers
        else "No run ended, so there is nothing to compare",
        "answers": [
            (words.where(a), words.lead(a), words.how(a), list(map(words.sentence, a.differences)))
            for a in answers
        ],
        "scope": words.scope(study.scene),
        "warnings": warnings(study) if some else [],
        "tables": _halves(table),
        "without_numbers": table.without_numbers(),
        "look": look,
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


def template(name: str) -> Template:
    """Return a page's template, in which every name is escaped and must be given."""
    loader = FileSystemLoader(HERE)
    options = {"undefined": StrictUndefined, "trim_blocks": True, "lstrip_blocks": True}
    environment = Environment(loader=loader, autoescape=True, **options)  # type: ignore[arg-type]
    environment.filters["breakable"] = breakable
    return environment.get_template(name)


def style() -> Markup:
    """Return the pages' style sheet."""
    return Markup((HERE / "style.css").read_text(encoding="utf-8"))


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
