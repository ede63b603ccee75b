"""Export the surface of a trained run as a mesh file with colours."""

import dataclasses
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, UInt8

from nerf.foundation.png import write_png
from nerf.meshes.cleaning import decimate, drop_hidden
from nerf.meshes.colours import surface_colours
from nerf.meshes.extraction import MAX_SHEET_RESOLUTION, Surface, extract_surface
from nerf.meshes.files import write_mesh
from nerf.meshes.mesh import Mesh, components, open_edges, vertex_normals
from nerf.meshes.preview import draw_preview
from nerf.meshes.texture import bake_texture, texture_size
from nerf.rendering.model import Model
from nerf.runs.read import Run
from nerf.scenes.base import Similarity

REACH = 2.0  # of the short rays that colour the surface, in cells


class ExportedMesh(NamedTuple):
    """The result of an export.

    Attributes:
      mesh: in the units and axes of the scene's file.
      written: files that were written.
      notes: notes for the user, one line each.
    """

    mesh: Mesh
    written: list[Path]
    notes: list[str]


def export_mesh(
    run: Run,
    path: Path,
    resolution: int,
    triangles: int,
    sheets: bool = False,
) -> ExportedMesh:
    """Write the surface of a run as a mesh in the units and axes of the scene's file.

    A .ply file has a colour for each vertex, .glb and .obj files have a texture. A picture beside
    the file shows the mesh from four sides.

    Args:
      run: the trained run; `nerf.output.video_rendering.cropped` restricts it to a box.
      path: the file, which ends in .glb, .ply or .obj.
      resolution: number of cells along the longest side of the box.
      triangles: number of triangles to which the mesh is reduced; 0 keeps all.
      sheets: whether to extract an unsigned distance as open sheets.

    Raises:
      UserError: the surface is empty, a library is missing, or there is no unsigned distance for
        sheets.
    """
    started = time.monotonic()
    surface = extract_surface(run.model, run.cameras["train"], resolution, sheets)
    full = len(surface.iso.mesh.faces)
    mesh = colour_surface(run.model, surface, triangles, textured=path.suffix.lower() != ".ply")
    path.parent.mkdir(parents=True, exist_ok=True)
    preview = path.with_name(f"{path.stem}_views.png")
    write_png(preview, draw_preview(mesh))
    mesh = to_file(mesh, run.transform)
    written = write_mesh(path, mesh, run.transform.rotation)
    notes = _notes(surface, mesh, full, run.transform, time.monotonic() - started)
    if sheets and resolution > MAX_SHEET_RESOLUTION:
        reason = "a learned unsigned distance folds in smaller ones"
        notes.append(f"mesh: {MAX_SHEET_RESOLUTION} cells and not {resolution}: {reason}")
    size = sum(file.stat().st_size for file in written)
    return ExportedMesh(mesh, [*written, preview], [*notes, f"mesh: {size / 1e6:.1f} MB"])


def colour_surface(model: Model, surface: Surface, triangles: int, textured: bool) -> Mesh:
    """Return the part of a surface that can be seen, with the colours of the model.

    Args:
      model: the trained model.
      surface: its surface.
      triangles: number of triangles to which the mesh is reduced; 0 keeps all.
      textured: whether the mesh gets a texture, and not a colour for each vertex.
    """

    def paint(
        points: Float[np.ndarray, "m 3"], normals: Float[np.ndarray, "m 3"]
    ) -> UInt8[np.ndarray, "m 3"]:
        return surface_colours(model, points, normals, REACH * surface.cell)

    mesh = surface.iso.mesh
    # Visibility is found faster with fewer triangles.
    mesh = drop_hidden(decimate(mesh, triangles) if triangles else mesh, surface.views)
    if textured:
        return bake_texture(mesh, texture_size(len(mesh.faces)), paint)
    return dataclasses.replace(mesh, colours=paint(mesh.vertices, vertex_normals(mesh)))


def to_file(mesh: Mesh, transform: Similarity) -> Mesh:
    """Return a mesh of the normalised world in the file's."""
    return dataclasses.replace(mesh, vertices=transform.points_back(mesh.vertices))


def _notes(
    surface: Surface, mesh: Mesh, full: int, transform: Similarity, seconds: float
) -> list[str]:
    """Return what a user should know about a mesh."""
    iso = surface.iso
    count = len(np.unique(components(mesh)))
    parts = "1 part" if count == 1 else f"{count} parts"
    reduced = "" if full == len(mesh.faces) else f" (of {full})"
    opened = open_edges(mesh)
    closed = "closed" if not opened else f"{opened} open edges"
    share = iso.evaluations / iso.lattice_points
    notes = [
        f"mesh: {len(mesh.faces)} triangles{reduced}, {parts}, {closed}, {seconds:.0f} s",
        f"mesh: cells of {surface.cell / transform.scale:.3g} in the units of the scene's file, "
        f"{share:.0%} of the lattice evaluated",
    ]
    if surface.fused:
        reason = "the geometry has no level"
        notes.append(f"mesh: {reason}, so depth of the training views was fused")
    return notes
