"""A scene of one ball, off centre, with the exact distance to it; cameras are the toybox's."""

import numpy as np

from nerf.scenes import toybox
from nerf.scenes.base import Similarity
from nerf.scenes.solids import Sphere, normals

BALL = Sphere((0.2, -0.1, 0.15), 0.5)


def distance(points):
    return BALL.distance(points)


def trace(origins, directions):
    t = BALL.enter(origins, directions)
    hit = np.isfinite(t)
    label = np.where(hit, 0, toybox.NOTHING)
    normal = np.zeros((len(t), 3))
    normal[hit] = normals(BALL.distance, origins[hit] + t[hit, None] * directions[hit])
    return toybox.Hits(t, label, normal)


def load(root, split, size=32, views=6, scale=1.0, turned=0.0):
    """`turned` is the angle about z by which the normalised world is rotated."""
    painted = toybox.paint(trace, split, views, size, 0.0, False, 2)
    cos, sin = np.cos(turned), np.sin(turned)
    turn = np.array([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]])
    return toybox.photograph(painted, split, (size,), Similarity(scale, turn, np.zeros(3)))
