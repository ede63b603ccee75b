"""Clean meshes: drop parts that are small or hidden, and reduce the number of triangles."""

import numpy as np
from jaxtyping import Bool

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


def drop_hidden(mesh: Mesh, min_visible: float = MIN_VISIBLE) -> Mesh:
    """Drop the connected components that can hardly be seen from outside.

    Args:
      mesh: the mesh.
      min_visible: least fraction of the area of a component that must be seen.
    """
    return drop_parts(mesh, visible_faces(mesh), min_visible)


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

    A triangle smaller than a pixel may miss all pixel centres, so a triangle also counts as seen if
    one with which it shares a vertex is.

    Args:
      mesh: the mesh.
      directions: number of directions, evenly distributed over the sphere.
    """
    seen = np.zeros(len(mesh.faces), bool)
    for camera in outside_cameras(mesh, directions, SIDE):
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
