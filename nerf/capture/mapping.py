"""Estimate poses from photos in a child process that may crash, hang, or register few photos.

    estimate(work, images, groups, options, log) -> Estimate, or None if it was stopped

A failure raises CaptureError, with one line that says what happened and what to try.

The child is `nerf.capture.child`. The parent only waits and reads two JSON files that the child
writes atomically: the result and the progress. The work folder may be that of a stopped attempt:
features and matches of the same photos are reused.
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
from nerf.foundation.resources import child_environment
from nerf.runs.lock import OWNER_FILE

CHILD = (sys.executable, "-m", "nerf.capture.child")
# The child's files in the work folder, by their keys in its job.
FILES = {
    "database": "database.db",
    "models": "models",
    "points": "points.ply",
    "result": "result.json",
    "progress": "progress.json",
}
MAX_QUOTED = 300  # characters of the child's log that an error quotes
NOT_FOR_MATCHING = ("mapper", "timeout")  # keys of a job that do not affect features and matches

# Receives the names of a phase and of its unit, and the numbers of finished units and of all units.
Report = Callable[[str, str, int, int], None]


class CaptureError(UserError):
    """No scene could be made; the message says in one line what happened and what to try."""


class Unfinished(CaptureError):
    """A failure after which another attempt can reuse the features and matches."""


@dataclasses.dataclass(frozen=True)
class Options:
    """Options of the pose estimation.

    Attributes:
      mapper: "incremental" (robust) or "global" (faster for hundreds of images).
      matching: "exhaustive" compares all pairs of images, "sequential" compares each image with the
        following ones.
      camera_model: COLMAP's name of the lens model.
      max_side: longest side in pixels to which images are reduced for the feature extraction.
      max_features: maximum number of features of an image.
      timeout: seconds after which the child is killed.
      seed: random seed.
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
    """The result of the pose estimation: the largest model.

    Attributes:
      names: registered images, sorted.
      c2w: their poses, OpenGL axes, in COLMAP's world.
      lenses: for each registered image "model", "width", "height", and "params", a dictionary with
        COLMAP's names.
      models: numbers of images of all models, the largest first.
      features: number of features of each image, by name; also of images that are not registered.
      matches: number of verified matches of each image in its best pair, by name.
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
    """Raise CaptureError if pycolmap is not installed; it is not imported in this process."""
    if importlib.util.find_spec("pycolmap") is None:
        raise CaptureError(
            "pycolmap: not installed, but needed to estimate poses: pip install pycolmap"
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
    """Estimate the poses of images in a child process.

    Args:
      work: folder for the child's files, empty or that of an earlier attempt.
      images: folder of the images.
      groups: for each lens the names of its images, relative to `images`.
      options: options of the estimation.
      log: file for the child's output.
      should_stop: returns whether to stop; called several times a second.
      child: command of the child; the name of the job file is appended.
      report: called several times a second with the progress.

    Returns:
      The estimate, or None if `should_stop` returned True.

    Raises:
      CaptureError: the child failed; `Unfinished` if it ran out of time.
    """
    job = _job(work, images, groups, options)
    _clear(work, job)
    write_json(work / "job.json", job)
    command = [*child, str(work / "job.json")]
    code = _run(command, log, options.timeout, should_stop, work / "progress.json", report)
    if code == "stopped":
        return None
    # An existing result is complete, even if the child crashed after writing it.
    if not (work / "result.json").is_file():
        error = Unfinished if code == "timeout" else CaptureError
        raise error(_what_happened(code, log, options))
    return _read(work / "result.json", work / "points.ply")


def _job(
    work: Path, images: Path, groups: Sequence[Sequence[str]], options: Options
) -> dict[str, Any]:
    """Return the content of the job file; see `estimate` for the arguments."""
    job = {
        **dataclasses.asdict(options),
        "images": str(images.resolve()),
        "groups": [list(group) for group in groups],
        "digest": _digest(images, [name for group in groups for name in group]),
    }
    return job | {key: str((work / name).resolve()) for key, name in FILES.items()}


def _digest(images: Path, names: Sequence[str]) -> str:
    """Return the sha256 of the images and their names."""
    sha = hashlib.sha256()
    for name in names:
        sha.update(f"{name}\n".encode() + hashlib.sha256((images / name).read_bytes()).digest())
    return sha.hexdigest()


def _clear(work: Path, job: dict[str, Any]) -> None:
    """Remove the files of an earlier attempt, except features and matches of the same job."""
    try:
        old = json.loads((work / "job.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        old = {}
    same = all(old.get(key) == job[key] for key in job if key not in NOT_FOR_MATCHING)
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
    """Run the child until it ends, then kill all processes that it started.

    Args:
      command: the command.
      log: file for the child's output.
      timeout: seconds after which the child is killed.
      should_stop: returns whether to kill the child now.
      progress: JSON file that the child writes, see `nerf.capture.child`.
      report: called with the content of `progress`.

    Returns:
      The child's exit code, or "timeout" or "stopped".
    """
    # COLMAP's messages go to the log: they are the only explanation for photos that it rejects.
    verbose = {} if "GLOG_minloglevel" in os.environ else {"GLOG_minloglevel": "0"}
    environment = {**child_environment(), **verbose}
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
            # The file is missing until the child has begun its first phase.
            with contextlib.suppress(OSError, ValueError, KeyError):
                said = json.loads(progress.read_text(encoding="utf-8"))
                report(said["what"], said["unit"], said["done"], said["total"])
            time.sleep(0.05)
        return child.returncode
    finally:
        _kill(child)
        child.wait()
        child.stdin.close()  # type: ignore[union-attr]


def _kill(child: subprocess.Popen) -> None:
    """Kill a process and, on systems with process groups (not Windows), all its descendants."""
    with contextlib.suppress(ProcessLookupError):
        if hasattr(os, "killpg"):
            os.killpg(child.pid, signal.SIGKILL)
        else:
            child.kill()


def _what_happened(code: int | str, log: Path, options: Options) -> str:
    """Return the message for a child that left no result.

    Args:
      code: the child's exit code, or "timeout".
      log: file with the child's output.
      options: the options of the estimation.
    """
    other = "global" if options.mapper == "incremental" else "incremental"
    smaller = f"a smaller --max_side than {options.max_side}"
    if code == "timeout":
        order = ""
        if options.matching == "exhaustive":
            order = " --matching=sequential if they are in order,"
        fix = (
            f"give more seconds (features and matches are kept),{order} {smaller}, or fewer photos"
        )
        seconds = f"--timeout={options.timeout:g} seconds"
        return f"pose estimation: not done after {seconds}, ended: {fix} ({log})"
    if isinstance(code, int) and code < 0:
        name = signal.Signals(-code).name if -code in list(signal.Signals) else f"signal {-code}"
        fix = f"{smaller}, fewer photos, or --mapper={other}"
        memory = "; the system does this if memory runs out" if name == "SIGKILL" else ""
        return f"pose estimation: its process was killed ({name}{memory}): try {fix} ({log})"
    reason = f"its process failed with code {code} ({_last_words(log)})"
    return f"pose estimation: {reason}: try --mapper={other} ({log})"


def _last_words(log: Path) -> str:
    """Return the last line of the log that describes the failure.

    Lines of stack traces and COLMAP's infos and warnings are skipped.
    """
    lines = [
        line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines()
    ]
    said = [line for line in lines if line and not line.startswith(("@", "***", "PC:"))]
    passing = re.compile(r"[IW]\d{8} ")
    chosen = [line for line in said if not passing.match(line)] or said
    return chosen[-1][:MAX_QUOTED] if chosen else "no output"


def _read(file: Path, points: Path) -> Estimate:
    """Read the child's result; raise CaptureError if it is not a valid one."""
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
        names = sorted(data["images"])
        matrices = [data["images"][name]["w2c"] for name in names]
        w2c = np.array(matrices, np.float64).reshape(-1, 3, 4)
        lenses = [data["cameras"][data["images"][name]["camera"]] for name in names]
        sizes = [int(size) for size in data["models"]]
        features, matches = data["features"], data["matches"]
        return Estimate(names, _to_opengl(w2c), lenses, sizes, features, matches, points)
    except (KeyError, TypeError, ValueError) as error:
        raise CaptureError(f"{file}: not a result ({error!r}): install pycolmap again") from error


def _to_opengl(w2c: Float[np.ndarray, "n 3 4"]) -> Float[np.ndarray, "n 3 4"]:
    """Invert OpenCV world-to-camera matrices and flip the camera's y and z axes."""
    rotation = w2c[:, :, :3].transpose(0, 2, 1)
    position = -rotation @ w2c[:, :, 3:]
    return np.concatenate([rotation * np.array([1.0, -1.0, -1.0]), position], -1)
