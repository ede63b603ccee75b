"""Parts of glTF files in their binary form, .glb (Khronos Group, glTF 2.0, sections 3 and 4.4)."""

import json
from typing import Any

import numpy as np
from jaxtyping import Float

COMPONENTS = {"f4": 5126, "u4": 5125, "u1": 5121}  # component types by numpy's names
ARRAY_BUFFER, ELEMENT_ARRAY_BUFFER = 34962, 34963
# glTF demands that +y is up: (x, y, z) with +z up becomes (x, z, -y).
Y_UP = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]])


def asset(units: str) -> dict[str, Any]:
    """Return the part of a document that says what wrote it, and a remark on its units."""
    return {"version": "2.0", "generator": "nerf-compare", "extras": {"units": units}}


class Buffer:
    """The binary part of a glTF file, with its views and accessors."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.views: list[dict[str, Any]] = []
        self.accessors: list[dict[str, Any]] = []

    def view(self, data: bytes, target: int | None = None) -> int:
        """Append bytes and return the number of their view."""
        self.data += bytes(-len(self.data) % 4)
        view = {"buffer": 0, "byteOffset": len(self.data), "byteLength": len(data)}
        self.views.append(view if target is None else {**view, "target": target})
        self.data += data
        return len(self.views) - 1

    def accessor(self, values: np.ndarray, target: int) -> int:
        """Append an array of a type in `COMPONENTS` and return the number of its accessor."""
        kind = {1: "SCALAR"}.get(values.ndim) or f"VEC{values.shape[-1]}"
        entry: dict[str, Any] = {
            "bufferView": self.view(values.tobytes(), target),
            "componentType": COMPONENTS[values.dtype.str.lstrip("<|")],
            "count": len(values),
            "type": kind,
        }
        if values.dtype.itemsize == 1:
            entry["normalized"] = True  # bytes stand for numbers in [0, 1]
        elif values.ndim == 2:
            entry |= {"min": values.min(0).tolist(), "max": values.max(0).tolist()}
        self.accessors.append(entry)
        return len(self.accessors) - 1


def column_major(rotation: Float[np.ndarray, "3 3"], shift: Float[np.ndarray, "3"]) -> list[float]:
    """Return the matrix of a node that maps x to rotation @ x + shift."""
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = rotation, shift
    return [float(x) for x in matrix.T.reshape(-1)]


def container(document: dict[str, Any], buffer: Buffer) -> bytes:
    """Return a .glb file: a header, a chunk of JSON and a chunk of binary data.

    The description of the buffer is added to the document.
    """
    document |= {"accessors": buffer.accessors, "bufferViews": buffer.views}
    document["buffers"] = [{"byteLength": len(buffer.data)}]
    binary = bytes(buffer.data)
    text = json.dumps(document, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    binary += bytes(-len(binary) % 4)
    total = 12 + 8 + len(text) + 8 + len(binary)
    head = b"glTF" + np.array([2, total], "<u4").tobytes()
    first = np.array([len(text)], "<u4").tobytes() + b"JSON" + text
    return head + first + np.array([len(binary)], "<u4").tobytes() + b"BIN\0" + binary
