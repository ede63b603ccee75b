"""A study over several scenes -> one page that asks whether the difference holds over scenes, and a page for each."""

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from nerf.comparing.comparison import Comparison, judge
from nerf.comparing.report import words
from nerf.comparing.report.page import Study
from nerf.comparing.report.templates import style, template
from nerf.comparing.statistics import compare_over_scenes
from nerf.foundation.files import write_bytes


@dataclasses.dataclass(frozen=True)
class Scenes:
    """A study of the same configs on several scenes.

    Attributes:
      title: what it is about.
      command: how it was asked for.
      studies: of each scene, by its name.
      pages: of each scene.
    """

    title: str
    command: str
    studies: Mapping[str, Study]
    pages: Mapping[str, Path]

    def answers(self) -> dict[str, Comparison]:
        """Return for each scene the answer that was planned for, of the configs that have results on every scene."""
        shared = [set(study.groups) for study in self.studies.values()]
        labels = [
            label
            for label in next(iter(self.studies.values())).groups
            if all(label in have for have in shared)
        ]
        out = {}
        for name, study in self.studies.items():
            judged = judge({label: study.groups[label] for label in labels}, ["psnr"])
            if judged.comparisons and judged.comparisons[0].at is not None:
                out[name] = judged.comparisons[0]
        return out


def over_scenes(answers: Mapping[str, Comparison]) -> Comparison:
    """Return the answer over scenes: the means of each scene are its scores."""
    first = next(iter(answers.values()))
    scores = {
        label: np.array([[a.scores[label].mean() for a in answers.values()]])
        for label in first.scores
    }
    differences = compare_over_scenes({name: a.scores for name, a in answers.items()})
    ends = all(answer.ends for answer in answers.values())
    return Comparison(first.axis, first.at, ends, dict.fromkeys(scores, 1.0), scores, differences)


def left_out(scenes: Scenes, answers: Mapping[str, Comparison]) -> list[str]:
    """Return a line for each scene and config that the answer over scenes is without."""
    lines = [
        f"{name}: no answer on this scene, so it does not count"
        for name in scenes.studies
        if name not in answers
    ]
    kept = set(next(iter(answers.values())).scores) if answers else set()
    lost = {label for study in scenes.studies.values() for label in study.groups} - kept
    return lines + [
        f"{label}: has no result on some scene, so it is left out" for label in sorted(lost)
    ]


def write_scenes_page(scenes: Scenes, out: Path) -> dict[str, Any]:
    """Write the page over scenes, whole or not at all; the pages of the scenes are written already.

    Returns: the verdict, every pair over scenes, and the mean PSNR of each config on each scene, in dB.
    """
    answers = scenes.answers()
    whole = over_scenes(answers) if answers else None
    lead = (
        words.headline(whole)
        if whole
        else "No scene has results of all configs, so there is nothing to compare"
    )
    rows = []
    for label in whole.scores if whole else ():
        seeds = [answer.scores[label].mean(1) for answer in answers.values()]
        rows.append((label, [(float(s.mean()), float(s.min()), float(s.max())) for s in seeds]))
    told = {
        "title": scenes.title,
        "command": scenes.command,
        "lead": lead,
        "warnings": left_out(scenes, answers),
        "count": len(answers),
        "pairs": [words.describe_difference(d) for d in whole.differences] if whole else [],
        "names": list(answers),
        "rows": rows,
        "each": [
            (name, quote(os.path.relpath(scenes.pages[name], out.parent)), words.headline(answer))
            for name, answer in answers.items()
        ],
        "style": style(),
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(out, template("scenes.html.j2").render(**told).encode())
    return {
        "title": scenes.title,
        "command": scenes.command,
        "verdict": lead,
        "over_scenes": [
            {**dataclasses.asdict(d), "words": words.describe_difference(d)}
            for d in whole.differences
        ]
        if whole
        else [],
        "psnr": {
            label: dict(zip(answers, [mean for mean, _, _ in cells], strict=True))
            for label, cells in rows
        },
    }
