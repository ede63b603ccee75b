"""Clean meshes: drop parts that are small or hidden, and reduce the number of triangles."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool

from nerf.cameras.cameras import Cameras
from nerf.foundation.errors import UserError
from nerf.meshes.isosurface import MISSING
from nerf.meshes.mesh import Mesh, components, face_areas, select_faces
from nerf.meshes.rasterizer import outside_cameras, rasterize

MIN_AREA = 0.0005  # of a component, as a fraction of that of the largest
MIN_VISIBLE = 0.05  # fraction of the area of a component that can be seen from outside
DIRECTIONS = 24  # from which a mesh is looked at
SIDE = 256  # pixels of a picture for visibility
# How fast the error that decimation allows grows from pass to pass. With the library's 7, some
# collapses join sheets of the surface at an edge, or push one through the other.
AGGRESSIVENESS = 4


def drop_small(mesh: Mesh, min_area: float = MIN_AREA) -> Mesh:
    """Drop the connected components whose area is less than `min_area` of that of the largest."""
    label = components(mesh)
    area = np.bincount(label, face_areas(mesh))
    return select_faces(mesh, (area >= min_area * area.max(initial=0.0))[label])


def drop_hidden(mesh: Mesh, views: Cameras) -> Mesh:
    """Drop the connected components that can hardly be seen, from outside or in some views.

    Args:
      mesh: the mesh.
      views: cameras that may be inside, as those of a room; `DIRECTIONS` of them are used.
    """
    chosen = np.unique(np.linspace(0, len(views) - 1, DIRECTIONS).astype(int))
    inside = _seen(mesh, [views[i] for i in chosen])
    return drop_parts(mesh, visible_faces(mesh) | inside, MIN_VISIBLE)


def drop_parts(mesh: Mesh, wanted: Bool[np.ndarray, " f"], min_wanted: float) -> Mesh:
    """Drop the connected components of which too little is wanted.

    Args:
      mesh: the mesh.
      wanted: which triangles are wanted.
      min_wanted: least fraction of the area of a component that must be wanted.
    """
    label, area = components(mesh), face_areas(mesh)
    total = np.maximum(np.bincount(label, area), 1e-300)
    fraction = np.bincount(label, area * wanted) / total
    return select_faces(mesh, (fraction >= min_wanted)[label])


def visible_faces(mesh: Mesh, directions: int = DIRECTIONS) -> Bool[np.ndarray, " f"]:
    """Return which triangles can be seen from outside, from far away in all directions.

    Args:
      mesh: the mesh.
      directions: number of directions, evenly distributed over the sphere.
    """
    return _seen(mesh, outside_cameras(mesh, directions, SIDE))


def _seen(mesh: Mesh, cameras: Sequence[Cameras]) -> Bool[np.ndarray, " f"]:
    """Return which triangles some cameras see.

    A triangle smaller than a pixel may miss all pixel centres, so a triangle also counts as seen if
    one with which it shares a vertex is.
    """
    seen = np.zeros(len(mesh.faces), bool)
    for camera in cameras:
        face = rasterize(mesh, camera).face
        seen[face[face >= 0]] = True
    vertices = np.zeros(len(mesh.vertices), bool)
    vertices[mesh.faces[seen].reshape(-1)] = True
    return seen | vertices[mesh.faces].any(-1)


def decimate(mesh: Mesh, triangles: int) -> Mesh:
    """Reduce a mesh to at most about `triangles` triangles by quadric error (Garland 1997).

    The result has no colours and no texture. It has more triangles where fewer would fold it.

    Raises:
      UserError: fast-simplification is not installed.
    """
    if len(mesh.faces) <= triangles:
        return mesh
    try:
        import fast_simplification
    except ImportError as error:
        raise UserError(f"mesh: fast-simplification is missing: {MISSING}") from error
    vertices, faces = fast_simplification.simplify(
        np.ascontiguousarray(mesh.vertices, np.float32),
        np.ascontiguousarray(mesh.faces, np.int32),
        target_count=triangles,
        agg=AGGRESSIVENESS,
    )
    return Mesh(vertices.astype(np.float64), faces.astype(np.int32))
