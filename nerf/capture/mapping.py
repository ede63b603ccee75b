"""Poses from photos, estimated in a child process that may die, hang, or find few of them.

    estimate(work folder, images, options) -> Estimate    # or CaptureError, one line: what happened, what to try

The child is `nerf.capture.child`. The parent only waits, and reads JSON files that are there complete or not at all:
the result, and how far the child is. The work folder may be that of an attempt that was stopped: features and matches
of the same photos are found once.
"""

import contextlib
import dataclasses
import hashlib
import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from nerf.foundation.errors import UserError
from nerf.foundation.files import write_json
from nerf.runs.lock import OWNER_FILE

CHILD = (sys.executable, "-m", "nerf.capture.child")
MAX_QUOTED = 300  # characters of the child's log that an error quotes
REUSED_ANYWAY = ("mapper", "timeout")  # parts of a job on which features and matches do not depend

Report = Callable[
    [str, str, int, int], None
]  # what is being done, the unit of it, units done, units in all


class CaptureError(UserError):
    """Photos that did not become a scene: what happened and what to try, in one line."""


class Unfinished(CaptureError):
    """Report a failure after which another attempt can use what was computed."""


@dataclasses.dataclass(frozen=True)
class Options:
    """How poses are estimated.

    Attributes:
      mapper: "incremental" (sturdy) or "global" (faster for hundreds of images).
      matching: "exhaustive" compares all pairs of images, "sequential" each with those that follow it.
      camera_model: COLMAP's name of the lens.
      max_side: images are reduced to this for finding features.
      max_features: of an image.
      timeout: seconds until the child is ended.
      seed: of everything random in it.
    """

    mapper: str = "incremental"
    matching: str = "exhaustive"
    camera_model: str = "OPENCV"
    max_side: int = 1600
    max_features: int = 4096
    timeout: float = 3600.0
    seed: int = 0


@dataclasses.dataclass(frozen=True)
class Estimate:
    """What the child found.

    Attributes:
      names: registered images, sorted.
      c2w: their poses, OpenGL axes, in COLMAP's world.
      lenses: of each image: "model", "width", "height", and "params" as a dictionary of COLMAP's names.
      models: sizes of all groups of images that were put together, the largest first; it is the one described here.
      features, matches: by name, of all images: how many features, how many verified matches in the best pair.
      points: PLY file of sparse points.
    """

    names: Sequence[str]
    c2w: Float[np.ndarray, "n 3 4"]
    lenses: Sequence[dict[str, Any]]
    models: Sequence[int]
    features: dict[str, int]
    matches: dict[str, int]
    points: Path


def require_pycolmap() -> None:
    """Raise CaptureError where it is not installed; it is never imported here."""
    if importlib.util.find_spec("pycolmap") is None:
        raise CaptureError(
            "pycolmap: not installed, and poses are estimated with it: pip install pycolmap"
        )


def estimate(
    work: Path,
    images: Path,
    groups: Sequence[Sequence[str]],
    options: Options,
    log: Path,
    should_stop: Callable[[], bool] = lambda: False,
    child: Sequence[str] = CHILD,
    report: Report = lambda *_: None,
) -> Estimate | None:
    """Estimate the poses of images; None where a stop was asked for. Raises CaptureError.

    Args:
      work: a folder for the child's files, empty or that of an earlier attempt.
      images: folder of the images.
      groups: names of images that were taken through one lens, relative to `images`.
      options: see there.
      log: file for what the child says.
      should_stop: asked several times a second.
      child: the command; the job's file is added.
      report: called several times a second with how far the child is.
    """
    files = {
        "database": "database.db",
        "models": "models",
        "points": "points.ply",
        "result": "result.json",
    }
    files["progress"] = "progress.json"
    job = {
        **dataclasses.asdict(options),
        "images": str(images.resolve()),
        "groups": [list(group) for group in groups],
    }
    job |= {key: str((work / name).resolve()) for key, name in files.items()}
    job["digest"] = _digest(images, [name for group in groups for name in group])
    _clear(work, job)
    write_json(work / "job.json", job)
    code = _run(
        [*child, str(work / "job.json")],
        log,
        options.timeout,
        should_stop,
        work / "progress.json",
        report,
    )
    if code == "stopped":
        return None
    if not (
        work / "result.json"
    ).is_file():  # one that is there is complete, however the child ended
        raise (Unfinished if code == "timeout" else CaptureError)(
            _what_happened(code, log, options)
        )
    return _read(work / "result.json", work / "points.ply")


def _digest(images: Path, names: Sequence[str]) -> str:
    """sha256 of the images and their names."""
    sha = hashlib.sha256()
    for name in names:
        sha.update(f"{name}\n".encode() + hashlib.sha256((images / name).read_bytes()).digest())
    return sha.hexdigest()


def _clear(work: Path, job: dict[str, Any]) -> None:
    """Remove what an earlier attempt left, but for the features and matches of the same job."""
    try:
        old = json.loads((work / "job.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        old = {}
    same = all(old.get(key) == job[key] for key in job if key not in REUSED_ANYWAY)
    for path in work.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name != OWNER_FILE and not (same and path.name.startswith("database.db")):
            path.unlink()


def _run(
    command: list[str],
    log: Path,
    timeout: float,
    should_stop: Callable[[], bool],
    progress: Path,
    report: Report,
) -> int | str:
    """The child's exit code, or "timeout" or "stopped"; it and all that it started are gone then."""
    # COLMAP's own account of what it does goes to the log: without it nobody can tell why photos were left out.
    verbose = {} if "GLOG_minloglevel" in os.environ else {"GLOG_minloglevel": "0"}
    root = str(Path(__file__).parent.parent.parent)
    environment = {
        **os.environ,
        **verbose,
        "PYTHONPATH": os.pathsep.join([root, os.environ.get("PYTHONPATH", "")]),
    }
    with log.open("wb") as out:
        child = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=out,
            stderr=out,
            env=environment,
            start_new_session=True,
        )
    end = time.monotonic() + timeout
    try:
        while child.poll() is None:
            if should_stop():
                return "stopped"
            if time.monotonic() > end:
                return "timeout"
            with contextlib.suppress(
                OSError, ValueError, KeyError
            ):  # before the child has said anything
                said = json.loads(progress.read_text(encoding="utf-8"))
                report(said["what"], said["unit"], said["done"], said["total"])
            time.sleep(0.05)
        return child.returncode
    finally:
        _kill(child)
        child.wait()
        child.stdin.close()  # type: ignore[union-attr]


def _kill(child: subprocess.Popen) -> None:
    """Kill a process and, where the system has groups of processes (not on Windows), all that it started."""
    with contextlib.suppress(ProcessLookupError):
        if hasattr(os, "killpg"):
            os.killpg(child.pid, signal.SIGKILL)
        else:
            child.kill()


def _what_happened(code: int | str, log: Path, options: Options) -> str:
    """One line for a child that left no result."""
    other = "global" if options.mapper == "incremental" else "incremental"
    smaller = f"a smaller --max_side than {options.max_side}"
    if code == "timeout":
        order = (
            " --matching=sequential if they are in order,"
            if options.matching == "exhaustive"
            else ""
        )
        fix = f"give more seconds (what was found is kept),{order} {smaller}, or fewer photos"
        return f"pose estimation: not done after --timeout={options.timeout:g} seconds, ended: {fix} ({log})"
    if isinstance(code, int) and code < 0:
        name = signal.Signals(-code).name if -code in list(signal.Signals) else f"signal {-code}"
        fix = f"{smaller}, fewer photos, or --mapper={other}"
        memory = "; the system does this where memory ran out" if name == "SIGKILL" else ""
        return f"pose estimation: its process was killed ({name}{memory}): try {fix} ({log})"
    return f"pose estimation: its process failed with code {code} ({_last_words(log)}): try --mapper={other} ({log})"


def _last_words(log: Path) -> str:
    """The last line of the log that tells what went wrong: not a stack trace, nor what COLMAP says in passing."""
    lines = [
        line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines()
    ]
    said = [line for line in lines if line and not line.startswith(("@", "***", "PC:"))]
    passing = re.compile(r"[IW]\d{8} ")
    chosen = [line for line in said if not passing.match(line)] or said
    return chosen[-1][:MAX_QUOTED] if chosen else "it said nothing"


def _read(file: Path, points: Path) -> Estimate:
    """The child's result; CaptureError where it is not one."""
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
        names = sorted(data["images"])
        w2c = np.array([data["images"][name]["w2c"] for name in names], np.float64).reshape(
            -1, 3, 4
        )
        lenses = [data["cameras"][data["images"][name]["camera"]] for name in names]
        sizes = [int(size) for size in data["models"]]
        return Estimate(
            names, _to_opengl(w2c), lenses, sizes, data["features"], data["matches"], points
        )
    except (KeyError, TypeError, ValueError) as error:
        raise CaptureError(f"{file}: not a result ({error!r}): install pycolmap again") from error


def _to_opengl(w2c: Float[np.ndarray, "n 3 4"]) -> Float[np.ndarray, "n 3 4"]:
    """Inverse of OpenCV world-to-camera matrices, with y and z of the camera turned round."""
    rotation = w2c[:, :, :3].transpose(0, 2, 1)
    position = -rotation @ w2c[:, :, 3:]
    return np.concatenate([rotation * np.array([1.0, -1.0, -1.0]), position], -1)
