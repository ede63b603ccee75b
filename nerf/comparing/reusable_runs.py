"""Decide which finished or interrupted runs a study can reuse."""

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from nerf.comparing.studies import RunRequest
from nerf.runs.budget import Budget
from nerf.runs.checkpoints import CheckpointError, Checkpoints
from nerf.runs.record import read_json
from nerf.runs.results import Result, comparable_config, mismatch, read_result, run_folders
from nerf.runs.resume import differences

MAX_SHOWN_REASONS = 3  # why a folder does not match; more are only counted


def readable_runs(root: Path) -> Iterator[Result]:
    """Yield the finished runs below a folder, skipping those that cannot be read."""
    for folder in run_folders(root):
        with contextlib.suppress(CheckpointError, KeyError, AttributeError):
            yield read_result(folder)


def find_run(run: RunRequest, now: Mapping[str, Any], known: Sequence[Result]) -> Result | None:
    """Return a finished run that matches the request exactly, or None.

    Args:
      run: the requested run.
      now: what its results would record: versions, device, processor, code and scene digest.
      known: finished runs to choose from.
    """
    return next(
        (result for result in known if not mismatch(result, run.config, run.max_seconds, now)), None
    )


def earlier_seconds(
    run: RunRequest, known: Sequence[Result], now: Mapping[str, Any]
) -> list[float]:
    """Return the wall times of earlier runs that took a comparable time.

    These are runs that differ only in seed, scene files or code.

    Args:
      run: the requested run.
      known: finished runs to choose from.
      now: versions, device and processor that the runs must have been made with.

    Returns: for each of these runs the time from start to results, in seconds.
    """
    seconds = []
    for result in known:
        # Replace everything that may differ by the values of the finished run.
        config = {**run.config, "seed": result.config.get("seed")}
        here = {**now, "scene_digest": result.results["protocol"].get("scene_digest")}
        here["code"] = result.results.get("code") or {}
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            if not mismatch(result, config, run.max_seconds, here):
                seconds.append(
                    float(json.loads((result.folder / "study.json").read_text())["seconds"])
                )
    return seconds


def why_unusable(folder: Path, run: RunRequest, now: Mapping[str, Any]) -> str | None:
    """Return why a folder cannot be used for a run.

    Args:
      folder: a run folder, which may not exist yet.
      run: the requested run.
      now: what its results would record: versions, device, processor, code and scene digest.

    Returns: the reason; None if the folder is unused, contains this run, or can be resumed.
    """
    if not (folder / "config.json").exists():
        return None
    try:
        if (folder / "results.json").exists():
            why = mismatch(read_result(folder), run.config, run.max_seconds, now)
        else:
            old = read_json(folder / "config.json")
            # An unfinished run is resumable only if everything but its progress is the same.
            ours = comparable_config(old, run.max_seconds)
            theirs = comparable_config(run.config, run.max_seconds)
            why = differences(ours, theirs)
            facts = Checkpoints(folder / "checkpoints", read_only=True).newest_facts()
            budget = Budget(run.config["steps"], run.max_seconds)
            if facts and (
                facts["extended"]
                or not Budget(facts["steps"], facts["max_seconds"]).same_as(budget)
            ):
                why.append("its budget was changed while it trained")
            if read_json(folder / "scene.json")["digest"] != now["scene_digest"]:
                why.append("another scene, or its files changed")
            if read_json(folder / "code.json") != now["code"]:
                why.append("the code changed before it was finished")
    except (CheckpointError, KeyError, AttributeError) as error:
        return f"{folder.name} cannot be read ({error})"
    more = f" and {len(why) - MAX_SHOWN_REASONS} more" if len(why) > MAX_SHOWN_REASONS else ""
    if not why:
        return None
    return f"{folder.name} does not match ({'; '.join(why[:MAX_SHOWN_REASONS])}{more})"
