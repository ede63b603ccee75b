"""Readers of files of splats, written from the descriptions of the formats."""

import json
import struct

import numpy as np

from nerf.splats.splats import Splats

PREFIX = "KHR_gaussian_splatting:"
KINDS = {5126: "<f4", 5121: "u1"}
WIDTHS = {"SCALAR": 1, "VEC3": 3, "VEC4": 4}


def read_ply(path):
    """Return the splats of a .ply file in the layout of the original program."""
    data = path.read_bytes()
    header, _, body = data.partition(b"end_header\n")
    lines = header.decode().splitlines()
    assert lines[:2] == ["ply", "format binary_little_endian 1.0"]
    count = int(lines[2].removeprefix("element vertex "))
    names = [line.removeprefix("property float ") for line in lines[3:]]
    table = np.frombuffer(body, [(name, "<f4") for name in names])
    assert len(table) == count

    def group(name, size):
        return np.stack([table[f"{name}_{i}"] for i in range(size)], -1).astype(float)

    rest = [name for name in names if name.startswith("f_rest_")]
    k = len(rest) // 3 + 1
    higher = (
        group("f_rest", len(rest)).reshape(count, 3, k - 1) if rest else np.zeros((count, 3, 0))
    )
    harmonics = np.concatenate([group("f_dc", 3)[:, None], higher.transpose(0, 2, 1)], 1)
    means = np.stack([table[name] for name in "xyz"], -1).astype(float)
    opacities = 1.0 / (1.0 + np.exp(-table["opacity"].astype(float)))
    return Splats(means, np.exp(group("scale", 3)), group("rot", 4), opacities, harmonics)


def chunks_of(path):
    """Return the JSON and the binary chunk of a .glb file."""
    data = path.read_bytes()
    magic, version, total = struct.unpack("<4sII", data[:12])
    assert (magic, version, total) == (b"glTF", 2, len(data))
    length, kind = struct.unpack("<I4s", data[12:20])
    assert kind == b"JSON" and length % 4 == 0
    document = json.loads(data[20 : 20 + length])
    size, kind = struct.unpack("<I4s", data[20 + length : 28 + length])
    assert kind == b"BIN\0" and size % 4 == 0
    return document, data[28 + length :]


def attributes_of(path):
    """Return the attributes of the only primitive of a .glb file by name, and the document."""
    document, binary = chunks_of(path)
    (primitive,) = document["meshes"][0]["primitives"]
    found = {}
    for name, number in primitive["attributes"].items():
        accessor = document["accessors"][number]
        view = document["bufferViews"][accessor["bufferView"]]
        assert view["byteOffset"] % 4 == 0
        dtype, width = KINDS[accessor["componentType"]], WIDTHS[accessor["type"]]
        values = np.frombuffer(binary, dtype, accessor["count"] * width, view["byteOffset"])
        found[name] = values.reshape(-1, width).astype(float)
        if accessor.get("normalized"):
            found[name] /= 255.0
    return found, document


def read_glb(path):
    """Return the splats of a .glb file in the world of its scene."""
    found, document = attributes_of(path)
    (node,) = document["nodes"]
    matrix = np.array(node["matrix"]).reshape(4, 4).T
    np.testing.assert_array_equal(matrix[:3, :3], np.eye(3))
    names = [f"{PREFIX}SH_DEGREE_{d}_COEF_{i}" for d in range(4) for i in range(2 * d + 1)]
    harmonics = np.stack([found[name] for name in names if name in found], 1)
    return Splats(
        found["POSITION"] + matrix[:3, 3],
        found[f"{PREFIX}SCALE"],
        found[f"{PREFIX}ROTATION"][:, [3, 0, 1, 2]],
        found[f"{PREFIX}OPACITY"][:, 0],
        harmonics,
    )
