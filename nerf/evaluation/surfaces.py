"""Score the surface of a rendered view: its normals and depth against the true ones."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Bool, Float

from nerf.cameras.cameras import Cameras, points_at_depth
from nerf.rendering.images import RenderingError
from nerf.scenes import Scene

OF_FIELD = "composited normals of the field"
OF_DEPTH = "normals of the rendered depth"
PROTOCOL = {  # of each map that a scene may have: the metric, and how it is computed
    "normals": {
        "normal_degrees": (
            "median angle between rendered and true normals over the pixels with a true one, 90 "
            "where nothing is rendered, mean over images of each image's value"
        )
    },
    "depth": {
        "depth_error": (
            "median of |rendered - true| / true depth over the pixels with a true one, 1 where "
            "nothing is rendered, mean over images of each image's value"
        )
    },
}


def protocol(scene: Scene) -> dict[str, str]:
    """Return how each error of a surface is computed, for the true maps that a scene has."""
    parts = [PROTOCOL[name] for name in PROTOCOL if name in scene.maps]
    return {key: how for part in parts for key, how in part.items()}


def rendered_normals(
    picture: Mapping[str, Float[np.ndarray, "h w ..."]], camera: Cameras
) -> tuple[Float[np.ndarray, "h w 3"], str]:
    """Return the unit normals of a rendered view, zeros where it is empty, and their source.

    Those of a field with "normals" are composited and normalised; otherwise they are those of the
    rendered depth. Pixels of opacity 1/2 or less are empty. A field has its normals in the box; a
    contracted space bends them outside of the unit ball.

    Args:
      picture: "opacity", "depth" and perhaps "normals", as rendered.
      camera: its camera, without leading axes.

    Returns:
      Normals in the axes of the normalised world; and OF_FIELD or OF_DEPTH.

    Raises:
      RenderingError: a normal of the field is not finite.
    """
    there = picture["opacity"] > 0.5
    if "normals" not in picture:
        points = points_at_depth(camera, picture["depth"])
        return normals_of_depth(points, there, camera), OF_DEPTH
    if not np.isfinite(picture["normals"]).all():
        raise RenderingError(
            "a rendered normal is not finite: the field's quantity 'normals' must be finite where "
            "its density is 0, too: fix the field"
        )
    return _unit(np.where(there[..., None], picture["normals"], 0.0)), OF_FIELD


def normals_of_depth(
    points: Float[np.ndarray, "h w 3"], there: Bool[np.ndarray, "h w"], camera: Cameras
) -> Float[np.ndarray, "h w 3"]:
    """Compute the normals of the planes through neighbouring pixels' points (2DGS, 2403.17888).

    Equation:
      n = (p_x xx p_y) / |p_x xx p_y|   p_x, p_y: derivatives of the point along a row and a column

    The derivatives are central differences, and one-sided at the border. The sign is such that
    normals face the camera.

    Args:
      points: point that each pixel sees, in the normalised world.
      there: the pixels that see anything.
      camera: the camera, without leading axes.

    Returns:
      Unit normals, zeros where a pixel or one of its neighbours sees nothing.
    """
    if min(there.shape) < 2:
        return np.zeros(points.shape)
    known = np.where(there[..., None], points.astype(np.float64), np.nan)
    across, down = np.gradient(known, axis=1), np.gradient(known, axis=0)
    # NaN means that a neighbour sees nothing. Central differences do not use the pixel itself.
    normals = _unit(np.where(there[..., None], np.nan_to_num(np.cross(across, down)), 0.0))
    towards = np.asarray(camera.position, np.float64) - points
    facing = (normals * towards).sum(-1, keepdims=True)
    return np.where(facing < 0.0, -normals, normals)


def score_surface(
    normals: Float[np.ndarray, "h w 3"], depth: Float[np.ndarray, "h w"], scene: Scene, view: int
) -> dict[str, float | None]:
    """Compare a rendered surface with the true one, where the scene has maps of it.

    Args:
      normals: rendered unit normals, zeros where empty.
      depth: rendered depth in units of the normalised world, 0 where empty.
      scene: the scene; pixels outside of its masks do not count.
      view: number of the view.

    Returns:
      "normal_degrees" if the scene has the map "normals", and "depth_error" if it has "depth"; None
      if they say nothing about this view.
    """
    scores: dict[str, float | None] = {}
    if "normals" in scene.maps:
        true = scene.maps["normals"][view]
        known = scene.counted(np.abs(true).max(-1) > 0.0, view)
        cosine = (normals * true).sum(-1)[known]
        scores["normal_degrees"] = _median(np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0))))
    if "depth" in scene.maps:
        true = scene.maps["depth"][view]
        known = scene.counted(true > 0.0, view)
        scores["depth_error"] = _median(np.abs(depth - true)[known] / true[known])
    return scores


def _median(errors: Float[np.ndarray, " m"]) -> float | None:
    """Return the median, None without numbers."""
    return float(np.median(errors)) if len(errors) else None


def _unit(vectors: Float[np.ndarray, "*b 3"]) -> Float[np.ndarray, "*b 3"]:
    """Return vectors divided by their lengths; shorter ones than 1e-12 become zeros."""
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.where(length > 1e-12, vectors / np.maximum(length, 1e-12), 0.0)
