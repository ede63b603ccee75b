"""Read and write point clouds as PLY files, ASCII or binary.

The first element must be `vertex`, with x, y, z and optionally red, green, blue.
"""

from pathlib import Path

import numpy as np
from jaxtyping import Float, Int, UInt8

from nerf.foundation.files import write_bytes
from nerf.scenes.base import Problem, SceneError

MAX_HEADER = 65_536  # maximum length of a header in bytes
# The byte order as numpy's prefix; empty for text.
ORDERS = {"ascii": "", "binary_little_endian": "<", "binary_big_endian": ">"}
# PLY types as numpy's names.
TYPES = {
    **{"char": "i1", "uchar": "u1", "short": "i2", "ushort": "u2", "int": "i4", "uint": "u4"},
    **{"int8": "i1", "uint8": "u1", "int16": "i2", "uint16": "u2", "int32": "i4", "uint32": "u4"},
    **{"float": "f4", "double": "f8", "float32": "f4", "float64": "f8"},
}


def read_points(
    path: Path, shown: str
) -> tuple[Float[np.ndarray, "m 3"], UInt8[np.ndarray, "m 3"] | None]:
    """Read the points with finite positions, and their sRGB colours.

    Args:
      path: the file.
      shown: the file's name in error messages.

    Returns:
      Positions (m, 3), and 8-bit colours (m, 3) if the file has them, otherwise None.

    Raises:
      SceneError: the file cannot be read, or is not a PLY point cloud.
    """
    try:
        with path.open("rb") as file:
            header = file.read(MAX_HEADER)
        order, count, fields, start = _parse(header)
        table = _table(path, order, count, fields, start)
        points = np.stack([table[name] for name in "xyz"], -1).astype(np.float64)
        colours = None
        if all(dict(fields).get(name) == "u1" for name in ("red", "green", "blue")):
            colours = np.stack([table[name] for name in ("red", "green", "blue")], -1)
    except OSError as error:
        reason, fix = error.strerror or str(error), "make it readable, or remove its entry"
        raise SceneError([Problem(shown, "", reason, fix)]) from error
    except (ValueError, OverflowError) as error:
        reason = f"not a PLY point cloud ({error})"
        raise SceneError([Problem(shown, "", reason, "export it again")]) from error
    finite = (np.abs(points) < 1e12).all(-1)  # comparisons with NaN are false
    return points[finite], None if colours is None else colours[finite]


def write_points(
    path: Path,
    points: Float[np.ndarray, "m 3"],
    normals: Float[np.ndarray, "m 3"] | None,
    colours: UInt8[np.ndarray, "m 3"] | None,
    faces: Int[np.ndarray, "f 3"] | None = None,
) -> None:
    """Write a binary PLY file of points or of a mesh.

    Args:
      path: the file to write.
      points: (m, 3) positions, written in double precision because coordinates may be large.
      normals: (m, 3) unit normals, or None.
      colours: (m, 3) 8-bit sRGB colours, or None.
      faces: (f, 3) points of the triangles of a mesh, or None.
    """
    columns = [(name, "<f8", points[:, i]) for i, name in enumerate("xyz")]
    if normals is not None:
        columns += [(f"n{name}", "<f4", normals[:, i]) for i, name in enumerate("xyz")]
    if colours is not None:
        columns += [(name, "u1", colours[:, i]) for i, name in enumerate(("red", "green", "blue"))]
    table = np.empty(len(points), [(name, kind) for name, kind, _ in columns])
    for name, _, column in columns:
        table[name] = column
    words = {"<f8": "double", "<f4": "float", "u1": "uchar"}
    properties = "".join(f"property {words[kind]} {name}\n" for name, kind, _ in columns)
    header = f"ply\nformat binary_little_endian 1.0\nelement vertex {len(points)}\n{properties}"
    triangles = np.empty(0 if faces is None else len(faces), [("n", "u1"), ("corners", "<i4", 3)])
    if faces is not None:
        header += f"element face {len(faces)}\nproperty list uchar int vertex_indices\n"
        triangles["n"], triangles["corners"] = 3, faces
    write_bytes(path, f"{header}end_header\n".encode() + table.tobytes() + triangles.tobytes())


def _parse(header: bytes) -> tuple[str, int, list[tuple[str, str]], int]:
    """Parse a header.

    Returns:
      The byte order ("" for text), the number of vertices, the name and type of their properties,
      and the offset of the data in bytes.
    """
    end = header.find(b"end_header")
    newline = header.find(b"\n", end)
    if not header.startswith(b"ply") or end < 0 or newline < 0:
        raise ValueError("no header")
    lines = [line.split() for line in header[:end].decode("ascii", "replace").splitlines()]
    kind = next((line[1] for line in lines if line[:1] == ["format"] and len(line) > 1), "none")
    elements = [i for i, line in enumerate(lines) if line[:1] == ["element"]]
    # The first element must be "element vertex <count>".
    if (
        kind not in ORDERS
        or not elements
        or lines[elements[0]][1:2] != ["vertex"]
        or len(lines[elements[0]]) != 3
    ):
        raise ValueError(f"format {kind}, first element not 'vertex'")
    stop = elements[1] if len(elements) > 1 else len(lines)
    properties = [line[1:] for line in lines[elements[0] : stop] if line[:1] == ["property"]]
    if not all(len(p) == 2 and p[0] in TYPES for p in properties):
        raise ValueError("vertex properties must be numbers of a known type")
    fields = [(name, TYPES[kind]) for kind, name in properties]
    names = {name for name, _ in fields}
    if len(names) < len(fields) or not {"x", "y", "z"} <= names:
        raise ValueError("vertex properties must have unique names and include x, y and z")
    return ORDERS[kind], int(lines[elements[0]][2]), fields, newline + 1


def _table(
    path: Path, order: str, count: int, fields: list[tuple[str, str]], start: int
) -> np.ndarray:
    """Read the vertices as a structured array.

    The file size is checked before memory is allocated, so a wrong count cannot exhaust it.

    Args:
      path: the file.
      order: the byte order as numpy's prefix, empty for text.
      count: number of vertices.
      fields: name and type of each property.
      start: offset of the data in bytes.
    """
    kind = np.dtype([(name, order + of) for name, of in fields])
    # In text, a number takes at least one digit and one separator.
    smallest = kind.itemsize if order else 2 * len(fields)
    if count < 0 or start + count * smallest > path.stat().st_size + 1:
        raise ValueError(f"too short for {count} vertices")
    if order:
        return np.fromfile(path, kind, count, offset=start)
    with path.open(encoding="ascii", errors="replace") as file:
        file.seek(start)
        if count:
            rows = np.loadtxt(file, np.float64, max_rows=count, ndmin=2)
        else:
            rows = np.zeros((0, len(fields)))
    if rows.shape != (count, len(fields)):
        raise ValueError(f"{count} vertices of {len(fields)} numbers expected")
    return np.array([tuple(row) for row in rows], kind)
