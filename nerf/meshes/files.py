"""Write meshes as glTF (.glb), PLY and OBJ files.

Sources: glTF 2.0 (Khronos Group, sections 3.7 and 4.4, KHR_materials_unlit); OBJ and MTL
(Wavefront, Object Files); PLY (Turk, Stanford).
"""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from nerf.foundation.files import write_bytes
from nerf.meshes.gltf import (
    ARRAY_BUFFER,
    ELEMENT_ARRAY_BUFFER,
    Y_UP,
    Buffer,
    asset,
    column_major,
    container,
)
from nerf.meshes.mesh import Mesh, vertex_normals
from nerf.scenes.colour import srgb_to_linear
from nerf.scenes.ply import write_points


def write_mesh(path: Path, mesh: Mesh, upright: Float[np.ndarray, "3 3"]) -> list[Path]:
    """Write a mesh in the format that the file's suffix names.

    PLY and OBJ files have the axes and units of the mesh. A glTF file has them too, and a node that
    turns them so that +y is up, as glTF demands.

    Args:
      path: the file, which ends in .glb, .ply or .obj.
      mesh: in the units and axes of the scene's file.
      upright: rotation from the mesh's axes to axes in which +z is up.

    Returns:
      The files that were written: an OBJ file has a material and a texture beside it.
    """
    return WRITERS[path.suffix.lower()](path, mesh, upright)


def _write_glb(path: Path, mesh: Mesh, upright: Float[np.ndarray, "3 3"]) -> list[Path]:
    # Positions are stored in float32, which large coordinates exceed: keep the centre in the node.
    centre = 0.5 * (mesh.vertices.min(0) + mesh.vertices.max(0))
    turn = Y_UP @ upright
    attributes = _attributes(mesh, centre)
    indices = np.arange(3 * len(mesh.faces)) if mesh.texture is not None else mesh.faces.reshape(-1)
    buffer = Buffer()
    primitive: dict[str, Any] = {"attributes": {}, "material": 0, "mode": 4}
    for name, values in attributes.items():
        primitive["attributes"][name] = buffer.accessor(values.astype("<f4"), ARRAY_BUFFER)
    primitive["indices"] = buffer.accessor(indices.astype("<u4"), ELEMENT_ARRAY_BUFFER)
    material: dict[str, Any] = {
        "pbrMetallicRoughness": {"metallicFactor": 0.0, "roughnessFactor": 1.0},
        "doubleSided": True,
        # The colours contain the scene's light already.
        "extensions": {"KHR_materials_unlit": {}},
    }
    document: dict[str, Any] = {
        "asset": asset("positions are in the units and axes of the scene's file"),
        "extensionsUsed": ["KHR_materials_unlit"],
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0, "name": path.stem, "matrix": column_major(turn, turn @ centre)}],
        "meshes": [{"primitives": [primitive]}],
        "materials": [material],
    }
    if mesh.texture is not None:
        document["images"] = [
            {"bufferView": buffer.view(_png(mesh.texture)), "mimeType": "image/png"}
        ]
        document["samplers"] = [{"magFilter": 9729, "minFilter": 9729}]  # linear, without mipmaps
        document["textures"] = [{"source": 0, "sampler": 0}]
        material["pbrMetallicRoughness"]["baseColorTexture"] = {"index": 0}
    write_bytes(path, container(document, buffer))
    return [path]


def _attributes(mesh: Mesh, centre: Float[np.ndarray, "3"]) -> dict[str, Float[np.ndarray, "m c"]]:
    """Return the attributes of glTF vertices; with a texture, every corner is a vertex."""
    normals = vertex_normals(mesh)
    if mesh.texture is not None and mesh.uv is not None:
        uv = mesh.uv.reshape(-1, 2)
        corners = mesh.faces.reshape(-1)
        return {
            "POSITION": mesh.vertices[corners] - centre,
            "NORMAL": normals[corners],
            # In glTF v grows downwards.
            "TEXCOORD_0": np.stack([uv[:, 0], 1.0 - uv[:, 1]], -1),
        }
    attributes = {"POSITION": mesh.vertices - centre, "NORMAL": normals}
    if mesh.colours is not None:
        attributes["COLOR_0"] = srgb_to_linear(mesh.colours / 255.0)  # as glTF demands
    return attributes


def _png(texture: UInt8[np.ndarray, "h w 3"]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(texture).save(buffer, "PNG")
    return buffer.getvalue()


def _write_ply(path: Path, mesh: Mesh, upright: Float[np.ndarray, "3 3"]) -> list[Path]:
    write_points(path, mesh.vertices, vertex_normals(mesh), mesh.colours, mesh.faces)
    return [path]


def _write_obj(path: Path, mesh: Mesh, upright: Float[np.ndarray, "3 3"]) -> list[Path]:
    text = io.StringIO()
    textured = mesh.uv is not None and mesh.texture is not None
    if textured:
        text.write(f"mtllib {path.stem}.mtl\nusemtl surface\n")
    if mesh.colours is not None and not textured:
        # Many programs read colours in [0, 1] after the coordinates of a vertex.
        table = np.concatenate([mesh.vertices, mesh.colours / 255.0], -1)
        np.savetxt(text, table, "v %.9g %.9g %.9g %.4f %.4f %.4f")
    else:
        np.savetxt(text, mesh.vertices, "v %.9g %.9g %.9g")
    faces = mesh.faces + 1
    if not textured:
        np.savetxt(text, faces, "f %d %d %d")
        write_bytes(path, text.getvalue().encode())
        return [path]
    assert mesh.uv is not None and mesh.texture is not None
    np.savetxt(text, mesh.uv.reshape(-1, 2), "vt %.7f %.7f")
    corners = np.arange(3 * len(faces)).reshape(-1, 3) + 1
    both = np.stack([faces, corners], -1).reshape(-1, 6)
    np.savetxt(text, both, "f %d/%d %d/%d %d/%d")
    material, picture = path.with_suffix(".mtl"), path.with_suffix(".png")
    write_bytes(picture, _png(mesh.texture))
    lines = ("newmtl surface", "Ka 0 0 0", "Kd 1 1 1", "illum 1", f"map_Kd {picture.name}", "")
    write_bytes(material, "\n".join(lines).encode())
    write_bytes(path, text.getvalue().encode())
    return [path, material, picture]


Writer = Callable[[Path, Mesh, Float[np.ndarray, "3 3"]], list[Path]]
WRITERS: dict[str, Writer] = {".glb": _write_glb, ".ply": _write_ply, ".obj": _write_obj}
