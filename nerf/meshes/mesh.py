"""Triangle meshes: their parts, areas, normals and openings."""

import dataclasses

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components


@dataclasses.dataclass(frozen=True)
class Mesh:
    """Triangles that share vertices.

    Attributes:
      vertices: positions.
      faces: three vertices per triangle, counter-clockwise seen from outside.
      colours: sRGB of each vertex; None if unknown.
      uv: position of each corner of each triangle in the texture, from (0, 0) at the lower left to
        (1, 1) at the upper right; None without a texture.
      texture: sRGB image, first row on top; None without a texture.
    """

    vertices: Float[np.ndarray, "v 3"]
    faces: Int[np.ndarray, "f 3"]
    colours: UInt8[np.ndarray, "v 3"] | None = None
    uv: Float[np.ndarray, "f 3 2"] | None = None
    texture: UInt8[np.ndarray, "h w 3"] | None = None

    @property
    def corners(self) -> Float[np.ndarray, "f 3 3"]:
        """Positions of the corners of each triangle."""
        return self.vertices[self.faces]

    @property
    def diagonal(self) -> float:
        """Length of the diagonal of the bounding box; 0 if there are no vertices."""
        if not len(self.vertices):
            return 0.0
        return float(np.linalg.norm(self.vertices.max(0) - self.vertices.min(0)))


def face_vectors(mesh: Mesh) -> Float[np.ndarray, "f 3"]:
    """Return the outward vectors of triangles, whose lengths are twice their areas."""
    a, b, c = np.moveaxis(mesh.corners, 1, 0)
    return np.cross(b - a, c - a)


def face_areas(mesh: Mesh) -> Float[np.ndarray, " f"]:
    """Return the areas of triangles."""
    return 0.5 * np.linalg.norm(face_vectors(mesh), axis=-1)


def sample_points(mesh: Mesh, count: int, rng: np.random.Generator) -> Float[np.ndarray, "count 3"]:
    """Sample points uniformly on the triangles of a mesh.

    Equation:
      p = (1 - sqrt(u)) a + sqrt(u) (1 - v) b + sqrt(u) v c   u, v: uniform in [0, 1]

    Args:
      mesh: with a positive area.
      count: number of points.
      rng: source of randomness.
    """
    area = face_areas(mesh)
    face = rng.choice(len(area), count, p=area / area.sum())
    u, v = np.sqrt(rng.random((count, 1))), rng.random((count, 1))
    a, b, c = np.moveaxis(mesh.corners[face], 1, 0)
    return (1.0 - u) * a + u * (1.0 - v) * b + u * v * c


def area_outside_largest(mesh: Mesh) -> float:
    """Return the fraction of the area that the largest connected component does not have."""
    area = face_areas(mesh)
    return float(area[components(mesh) > 0].sum() / area.sum())


def vertex_normals(mesh: Mesh) -> Float[np.ndarray, "v 3"]:
    """Return unit normals of vertices: the mean of their triangles' normals, weighted by area.

    A vertex without a triangle of positive area has the normal (0, 0, 1).
    """
    total = np.zeros((len(mesh.vertices), 3))
    vectors = face_vectors(mesh)
    for corner in range(3):
        for axis in range(3):
            total[:, axis] += np.bincount(
                mesh.faces[:, corner], vectors[:, axis], len(mesh.vertices)
            )
    length = np.linalg.norm(total, axis=-1, keepdims=True)
    return np.where(length > 0.0, total / np.maximum(length, 1e-300), np.array([0.0, 0.0, 1.0]))


def volume(mesh: Mesh) -> float:
    """Return the enclosed volume; it is negative if the triangles are inside out.

    Equation:
      V = 1/6 sum_f a_f * (b_f x c_f)   divergence theorem, for closed meshes
    """
    a, b, c = np.moveaxis(mesh.corners, 1, 0)
    return float((a * np.cross(b, c)).sum() / 6.0)


def open_edges(mesh: Mesh) -> int:
    """Count the edges that are not shared by exactly two triangles with opposite directions.

    A mesh is watertight if there are none.
    """
    start, end = _directed_edges(mesh.faces)
    size = np.int64(len(mesh.vertices))
    forward, count = np.unique(start * size + end, return_counts=True)
    # An edge is closed if its direction occurs once and its opposite occurs too.
    there = np.isin(forward % size * size + forward // size, forward)
    return int((count > 1).sum() + (~there).sum())


def _directed_edges(
    faces: Int[np.ndarray, "f 3"],
) -> tuple[Int[np.ndarray, " e"], Int[np.ndarray, " e"]]:
    """Return the first and second vertex of the three edges of each triangle."""
    following = np.roll(faces, -1, 1)
    return faces.reshape(-1).astype(np.int64), following.reshape(-1).astype(np.int64)


def components(mesh: Mesh) -> Int[np.ndarray, " f"]:
    """Return the number of the connected component of each triangle.

    Triangles are connected if they share a vertex. Components are numbered from 0, in decreasing
    order of their area.
    """
    start, end = _directed_edges(mesh.faces)
    size = len(mesh.vertices)
    graph = coo_matrix((np.ones(len(start), bool), (start, end)), (size, size))
    _, of_vertex = connected_components(graph, directed=False)
    of_face = of_vertex[mesh.faces[:, 0]] if len(mesh.faces) else np.zeros(0, np.int64)
    used, of_face = np.unique(of_face, return_inverse=True)
    order = np.argsort(-np.bincount(of_face, face_areas(mesh), len(used)), kind="stable")
    rank = np.empty(len(used), np.int64)
    rank[order] = np.arange(len(used))
    return rank[of_face]


def select_faces(mesh: Mesh, kept: Bool[np.ndarray, " f"]) -> Mesh:
    """Return a mesh of some of the triangles, with only their vertices."""
    faces = mesh.faces[kept]
    used, renumbered = np.unique(faces, return_inverse=True)
    return dataclasses.replace(
        mesh,
        vertices=mesh.vertices[used],
        faces=renumbered.reshape(-1, 3).astype(mesh.faces.dtype),
        colours=None if mesh.colours is None else mesh.colours[used],
        uv=None if mesh.uv is None else mesh.uv[kept],
    )
