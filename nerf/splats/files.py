"""Write splats as .ply, in the layout of the original program, and as .glb.

A .ply file has the properties x y z, f_dc (the constant harmonic), f_rest (the others, channel
after channel), opacity as a logit, scale as logarithms and rot as w x y z, all in float32
(2308.04079). A .glb file follows KHR_gaussian_splatting 1.0 (Khronos Group 2026): linear scales and
opacities, rotations as x y z w, and colours in sRGB.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from nerf.foundation.files import write_bytes
from nerf.meshes.gltf import ARRAY_BUFFER, Y_UP, Buffer, asset, column_major, container
from nerf.scenes.base import Similarity
from nerf.scenes.colour import srgb_to_linear
from nerf.splats.splats import Splats, inverse, transform_splats

EXTENSION = "KHR_gaussian_splatting"
HEADER = 12_288  # bytes that a file needs besides its splats, at most
MIN_OPACITY, MAX_OPACITY = 1e-6, 1.0 - 1e-6  # whose logit is finite


def write_splats(path: Path, splats: Splats, transform: Similarity) -> None:
    """Write splats of the normalised world in the units of the scene's file.

    A .ply file has its axes too. In a .glb file, +y is up.

    Args:
      path: the file, which ends in .ply or .glb.
      splats: in the normalised world.
      transform: from the file's world to the normalised one.
    """
    WRITERS[path.suffix.lower()](path, splats, transform)


def bytes_per_splat(suffix: str, degree: int) -> int:
    """Return the size of one splat in a file with an ending and a degree of harmonics."""
    # Place, size, rotation, opacity and colours; and the colour for programs without splats.
    numbers = 3 + 3 + 4 + 1 + 3 * (degree + 1) ** 2
    return 4 * numbers + (4 if suffix == ".glb" else 0)


def _write_ply(path: Path, splats: Splats, transform: Similarity) -> None:
    placed = transform_splats(splats, inverse(transform))
    opacity = np.clip(placed.opacities, MIN_OPACITY, MAX_OPACITY)
    # The channels come one after the other, and so do the coefficients of each.
    rest = placed.harmonics[:, 1:].transpose(0, 2, 1).reshape(len(splats), -1)
    groups = {
        ("x", "y", "z"): placed.means,
        _numbered("f_dc", 3): placed.harmonics[:, 0],
        _numbered("f_rest", rest.shape[1]): rest,
        ("opacity",): np.log(opacity / (1.0 - opacity))[:, None],
        _numbered("scale", 3): np.log(placed.scales),
        _numbered("rot", 4): placed.quaternions,
    }
    names = [name for group in groups for name in group]
    header = f"ply\nformat binary_little_endian 1.0\nelement vertex {len(splats)}\n"
    header += "".join(f"property float {name}\n" for name in names)
    table = np.concatenate(list(groups.values()), 1).astype("<f4")
    write_bytes(path, f"{header}end_header\n".encode() + table.tobytes())


def _numbered(name: str, count: int) -> tuple[str, ...]:
    return tuple(f"{name}_{i}" for i in range(count))


def _write_glb(path: Path, splats: Splats, transform: Similarity) -> None:
    """Write splats that lie upright themselves, as some programs ignore the rotation of a node."""
    # From the normalised world, where +z is up, to the units of the file, with +y up.
    scale = 1.0 / transform.scale
    placed = transform_splats(splats, Similarity(scale, Y_UP, -scale * Y_UP @ transform.shift))
    # Positions are stored in float32, which large coordinates exceed: keep the centre in the node.
    means = np.asarray(placed.means)
    centre = 0.5 * (means.min(0) + means.max(0))
    buffer = Buffer()
    attributes = {
        name: buffer.accessor(values, ARRAY_BUFFER)
        for name, values in _attributes(placed, centre).items()
    }
    kind = {"kernel": "ellipse", "colorSpace": "srgb_rec709_display"}
    primitive = {"attributes": attributes, "mode": 0, "extensions": {EXTENSION: kind}}
    document: dict[str, Any] = {
        "asset": asset("positions are in the units of the scene's file, with +y up"),
        "extensionsUsed": [EXTENSION],
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0, "name": path.stem, "matrix": column_major(np.eye(3), centre)}],
        "meshes": [{"primitives": [primitive]}],
    }
    write_bytes(path, container(document, buffer))


def _attributes(splats: Splats, centre: Float[np.ndarray, "3"]) -> dict[str, np.ndarray]:
    """Return the attributes of the points of a glTF file."""
    # Programs without splats show points in these linear colours.
    linear = srgb_to_linear(np.asarray(splats.colours))
    plain = np.concatenate([linear, splats.opacities[:, None]], -1)
    attributes: dict[str, Any] = {
        "POSITION": (splats.means - centre).astype("<f4"),
        "COLOR_0": np.rint(255.0 * plain).astype("u1"),
        f"{EXTENSION}:SCALE": splats.scales.astype("<f4"),
        f"{EXTENSION}:ROTATION": splats.quaternions[:, [1, 2, 3, 0]].astype("<f4"),
        f"{EXTENSION}:OPACITY": splats.opacities.astype("<f4"),
    }
    for degree in range(splats.degree + 1):
        for i in range(2 * degree + 1):
            values = splats.harmonics[:, degree**2 + i].astype("<f4")
            attributes[f"{EXTENSION}:SH_DEGREE_{degree}_COEF_{i}"] = values
    return attributes


Writer = Callable[[Path, Splats, Similarity], None]
WRITERS: dict[str, Writer] = {".ply": _write_ply, ".glb": _write_glb}
