"""Find pairs of triangles of a mesh that intersect."""

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.spatial import cKDTree

from nerf.meshes.mesh import Mesh


def intersections(mesh: Mesh) -> Int[np.ndarray, "n 3"]:
    """Find edges of a mesh that pass through one of its triangles.

    If two triangles intersect and do not lie in one plane, an edge of one passes through the other.
    Edges that share a vertex with the triangle are not compared. Triangles that share one vertex
    are, by the edges that they do not share.

    Returns:
      Rows of the first and second vertex of the edge, and the triangle.
    """
    edges = np.unique(np.sort(mesh.faces[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), -1), axis=0)
    edge, face = _near_pairs(mesh.vertices[edges], mesh.corners)
    apart = (edges[edge][:, :, None] != mesh.faces[face][:, None, :]).all((1, 2))
    edge, face = edge[apart], face[apart]
    hit = _passes_through(mesh.vertices[edges[edge]], mesh.corners[face])
    return np.concatenate([edges[edge[hit]], face[hit, None]], -1)


def _near_pairs(
    edges: Float[np.ndarray, "e 2 3"], triangles: Float[np.ndarray, "f 3 3"]
) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, " n"]]:
    """Return pairs of an edge and a triangle whose bounding boxes overlap."""
    middle, centre = edges.mean(1), triangles.mean(1)
    half = 0.5 * np.linalg.norm(edges[:, 1] - edges[:, 0], axis=-1)
    reach = np.linalg.norm(triangles - centre[:, None], axis=-1).max(-1)
    found = [np.zeros((0, 2), np.int64)]
    # Edges are searched by size, so that few long ones do not make every search a wide one.
    size = np.ceil(np.log2(np.maximum(half, 1e-6 * half.max())))
    for power in np.unique(size):
        mine = np.flatnonzero(size == power)
        near = cKDTree(middle[mine]).query_ball_point(centre, reach + 2.0**power)
        count = np.array([len(x) for x in near])
        edge = mine[np.concatenate(near).astype(np.int64)]
        face = np.repeat(np.arange(len(centre)), count)
        low = np.maximum(edges.min(1)[edge], triangles.min(1)[face])
        high = np.minimum(edges.max(1)[edge], triangles.max(1)[face])
        found.append(np.stack([edge, face], -1)[(low <= high).all(-1)])
    edge, face = np.concatenate(found).T
    return edge, face


def _passes_through(
    edges: Float[np.ndarray, "n 2 3"], triangles: Float[np.ndarray, "n 3 3"]
) -> Bool[np.ndarray, " n"]:
    """Return which edges pass through the triangle of the same row.

    The ends lie on different sides of its plane, and the line passes all sides of the triangle in
    one direction of rotation.
    """
    # Relative to an end of the edge, little is lost to rounding.
    a, b, c = np.moveaxis(triangles - edges[:, :1], 1, 0)
    along = edges[:, 1] - edges[:, 0]
    first = _volume(a, b, c)
    second = _volume(a - along, b - along, c - along)
    around = np.stack([_volume(along, a, b), _volume(along, b, c), _volume(along, c, a)])
    return (first * second < 0.0) & ((around > 0.0).all(0) | (around < 0.0).all(0))


def _volume(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> Float[np.ndarray, " n"]:
    """Return six times the signed volumes of tetrahedra with a corner at the origin."""
    return (a * np.cross(b, c)).sum(-1)
