"""Extract, measure and draw meshes: `python -m nerf.comparing.mesh_child FOLDER`.

This is a process of its own, since the one that compares must not occupy the device that its other
children need. FOLDER/job.json says what to do:

    runs        label -> run folder
    resolution  number of cells along the longest side of the box
    plugins     packages outside `nerf` that configs may name

FOLDER/meshes.json is the result: for each label "triangles", "outside_largest" (fraction of the
area outside of the largest connected component), "fused" (whether the mesh is of depth images, as
the geometry has no level) and "chamfer" (as a fraction of the diagonal of the true surface's box;
None if the truth is unknown), or else "failure". Beside it, FOLDER/0.png and so on are pictures of
the mesh of each label, from the same directions.
"""

import json
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from nerf.foundation.errors import UserError
from nerf.foundation.files import replacing, write_json
from nerf.foundation.instantiate import ConfigError, resolve
from nerf.foundation.png import write_png
from nerf.foundation.progress import track
from nerf.meshes.chamfer import Distance, in_normalised_world, relative_chamfer
from nerf.meshes.extraction import extract_surface
from nerf.meshes.mesh import Mesh, area_outside_largest
from nerf.meshes.preview import draw_turntables
from nerf.runs.read import Run, load_run


class Kept(NamedTuple):
    """A mesh in the normalised world, and whether it is of depth images."""

    mesh: Mesh
    fused: bool


def main(folder: Path) -> None:
    """Do the job of a folder."""
    job = json.loads((folder / "job.json").read_text(encoding="utf-8"))
    plugins = tuple(job["plugins"])
    results: dict[str, dict[str, Any]] = {}
    meshes: dict[str, Mesh] = {}
    for label, place in track(list(job["runs"].items()), "mesh", "config", len(job["runs"])):
        try:
            run = load_run(place, plugins)
            kept = find_or_extract(run, job["resolution"])
            results[label] = measure(kept, true_distance(run, plugins))
            meshes[label] = kept.mesh
        except UserError as error:
            results[label] = {"failure": str(error)}
    rows = draw_turntables(list(meshes.values())) if meshes else []
    pictures = dict(zip(meshes, rows, strict=True))
    for i, label in enumerate(results):
        if label in pictures:
            write_png(folder / f"{i}.png", pictures[label])
    write_json(folder / "meshes.json", results)


def find_or_extract(run: Run, resolution: int) -> Kept:
    """Return the mesh of a run, which is kept in its folder `compare`.

    A kept mesh of other parameters is replaced.

    Raises:
      UserError: the surface is empty, or a library is missing.
    """
    file = run.folder / "compare" / f"mesh_{resolution}.npz"
    if (kept := _read(file, run.stamp)) is not None:
        return kept
    surface = extract_surface(run.model, run.cameras["train"], resolution)
    mesh = surface.iso.mesh
    file.parent.mkdir(exist_ok=True)
    with replacing(file) as temporary:
        np.savez_compressed(
            temporary,
            stamp=run.stamp,
            fused=surface.fused,
            vertices=mesh.vertices.astype(np.float32),
            faces=mesh.faces,
        )
    return Kept(mesh, surface.fused)


def _read(file: Path, stamp: str) -> Kept | None:
    """Read a kept mesh; None if there is none of these parameters."""
    try:
        with np.load(file, allow_pickle=False) as arrays:
            if str(arrays["stamp"]) != stamp:
                return None
            mesh = Mesh(arrays["vertices"].astype(np.float64), arrays["faces"])
            return Kept(mesh, bool(arrays["fused"]))
    except (OSError, ValueError, KeyError):
        return None


def true_distance(run: Run, plugins: tuple[str, ...]) -> Distance | None:
    """Return the exact distance to the true surface in the normalised world, None if unknown.

    It is the function `distance` of the module that makes the scene, if that has one: it takes
    points (n, 3) of the file's world, and returns signed or unsigned distances (n,).
    """
    module = run.config["scene"]["name"].partition(":")[0]
    try:
        exact = resolve(f"{module}:distance", plugins)
    except ConfigError:
        return None
    return in_normalised_world(exact, run.transform)


def measure(kept: Kept, distance: Distance | None) -> dict[str, Any]:
    """Return the numbers of a mesh, as the result of the job has them.

    Raises:
      UserError: the box has hardly any of the true surface.
    """
    return {
        "triangles": len(kept.mesh.faces),
        "outside_largest": area_outside_largest(kept.mesh),
        "fused": kept.fused,
        "chamfer": None if distance is None else relative_chamfer(kept.mesh, distance),
    }


if __name__ == "__main__":
    main(Path(sys.argv[1]))
