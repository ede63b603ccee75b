"""Shapes in closed form for the tests of meshes."""

import numpy as np

from nerf.meshes.isosurface import Bounds, extract, lattice_in
from nerf.meshes.mesh import Mesh

EVERYTHING = Bounds(np.eye(3), np.full(3, -1.0), np.full(3, 1.0))
CUBE_FACES = [
    *([0, 2, 3], [0, 3, 1], [4, 5, 7], [4, 7, 6], [0, 1, 5], [0, 5, 4]),
    *([2, 6, 7], [2, 7, 3], [0, 4, 6], [0, 6, 2], [1, 3, 7], [1, 7, 5]),
]


def cube(side=1.0):
    """Return the cube [0, side]^3."""
    corners = np.stack(np.meshgrid([0, side], [0, side], [0, side], indexing="ij"), -1)
    return Mesh(corners.reshape(-1, 3).astype(float), np.array(CUBE_FACES, np.int32)[:, ::-1])


def ball(radius, centre=(0.0, 0.0, 0.0)):
    """Return the level of a ball, its distance to the surface, positive inside."""

    def level(points):
        return (radius - np.linalg.norm(points - np.asarray(centre), axis=-1)).astype(np.float32)

    return level


def distance_to(radius):
    """Return the signed distance to a sphere around the origin."""
    return lambda points: np.linalg.norm(points, axis=-1) - radius


def sphere(radius, resolution=32, centre=(0.0, 0.0, 0.0)):
    """Return the mesh of a sphere."""
    lattice = lattice_in(EVERYTHING, resolution)
    return extract(ball(radius, centre), lattice, 0, refinements=3).mesh


def together(*meshes):
    """Return one mesh of several."""
    starts = np.cumsum([0] + [len(mesh.vertices) for mesh in meshes])
    faces = [mesh.faces + start for mesh, start in zip(meshes, starts, strict=False)]
    return Mesh(
        np.concatenate([mesh.vertices for mesh in meshes]), np.concatenate(faces).astype(np.int32)
    )
