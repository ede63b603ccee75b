"""Export a trained run as Gaussian splats that look like its field."""

import time
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nerf.cameras.cameras import pixels_to_rays
from nerf.foundation.errors import UserError
from nerf.foundation.files import check_writable
from nerf.runs.lock import check_free
from nerf.runs.read import Run
from nerf.sampling.spaces import Cropped
from nerf.splats.files import HEADER, bytes_per_splat, write_splats
from nerf.splats.fine_tuning import fine_tune
from nerf.splats.fitting import fit_splats
from nerf.splats.splats import Splats
from nerf.splats.targets import render_targets

MEGABYTE = 1_000_000
MIN_SPLATS = 1000
MAX_SPLATS = 30_000  # more are not better in the time that fine-tuning takes
DEGREE = 2  # of the harmonics, if the budget has room
MIN_OPACITY = 1.0 / 255.0  # below which a splat is not seen, and not written


class ExportedSplats(NamedTuple):
    """The result of an export.

    Attributes:
      path: the file.
      splats: in the normalised world.
      size: of the file in bytes.
      seconds: time until it was written.
    """

    path: Path
    splats: Splats
    size: int
    seconds: float


def export_splats(run: Run, path: Path, megabytes: float, seed: int = 0) -> ExportedSplats:
    """Write splats that look like the field of a run.

    Args:
      run: the trained run; `nerf.output.video_rendering.cropped` restricts it to a box.
      path: the file, which ends in .ply or .glb.
      megabytes: largest size of the file.
      seed: of all random choices.

    Raises:
      UserError: the run has no training cameras, no colour or no surfaces, another process trains
        it, the budget is too small, or the file cannot be written.
    """
    count, degree = splats_within(path, megabytes)
    check_run(run, path)
    check_writable(path)
    start = time.monotonic()
    rng = np.random.default_rng(seed)
    splats = fit_splats(run, count, degree, rng)
    background = np.asarray(run.config["background"], np.float32)
    splats = fine_tune(splats, render_targets(run, rng), background, rng)
    splats = splats[is_shown(run, splats)]
    write_splats(path, splats, run.transform)
    return ExportedSplats(path, splats, path.stat().st_size, time.monotonic() - start)


def splats_within(path: Path, megabytes: float) -> tuple[int, int]:
    """Return the number of splats that a file of a size holds, and the degree of their harmonics.

    Raises:
      UserError: there is no room for a picture.
    """
    room = megabytes * MEGABYTE - HEADER
    for degree in range(DEGREE, -1, -1):
        count = int(room / bytes_per_splat(path.suffix.lower(), degree))
        # Few splats need their bytes for places, and not for colours from all sides.
        if count >= MAX_SPLATS // 2 or (degree == 0 and count >= MIN_SPLATS):
            return min(count, MAX_SPLATS), degree
    least = (MIN_SPLATS * bytes_per_splat(path.suffix.lower(), 0) + HEADER) / MEGABYTE
    reason = f"too small for {MIN_SPLATS} splats"
    raise UserError(f"--splats_mb={megabytes:g}: {reason}: give {least + 0.005:.2f} or more")


def check_run(run: Run, path: Path) -> None:
    """Check what splats need of a run, before anything that takes long.

    Raises:
      UserError: the run has no cameras in space or no colours, or another process trains it.
    """
    cameras = run.cameras.get("train")
    if run.model.space.num_dims != 3 or cameras is None or not len(cameras):
        reason = "splats need training cameras in space, and this run has none"
        raise UserError(f"{path}: {reason}: export a run that was trained on posed photos")
    check_free(run.folder)
    # The shapes of a ray's rendering show whether there is a colour, without computing any.
    first = jax.tree.map(jnp.asarray, cameras[:1])
    rays = pixels_to_rays(first, 0.5 * jnp.asarray(first.size, jnp.float32))
    jax.eval_shape(lambda: run.model(rays, jnp.zeros((1, 3)))[-1].rgb)


def is_shown(run: Run, splats: Splats) -> np.ndarray:
    """Return which splats can be seen, and lie in the box of a cropped run."""
    shown = np.asarray(splats.opacities) > MIN_OPACITY
    space = run.model.space
    if isinstance(space, Cropped):
        shown &= np.asarray(space.contains(jnp.asarray(splats.means)))
    return shown
