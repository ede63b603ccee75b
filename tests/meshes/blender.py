"""Describe mesh files as Blender imports them: python -m tests.meshes.blender OUT.json FILE..."""

import json
import os
import sys
from pathlib import Path
from typing import Any

import bpy
import numpy as np

IMPORTERS = {
    ".glb": bpy.ops.import_scene.gltf,
    ".ply": bpy.ops.wm.ply_import,
    ".obj": bpy.ops.wm.obj_import,
}


def describe(path: str) -> dict[str, Any]:
    """Import a file with the importer's defaults into an empty scene; describe its only mesh.

    Colours are those of the corners of all triangles, from the colours of vertices or the texture.
    """
    bpy.ops.wm.read_factory_settings(use_empty=True)
    IMPORTERS[Path(path).suffix](filepath=path)
    bpy.context.view_layer.update()
    (item,) = [item for item in bpy.data.objects if item.type == "MESH"]
    mesh, matrix = item.data, np.array(item.matrix_world)
    local = np.array([vertex.co for vertex in mesh.vertices])
    placed = local @ matrix[:3, :3].T + matrix[:3, 3]
    corners = np.array([loop.vertex_index for loop in mesh.loops])
    found = {"vertex": _vertex_colours(mesh, corners), "texture": _texture_colours(item, mesh)}
    return {
        "sides": sorted({len(polygon.vertices) for polygon in mesh.polygons}),
        "triangles": placed[corners].reshape(-1, 3, 3).tolist(),
        "extent": (local.max(0) - local.min(0)).tolist(),
        "scale": list(item.matrix_world.to_scale()),
        "colours": {kind: colours for kind, colours in found.items() if colours is not None},
    }


def _vertex_colours(mesh: Any, corners: np.ndarray) -> dict[str, Any] | None:
    """Return the colours of the vertices at all corners, in linear light and as sRGB."""
    if not mesh.color_attributes:
        return None
    (attribute,) = mesh.color_attributes
    index = corners if attribute.domain == "POINT" else np.arange(len(corners))
    colours = [attribute.data[i] for i in index.tolist()]
    return {
        "linear": [list(colour.color)[:3] for colour in colours],
        "srgb": [list(colour.color_srgb)[:3] for colour in colours],
    }


def _texture_colours(item: Any, mesh: Any) -> dict[str, Any] | None:
    """Return the colours of the texels at all corners, of the image that colours the material."""
    nodes = [node for slot in item.material_slots for node in slot.material.node_tree.nodes]
    images = [node for node in nodes if node.type == "TEX_IMAGE" and node.outputs["Color"].links]
    if not images:
        return None
    (node,) = images
    width, height = node.image.size
    # Blender's rows begin at the bottom, as v does, and its pixels are as in the file.
    pixels = np.array(node.image.pixels[:]).reshape(height, width, -1)
    uv = np.array([corner.uv for corner in mesh.uv_layers.active.data])
    column, row = (uv * [width, height]).astype(int).T
    return {
        "srgb": pixels[row, column, :3].tolist(),
        "space": node.image.colorspace_settings.name,
        "shader": node.outputs["Color"].links[0].to_node.type,
    }


if __name__ == "__main__":
    out, *paths = sys.argv[1:]
    Path(out).write_text(json.dumps([describe(path) for path in paths]))
    os._exit(0)  # as a module, Blender crashes when Python ends after an import of glTF
