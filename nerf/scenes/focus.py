"""The point that cameras look at: nearest to all of their optical axes."""

import numpy as np
from jaxtyping import Float

MIN_AXIS_SPREAD = 0.05  # mean squared sine of the angles between optical axes (13 degrees)
MIN_EXPLAINED = 0.5  # fraction of the squared distances to the axes that a focus must explain
MIN_COMMON_VIEW = 0.7  # length of the mean view direction of cameras that face the same way


def focus_point(
    c2w: Float[np.ndarray, "n 3 4"], distance: float | None = None
) -> Float[np.ndarray, "3"]:
    """Return the point that is nearest to all optical axes.

    For a camera at o looking along the unit vector d, the squared distance of x to the axis is
    |(I - d d^T)(x - o)|^2; setting the gradient of the mean to zero gives a 3x3 linear system.
    Nearly parallel axes do not determine the position along them; it would depend only on the
    noise of the poses (see `axes_meet`). The result then lies on the mean axis through the centroid
    of the cameras.

    Args:
      c2w: camera-to-world, OpenGL axes.
      distance: distance from the cameras to the surfaces that they see, or None if unknown. It
        places the focus along axes that do not meet; without it, the focus of such cameras is
        their centroid.

    Returns:
      The focus in the world of `c2w`.
    """
    axes, steps, determined = _axis_system(c2w)
    # Move from the centroid of the cameras only along the directions that the axes determine.
    centroid = c2w[:, :, 3].mean(0)
    focus = centroid + axes @ np.where(determined, steps, 0.0)
    view = -c2w[:, :, 2].mean(0)
    if distance is None or determined.all() or not np.linalg.norm(view) > MIN_COMMON_VIEW:
        return focus
    # Place the focus at `distance` from the centroid along the common view direction.
    view = view / np.linalg.norm(view)
    return focus + (distance - (focus - centroid) @ view) * view


def axes_meet(c2w: Float[np.ndarray, "n 3 4"]) -> bool:
    """Return whether the optical axes determine a focus in all three directions.

    They determine it along directions in which the axes differ. Along their common direction they
    do if moving the focus there explains most of the mean squared distance to the axes. Parallel
    axes with jitter explain about 1 / (2 n) of it; cameras that face one object, 0.9 and more.
    """
    return bool(_axis_system(c2w)[2].all())


def _axis_system(c2w: Float[np.ndarray, "n 3 4"]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Solve the linear system of `focus_point` in its eigenbasis.

    Returns:
      The eigenvectors as columns; the step of the solution from the cameras' centroid along each
      of them; and whether the optical axes determine that step.
    """
    back = c2w[:, :, 2]
    position = c2w[:, :, 3]
    # The projections I - d d^T remove the component along each optical axis.
    across = np.eye(3) - back[:, :, None] * back[:, None, :]
    offsets = np.einsum("nij,nj->ni", across, position - position.mean(0))
    values, axes = np.linalg.eigh(across.mean(0))
    steps = axes.T @ offsets.mean(0) / np.maximum(values, 1e-12)
    # A step along an eigenvector reduces the mean squared distance to the axes by
    # eigenvalue * step^2, independently of the other eigenvectors.
    gains = values * steps**2
    residual = np.maximum(np.square(offsets).sum(-1).mean() - gains.sum(), 0.0)
    explains = gains > MIN_EXPLAINED / (1.0 - MIN_EXPLAINED) * residual
    # A step that only the distances support must lead in front of the cameras.
    ahead = (axes @ np.diag(steps)).T @ -back.mean(0) > 0.0
    # An eigenvalue is the mean squared sine of the angles between the axes and its eigenvector.
    return axes, steps, (values > MIN_AXIS_SPREAD) | (explains & ahead & (steps != 0.0))
