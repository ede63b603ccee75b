"""Write the page of a study over several scenes, which links to the page of each scene."""

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
      title: the title of the page.
      command: the command line that asked for it.
      studies: the study of each scene, by the scene's name.
      pages: the HTML file of each scene, by the scene's name.
    """

    title: str
    command: str
    studies: Mapping[str, Study]
    pages: Mapping[str, Path]

    def planned_comparisons(self) -> dict[str, Comparison]:
        """Return the planned comparison of each scene that has one.

        It includes only the configs that have results on every scene.
        """
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


def over_scenes(comparisons: Mapping[str, Comparison]) -> Comparison:
    """Return the comparison over scenes; each scene's mean score counts once."""
    first = next(iter(comparisons.values()))
    scores = {
        label: np.array([[one.scores[label].mean() for one in comparisons.values()]])
        for label in first.scores
    }
    differences = compare_over_scenes({name: one.scores for name, one in comparisons.items()})
    ends = all(one.ends for one in comparisons.values())
    return Comparison(first.axis, first.at, ends, dict.fromkeys(scores, 1.0), scores, differences)


def omissions(scenes: Scenes, comparisons: Mapping[str, Comparison]) -> list[str]:
    """Return a line for each scene and config that the comparison over scenes omits."""
    lines = [
        f"{name}: no comparison on this scene, so it is not counted"
        for name in scenes.studies
        if name not in comparisons
    ]
    kept = set(next(iter(comparisons.values())).scores) if comparisons else set()
    lost = {label for study in scenes.studies.values() for label in study.groups} - kept
    return lines + [
        f"{label}: no result on at least one scene, so it is omitted" for label in sorted(lost)
    ]


def write_scenes_page(scenes: Scenes, out: Path) -> dict[str, Any]:
    """Write the page over scenes atomically; the pages of the scenes already exist.

    Returns: the verdict, every pair over scenes, and the mean PSNR of each config on each scene in
    dB.
    """
    comparisons = scenes.planned_comparisons()
    overall = over_scenes(comparisons) if comparisons else None
    lead = "No scene has results of all configs, so there is nothing to compare"
    if overall:
        lead = words.headline(overall)
    differences = overall.differences if overall else []
    pairs_in_words = [words.describe_difference(d) for d in differences]
    rows = []
    for label in overall.scores if overall else ():
        seeds = [one.scores[label].mean(1) for one in comparisons.values()]
        rows.append((label, [(float(s.mean()), float(s.min()), float(s.max())) for s in seeds]))
    context = {
        "title": scenes.title,
        "command": scenes.command,
        "lead": lead,
        "warnings": omissions(scenes, comparisons),
        "count": len(comparisons),
        "pairs": pairs_in_words,
        "names": list(comparisons),
        "rows": rows,
        "each": [
            (name, quote(os.path.relpath(scenes.pages[name], out.parent)), words.headline(one))
            for name, one in comparisons.items()
        ],
        "style": style(),
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(out, template("scenes.html.j2").render(**context).encode())
    return {
        "title": scenes.title,
        "command": scenes.command,
        "verdict": lead,
        "over_scenes": [
            {**dataclasses.asdict(d), "words": line}
            for d, line in zip(differences, pairs_in_words, strict=True)
        ],
        "psnr": {
            label: dict(zip(comparisons, [mean for mean, _, _ in cells], strict=True))
            for label, cells in rows
        },
    }
