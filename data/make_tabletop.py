"""Make the scene `data/tabletop`: a still life on a round table, ray traced with Mitsuba 3.

Everything is procedural: shapes are surfaces of revolution, swept tubes and bent strips made with
numpy, and textures are painted with numpy and Pillow. Nothing is downloaded. One seed gives one
scene: seed 0 is the composed still life; any other seed moves, turns and recolours the objects and
moves the cameras a little.

    pip install -r data/requirements-make.txt  # for speed, also LLVM's shared library (libllvm19)
    python data/make_tabletop.py --out=data/tabletop

World axes: z is up, one unit is about the radius of the table, and everything lies within 1.3 of
the origin.
"""

from __future__ import annotations

import argparse
import colorsys
import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import mitsuba as mi
import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageDraw, ImageFont

Array = NDArray[np.floating]
CAMERA_ANGLE_X = 0.69  # horizontal field of view in radians
CAMERA_DISTANCE = 4.0
TABLE_TOP = -0.5  # height of the table's surface
EXPOSURE = 1.3
GRID = 8  # side of the grid of light paths per pixel in one rendering

# What stands where: name -> x, y on the table, height above it, degrees turned about the vertical.
LAYOUT: dict[str, tuple[float, float, float, float]] = {
    "table": (0.0, 0.0, 0.0, 0.0),
    "vase": (-0.45, 0.46, 0.0, 0.0),
    "flowers": (-0.45, 0.46, 0.0, 0.0),
    "birdcage": (0.40, 0.44, 0.0, 0.0),
    "bird": (0.40, 0.44, 0.0, -125.0),
    "teapot": (0.52, -0.36, 0.0, 28.0),
    "book": (-0.47, -0.40, 0.0, 17.0),
    "tin": (0.0, 0.02, 0.0, -8.0),
    "bowl": (0.06, -0.78, 0.0, 0.0),
    "fruit": (0.06, -0.78, 0.0, 25.0),
    "cup": (-0.84, 0.10, 0.0, 200.0),
    "balls": (0.52, -0.80, 0.0, 0.0),
}
# Objects that stay together when a seed moves them.
TOGETHER = {"flowers": "vase", "bird": "birdcage", "fruit": "bowl"}


# ----------------------------------------------------------------------------------------- shapes


@dataclass
class Mesh:
    """A triangle mesh with one normal and one texture coordinate per vertex (v = 0 at the top)."""

    points: Array
    normals: Array
    uv: Array
    faces: NDArray[np.integer]

    def placed(self, shift: ArrayLike = (0, 0, 0), turn: Array | None = None) -> Mesh:
        """The mesh turned by a rotation matrix, then shifted."""
        turn = np.eye(3) if turn is None else turn
        return Mesh(
            self.points @ turn.T + np.asarray(shift), self.normals @ turn.T, self.uv, self.faces
        )


def merge(meshes: list[Mesh]) -> Mesh:
    """One mesh out of several."""
    starts = np.cumsum([0] + [len(m.points) for m in meshes[:-1]])
    return Mesh(
        np.concatenate([m.points for m in meshes]),
        np.concatenate([m.normals for m in meshes]),
        np.concatenate([m.uv for m in meshes]),
        np.concatenate([m.faces + s for m, s in zip(meshes, starts, strict=True)]),
    )


def rotation(axis: str, degrees: float) -> Array:
    """The matrix of a turn about one coordinate axis."""
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    i, j = {"x": (1, 2), "y": (2, 0), "z": (0, 1)}[axis]
    matrix = np.eye(3)
    matrix[i, i], matrix[i, j], matrix[j, i], matrix[j, j] = c, -s, s, c
    return matrix


def slope(points: Array, axis: int) -> Array:
    """Differences of a grid of points along an axis, around the seam of a grid that is closed."""
    points = np.moveaxis(points, axis, 0)
    if np.allclose(points[0], points[-1]):
        ring = points[:-1]
        diff = np.roll(ring, -1, 0) - np.roll(ring, 1, 0)
        diff = np.concatenate([diff, diff[:1]])
    else:
        diff = np.gradient(points, axis=0)
    return np.moveaxis(diff, 0, axis)


def sheet(points: Array) -> Mesh:
    """A smooth surface through a grid of points (rows, columns, 3); row 0 is the image's bottom."""
    rows, columns = points.shape[:2]
    normals = np.cross(slope(points, 1), slope(points, 0))
    normals /= np.maximum(np.linalg.norm(normals, axis=-1, keepdims=True), 1e-20)
    u, v = np.meshgrid(np.linspace(0, 1, columns), np.linspace(1, 0, rows))
    i, j = np.meshgrid(np.arange(rows - 1), np.arange(columns - 1), indexing="ij")
    a = (i * columns + j).ravel()
    b, c, d = a + 1, a + columns, a + columns + 1
    faces = np.concatenate([np.stack([a, b, c], 1), np.stack([b, d, c], 1)])
    return Mesh(
        points.reshape(-1, 3), normals.reshape(-1, 3), np.stack([u, v], -1).reshape(-1, 2), faces
    )


def curve(knots: ArrayLike, count: int = 48) -> Array:
    """A smooth (Catmull-Rom) curve through some knots, resampled to equal steps of its length."""
    p = np.asarray(knots, float)
    p = np.concatenate([[2 * p[0] - p[1]], p, [2 * p[-1] - p[-2]]])
    t = np.linspace(0, 1, 40, endpoint=False)[:, None]
    pieces = [
        b
        + t * (c - a) / 2
        + t**2 * (a - 2.5 * b + 2 * c - d / 2)
        + t**3 * (1.5 * (b - c) + (d - a) / 2)
        for a, b, c, d in zip(p, p[1:], p[2:], p[3:], strict=False)
    ]
    line = np.concatenate([*pieces, p[-2:-1]])
    length = np.cumsum([0, *np.linalg.norm(np.diff(line, axis=0), axis=1)])
    steps = np.linspace(0, length[-1], count)
    return np.stack([np.interp(steps, length, x) for x in line.T], -1)


def lathe(profile: ArrayLike, sides: int = 96) -> Mesh:
    """A surface of revolution about z; a profile of (radius, height) goes up along the outside."""
    radius, height = np.asarray(profile, float).T
    radius = np.maximum(radius, 1e-4)[:, None]  # a point on the axis would have no normal
    angle = np.linspace(0, 2 * np.pi, sides + 1)
    x, y = radius * np.cos(angle), radius * np.sin(angle)
    points = np.stack([x, y, np.broadcast_to(height[:, None], x.shape)], -1)
    points[:, -1] = points[:, 0]
    return sheet(points)


def turned(*pieces: ArrayLike, sides: int = 96) -> Mesh:
    """A surface of revolution of several profiles, with a sharp edge between one and the next."""
    return merge([lathe(piece, sides) for piece in pieces])


def ball(radii: ArrayLike = (1, 1, 1), centre: ArrayLike = (0, 0, 0), count: int = 40) -> Mesh:
    """An ellipsoid."""
    angle = np.linspace(-np.pi / 2, np.pi / 2, count)
    unit = lathe(np.stack([np.cos(angle), np.sin(angle)], -1), 2 * count)
    normals = unit.points / np.asarray(radii)
    normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
    return Mesh(unit.points * np.asarray(radii) + np.asarray(centre), normals, unit.uv, unit.faces)


def tube(path: Array, radius: ArrayLike, sides: int = 16) -> Mesh:
    """A round tube along a path, of one radius or one radius per point, closed if the path is."""
    along = slope(path, 0)
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    side = np.cross(along[0], np.eye(3)[np.argmin(np.abs(along[0]))])
    sideways = []
    for t in along:  # carry the sideways direction along the path so that the tube does not twist
        side = side - t * (side @ t)
        side = side / np.linalg.norm(side)
        sideways.append(side)
    first = np.array(sideways)
    second = np.cross(along, first)
    angle = np.linspace(0, 2 * np.pi, sides + 1)[None, :, None]
    ring = np.cos(angle) * first[:, None] + np.sin(angle) * second[:, None]
    width = np.broadcast_to(np.asarray(radius, float), len(path))[:, None, None]
    points = path[:, None] + width * ring
    points[:, -1] = points[:, 0]
    return sheet(points)


def ring(radius: float, height: float, thickness: float, squeeze: float = 1.0) -> Mesh:
    """A horizontal ring (a torus) about z."""
    angle = np.linspace(0, 2 * np.pi, 97)
    path = np.stack(
        [radius * np.cos(angle), squeeze * radius * np.sin(angle), np.full(97, height)], -1
    )
    path[-1] = path[0]
    return tube(path, thickness, 14)


def slab(low: ArrayLike, high: ArrayLike) -> list[Mesh]:
    """The faces of a box, in the order -x, +x, -y, +y, -z, +z, each with a whole picture on it."""
    low, high = np.asarray(low, float), np.asarray(high, float)
    faces = []
    for axis in range(3):
        for end in (0, 1):
            right, up = [(1, 2), (0, 2), (0, 1)][axis]
            across = np.zeros((2, 2, 3))
            across[..., axis] = (low, high)[end][axis]
            flip = (axis == 1) == (
                end == 1
            )  # so that every picture reads the right way round from outside
            across[..., right] = np.array(
                [high[right], low[right]] if flip else [low[right], high[right]]
            )
            across[..., up] = np.array([[low[up]], [high[up]]])
            faces.append(sheet(across))
    return faces


# --------------------------------------------------------------------------- colours and textures


@dataclass
class Style:
    """The colours of one scene: a turn of the hue for each object, and its textures' generator."""

    hue: dict[str, float]
    rng: np.random.Generator

    def colour(self, name: str, code: str) -> Array:
        """An sRGB colour (0 to 1) from a hexadecimal code, its hue turned as this object's is."""
        rgb = [int(code[i : i + 2], 16) / 255 for i in (0, 2, 4)]
        h, s, v = colorsys.rgb_to_hsv(*rgb)
        return np.array(colorsys.hsv_to_rgb((h + self.hue.get(name, 0.0)) % 1.0, s, v))

    def ink(self, name: str, code: str) -> tuple[int, ...]:
        """The same as a Pillow colour."""
        return tuple(round(255 * float(x)) for x in self.colour(name, code))


def to_linear(srgb: Array) -> Array:
    """Decode sRGB values."""
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def to_srgb(linear: Array) -> Array:
    """Encode linear values as sRGB."""
    linear = np.maximum(linear, 0)
    return np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)


def paint(colour: Array | Image.Image) -> dict:
    """A Mitsuba reflectance from an sRGB colour, an array of them, or a picture."""
    if isinstance(colour, Image.Image):
        colour = np.asarray(colour.convert("RGB")) / 255
    if colour.ndim == 1:
        return {"type": "rgb", "value": to_linear(colour).tolist()}
    linear = to_linear(colour).astype(np.float32)
    return {"type": "bitmap", "bitmap": mi.Bitmap(linear), "raw": True}


def matte(colour: Array | Image.Image) -> dict:
    """A material without highlights."""
    return {"type": "twosided", "material": {"type": "diffuse", "reflectance": paint(colour)}}


def glossy(colour: Array | Image.Image, roughness: float, index: float = 1.5) -> dict:
    """A varnished material; the rougher it is, the wider and fainter its highlight."""
    inner = {"type": "roughplastic", "diffuse_reflectance": paint(colour), "alpha": roughness}
    return {"type": "twosided", "material": inner | {"int_ior": index, "nonlinear": True}}


def glazed(colour: Array | Image.Image) -> dict:
    """A glazed or lacquered material with a small, strong highlight."""
    return glossy(colour, 0.06, 1.75)


# Complex refractive indices (eta, k) at the wavelengths of red, green and blue.
GOLD = ((0.143, 0.374, 1.442), (3.983, 2.386, 1.603))
COPPER = ((0.200, 0.924, 1.102), (3.912, 2.452, 2.142))


def metal(index: tuple, roughness: float) -> dict:
    """A brushed metal, rough enough not to mirror its surroundings."""
    eta, k = ({"type": "rgb", "value": list(x)} for x in index)
    return {
        "type": "twosided",
        "material": {"type": "roughconductor", "eta": eta, "k": k, "alpha": roughness},
    }


def noise(rng: np.random.Generator, size: int, across: int, down: int) -> Array:
    """Smooth random values in about 0 to 1, with so many cells across and down a square picture."""
    cells = Image.fromarray(rng.random((down, across)).astype(np.float32))
    return np.asarray(cells.resize((size, size), Image.Resampling.BICUBIC))


def mix(a: Array, b: Array, share: Array) -> Array:
    """Colours between a (share 0) and b (share 1)."""
    return a + (b - a) * np.clip(share, 0, 1)[..., None]


def wood(style: Style, size: int = 1536, planks: int = 9) -> Array:
    """Planks with grain."""
    rng = style.rng
    y = (np.arange(size)[:, None] + 0.5) / size * (planks - 1) + 0.5  # no gap at the rim
    plank = y.astype(int)[:, 0]
    grain = noise(rng, size, 5, 150) * 0.6 + noise(rng, size, 14, 420) * 0.4
    wave = noise(rng, size, 5, 3 * planks) * 2.2 + rng.random(planks)[plank][:, None] * 7
    rings = 0.5 + 0.5 * np.sin(2 * np.pi * (wave + y * 1.7))
    tone = (
        0.08 + 0.7 * rings * grain + 0.35 * grain + 0.4 * (rng.random(planks)[plank][:, None] - 0.5)
    )
    colours = mix(style.colour("table", "8f5022"), style.colour("table", "f0bf80"), tone)
    gap = np.abs(y - np.round(y)) < 0.022
    return np.where(gap[..., None], style.colour("table", "4a2a14"), colours)


def table_picture(style: Style, radius: float) -> Array:
    """The table seen from above: planks with an inlaid ring of small tiles near the rim."""
    picture = wood(style)
    size = len(picture)
    axis = (np.arange(size) + 0.5) / size * 2 - 1
    x, y = np.meshgrid(axis * radius, -axis * radius)
    r, turn = np.hypot(x, y), np.arctan2(y, x) / (2 * np.pi) % 1
    row = (r - 0.945) / 0.062  # two rows of tiles
    column = turn * 96 + 0.5 * np.floor(row)
    codes = ["1f4e79", "f3e9d2", "c8553d", "f3e9d2", "2a8c82", "f3e9d2"]
    tiles = np.stack([style.colour("table", c) for c in codes])
    colours = tiles[(np.floor(column).astype(int) + 3 * np.floor(row).astype(int)) % len(codes)]
    grout = (np.abs(row - np.round(row)) < 0.07) | (np.abs(column - np.round(column)) < 0.07)
    colours = np.where(grout[..., None], style.colour("table", "4a3524"), colours)
    inside = (row > -0.07) & (row < 2.07)
    return np.where(inside[..., None], colours, picture)


def vase_picture(style: Style, size: int = 1024) -> Image.Image:
    """Blue patterns on white glaze, in bands."""
    white, blue, pale = (style.ink("vase", c) for c in ("f4f1e8", "1b3f94", "6f95d6"))
    image = Image.new("RGB", (size, size), white)
    draw = ImageDraw.Draw(image)
    for low, high in ((0.02, 0.05), (0.17, 0.19), (0.33, 0.345), (0.70, 0.72), (0.93, 1.0)):
        draw.rectangle((0, low * size, size, high * size), fill=blue)
    step = size / 16
    for k in range(17):
        x = k * step
        draw.polygon(
            [(x, 0.17 * size), (x + step, 0.17 * size), (x + step / 2, 0.07 * size)], fill=blue
        )
        draw.ellipse((x - 0.2 * step, 0.235 * size, x + 0.2 * step, 0.285 * size), fill=pale)
        draw.polygon(
            [(x, 0.74 * size), (x + step, 0.74 * size), (x + step / 2, 0.9 * size)], fill=pale
        )
        inner = [
            (x + 0.2 * step, 0.74 * size),
            (x + 0.8 * step, 0.74 * size),
            (x + step / 2, 0.84 * size),
        ]
        draw.polygon(inner, fill=blue)
    for k in range(9):
        x, y, w, h = k * 2 * step, 0.5225 * size, step, 0.16 * size
        draw.polygon([(x - w, y), (x, y - h), (x + w, y), (x, y + h)], outline=blue, width=14)
        draw.polygon(
            [(x - 0.5 * w, y), (x, y - 0.55 * h), (x + 0.5 * w, y), (x, y + 0.55 * h)], fill=blue
        )
        draw.ellipse((x - 0.18 * w, y - 0.18 * w, x + 0.18 * w, y + 0.18 * w), fill=white)
        for s in (-1, 1):
            draw.ellipse(
                (x + w - 14, y + s * 0.72 * h - 14, x + w + 14, y + s * 0.72 * h + 14), fill=pale
            )
    return image


def text(
    draw: ImageDraw.ImageDraw,
    at: tuple[float, float],
    words: str,
    size: float,
    fill: tuple,
    bold: float = 0,
) -> None:
    """Write words centred at a point, in Pillow's own font, made bolder by a stroke."""
    font = ImageFont.load_default(size)
    draw.text(at, words, font=font, fill=fill, anchor="mm", stroke_width=bold, stroke_fill=fill)


def book_picture(style: Style) -> Image.Image:
    """The front cover of the book."""
    red, cream, gold = (style.ink("book", c) for c in ("c81d34", "f7ecd4", "e3b04b"))
    image = Image.new("RGB", (780, 1040), red)
    draw = ImageDraw.Draw(image)
    draw.rectangle((40, 40, 740, 1000), outline=gold, width=16)
    text(draw, (390, 215), "nerf", 330, cream, 9)
    draw.line((110, 400, 670, 400), fill=gold, width=14)
    for row, words in enumerate(("neural", "radiance", "fields")):
        text(draw, (390, 490 + 118 * row), words, 128, cream, 3)
    for k in range(5):
        x = 390 + (k - 2) * 118
        draw.ellipse((x - 40, 860, x + 40, 940), fill=gold if k % 2 == 0 else cream)
    return image


def spine_picture(style: Style) -> Image.Image:
    """The spine of the book, to be read along its length."""
    red, cream, gold = (style.ink("book", c) for c in ("a5152a", "f7ecd4", "e3b04b"))
    image = Image.new("RGB", (1040, 170), red)
    draw = ImageDraw.Draw(image)
    for x in (70, 930):
        draw.rectangle((x, 0, x + 40, 170), fill=gold)
    text(draw, (520, 85), "nerf  in  JAX", 130, cream, 4)
    return image


def tin_picture(style: Style) -> Image.Image:
    """The label around the tin, twice the same."""
    yellow, navy, white = (style.ink("tin", c) for c in ("f0b429", "14213d", "fff8e7"))
    image = Image.new("RGB", (1400, 560), yellow)
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 0, 1400, 45), fill=navy)
    draw.rectangle((0, 515, 1400, 560), fill=navy)
    for k in range(28):
        draw.polygon([(k * 50, 515), (k * 50 + 50, 515), (k * 50 + 25, 465)], fill=navy)
    for x in (350, 1050):
        draw.rounded_rectangle((x - 225, 80, x + 225, 440), 40, fill=white, outline=navy, width=12)
        text(draw, (x, 180), "nerf", 200, navy, 6)
        text(draw, (x, 305), "fine tea", 96, style.ink("tin", "b23a48"), 3)
        text(draw, (x, 390), "100 views", 66, navy, 2)
    return image


def fruit_picture(style: Style, ripe: str, raw: str) -> Array:
    """Streaks from pole to pole between two colours, as on an apple."""
    size = 256
    streaks = noise(style.rng, size, 40, 4).copy()
    streaks[:, -32:] = mix(
        streaks[:, -32:, None], streaks[:, 31::-1, None], np.linspace(0, 1, 32)[None]
    )[..., 0]
    share = 1.5 * streaks - 0.55 + 0.5 * np.linspace(1, 0, size)[:, None] ** 3
    return mix(style.colour("fruit", ripe), style.colour("fruit", raw), share)


# ---------------------------------------------------------------------------------------- objects

Parts = list[tuple[Mesh, dict]]


def make_table(style: Style) -> Parts:
    """A round slab with a rounded rim."""
    radius, thickness = 1.14, 0.085
    bend = np.linspace(-np.pi / 2, np.pi / 2, 25)
    rim = np.stack(
        [radius - 0.03 + 0.03 * np.cos(bend), -thickness / 2 + np.sin(bend) * thickness / 2], -1
    )
    below = [(0.0, -thickness), (radius - 0.03, -thickness)]
    mesh = turned(below, rim, [(radius - 0.03, 0.0), (0.0, 0.0)], sides=192)
    mesh.uv[:] = (
        mesh.points[:, :2] / (2 * radius) * (1, -1) + 0.5
    )  # the picture lies flat on the table
    return [(mesh, glossy(table_picture(style, radius), 0.28))]


def make_vase(style: Style) -> Parts:
    """A glazed vase with a narrow neck."""
    foot = [(0.11, 0), (0.13, 0.03), (0.205, 0.18), (0.225, 0.3)]
    neck = [(0.19, 0.43), (0.105, 0.55), (0.085, 0.62), (0.125, 0.7)]
    outside = curve(foot + neck, 120)
    lip = curve([(0.125, 0.7), (0.118, 0.708), (0.108, 0.7)], 12)
    inside = curve([(0.108, 0.7), (0.07, 0.62), (0.09, 0.55), (0.15, 0.4), (0.0, 0.3)], 40)
    white = glazed(style.colour("vase", "f4f1e8"))
    return [(lathe(outside), glazed(vase_picture(style))), (turned(lip, inside), white)]


def leaf(path: Array, width: float, facing: Array) -> Mesh:
    """A pointed strip along a path, folded a little along its middle."""
    t = np.linspace(0, 1, len(path))[:, None, None]
    across = np.linspace(-1, 1, 9)[None, :, None]
    spread = width * np.sin(np.pi * np.clip(t, 0.004, 0.996)) ** 0.8
    up = np.array([0, 0, 1.0])
    return sheet(path[:, None] + spread * (across * facing + 0.35 * np.abs(across) * up))


def tulip() -> Mesh:
    """The cup of a tulip: a turned shape whose edge rises in three petals."""
    mesh = lathe(
        curve([(0.01, 0), (0.06, 0.02), (0.078, 0.075), (0.062, 0.14), (0.05, 0.155)], 40), 72
    )
    grid = mesh.points.reshape(40, 73, 3).copy()
    angle = np.linspace(0, 2 * np.pi, 73)
    t = np.linspace(0, 1, 40)[:, None]
    grid[..., :2] *= (1 + 0.07 * np.sin(np.pi * t) * np.abs(np.cos(1.5 * angle)) * 2 - 0.05)[
        ..., None
    ]
    grid[..., 2] += 0.04 * t**3 * (np.abs(np.cos(1.5 * angle)) - 0.5)
    grid[:, -1] = grid[:, 0]
    return sheet(grid)


def upright(degrees: float, knots: ArrayLike) -> tuple[Array, Array]:
    """A smooth path in an upright plane, by knots (distance from z, height), and the way across."""
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    points = [(reach * c, reach * s, height) for reach, height in np.asarray(knots, float)]
    return curve(points), np.array([-s, c, 0.0])


def make_flowers(style: Style) -> Parts:
    """Tulips in the vase, with a few leaves."""
    stems, leaves = [], []
    heads: Parts = []
    kinds = [
        ("e8476a", 1.12, 20),
        ("f2a71b", 1.02, 25),
        ("d7263d", 0.98, 27),
        ("f7d4dc", 1.2, 4),
        ("e8476a", 0.9, 34),
    ]
    for k, (code, high, lean) in enumerate(kinds):
        angle, reach = 20 + 90 * k, 0.55 * math.tan(math.radians(lean))
        path, _ = upright(
            angle, [(0, 0.42), (0.05, 0.7), (0.75 * reach, high - 0.1), (reach, high)]
        )
        stems.append(tube(path, 0.011, 10))
        head = tulip().placed(path[-1], rotation("z", angle) @ rotation("y", lean))
        heads.append((head, glossy(style.colour("flowers", code), 0.3)))
    for k, reach in enumerate((0.3, 0.26, 0.28)):
        path, across = upright(
            65 + 125 * k, [(0, 0.6), (0.09, 0.78), (0.7 * reach, 0.9), (reach, 0.84)]
        )
        leaves.append(leaf(path, 0.045, across))
    light, dark = (glossy(style.colour("flowers", code), 0.3) for code in ("4f9d3a", "2f7d3b"))
    return [(merge(stems), light), (merge(leaves), dark), *heads]


def make_birdcage(style: Style) -> Parts:
    """A gilded cage: upright bars that meet in a dome, rings around them, a perch, a top ring."""
    radius, wall, dome, bars = 0.31, 0.52, 0.27, 16
    bend = np.linspace(0, np.pi / 2, 24)
    profile = [(radius, 0.03), *[(radius * math.cos(b), wall + dome * math.sin(b)) for b in bend]]
    wires = []
    for k in range(bars):
        angle = 2 * np.pi * k / bars
        path = [(r * math.cos(angle), r * math.sin(angle), z) for r, z in profile]
        wires.append(tube(np.array(path), 0.0105, 10))
    rings = [ring(radius, z, 0.0135) for z in (0.06, 0.29, wall)]
    rings.append(ring(0.045, 0, 0.011).placed((0, 0, wall + dome + 0.055), rotation("x", 90)))
    perch = tube(np.array([(-radius, 0, 0.22), (radius, 0, 0.22)]), 0.014, 12)
    foot = turned(curve([(0.335, 0), (0.345, 0.02), (0.335, 0.04)], 12), [(0.335, 0.04), (0, 0.04)])
    knob = ball((0.03, 0.03, 0.022), (0, 0, wall + dome), 20)
    gilt = metal(GOLD, 0.25)
    wooden = glossy(style.colour("birdcage", "7a4a25"), 0.3)
    return [
        (merge([*wires, *rings, knob]), gilt),
        (perch, wooden),
        (foot, glossy(style.colour("birdcage", "24524a"), 0.15)),
    ]


def make_bird(style: Style) -> Parts:
    """A round little bird on the perch of the cage, looking along +x."""
    body = ball((0.125, 0.095, 0.1), (0, 0, 0.32)).placed((0, 0, 0))
    head = ball((0.075, 0.07, 0.07), (0.075, 0, 0.43))
    crest = lathe(curve([(0.03, 0), (0.018, 0.04), (0.0, 0.08)], 16), 24).placed(
        (0.05, 0, 0.485), rotation("y", -25)
    )
    tail = ball((0.12, 0.035, 0.014), (0, 0, 0)).placed((-0.17, 0, 0.275), rotation("y", -28))
    wings = [
        ball((0.1, 0.02, 0.06), (0, 0, 0)).placed(
            (-0.03, s * 0.088, 0.325), rotation("y", -18) @ rotation("x", -8 * s)
        )
        for s in (-1, 1)
    ]
    beak = lathe([(0.026, 0), (0.0, 0.06)], 24).placed((0.14, 0, 0.425), rotation("y", 96))
    eyes = [ball((0.013, 0.013, 0.013), (0.115, s * 0.055, 0.445), 14) for s in (-1, 1)]
    feathers = glossy(style.colour("bird", "f02a1d"), 0.4)
    dark = glossy(style.colour("bird", "b0121f"), 0.4)
    return [
        (merge([body, head, crest]), feathers),
        (merge([*wings, tail]), dark),
        (beak, glossy(style.colour("bird", "f4a300"), 0.2)),
        (merge(eyes), glazed(style.colour("bird", "101010"))),
    ]


def make_teapot(style: Style) -> Parts:
    """A glazed teapot with a spout towards +x."""
    foot = curve([(0.14, 0), (0.145, 0.015), (0.15, 0.03)], 8)
    body = curve(
        [(0.15, 0.03), (0.235, 0.1), (0.262, 0.19), (0.23, 0.28), (0.145, 0.335), (0.135, 0.35)], 64
    )
    lid = curve([(0.14, 0.35), (0.142, 0.36), (0.11, 0.385), (0.05, 0.41), (0.0, 0.415)], 32)
    neck = curve([(0.022, 0.405), (0.018, 0.425)], 6)
    knob = ball((0.036, 0.036, 0.032), (0, 0, 0.448), 24)
    path = curve([(0.2, 0, 0.1), (0.31, 0, 0.15), (0.36, 0, 0.25), (0.43, 0, 0.335)], 40)
    spout = tube(
        path, np.interp(np.linspace(0, 1, 40), [0, 0.35, 0.85, 1], [0.075, 0.052, 0.033, 0.037]), 32
    )
    grip = curve(
        [(-0.22, 0, 0.28), (-0.34, 0, 0.32), (-0.41, 0, 0.24), (-0.37, 0, 0.14), (-0.24, 0, 0.1)],
        48,
    )
    glaze = glazed(style.colour("teapot", "00b8ab"))
    pot = merge([turned(foot, body, lid, neck), spout, tube(grip, 0.023, 20)])
    return [(pot, glaze), (knob, glazed(style.colour("teapot", "f2c14e")))]


def make_book(style: Style) -> Parts:
    """A hardback book lying on its back cover, its spine towards -x."""
    wide, tall, thick, board = 0.54, 0.72, 0.115, 0.014
    x, y = wide / 2, tall / 2
    front = slab((-x, -y, thick - board), (x, y, thick))
    back = slab((-x, -y, 0), (x, y, board))
    pages = slab((-x, -y + 0.02, board), (x - 0.02, y - 0.02, thick - board))
    bend = np.linspace(-np.pi / 2, np.pi / 2, 17)
    arc = np.stack([-x - 0.03 * np.cos(bend), np.zeros(17), thick / 2 * (1 + np.sin(bend))], -1)
    spine = sheet(np.stack([arc + np.array([0, y, 0]), arc - np.array([0, y, 0])], 1))
    lines = np.repeat(np.where(np.arange(48) % 4 < 2, 0.93, 0.72)[:, None], 4, 1)[
        ..., None
    ] * np.array([1, 0.97, 0.88])
    cloth = glossy(style.colour("book", "c81d34"), 0.3)
    return [
        (front[5], glossy(book_picture(style), 0.3)),
        (merge([*front[:5], *back]), cloth),
        (merge(pages), matte(lines)),
        (spine, glossy(spine_picture(style), 0.3)),
    ]


def make_tin(style: Style) -> Parts:
    """A round tea tin with a paper label and a lid."""
    label = lathe(np.stack([np.full(8, 0.16), np.linspace(0.012, 0.33, 8)], -1)).placed(
        turn=rotation("z", 180)
    )
    rims = [ring(0.157, z, 0.012) for z in (0.012, 0.335)]
    lid = turned(
        curve([(0.158, 0.335), (0.15, 0.372), (0.135, 0.378)], 16),
        curve([(0.135, 0.378), (0.06, 0.384), (0, 0.385)], 16),
    )
    knob = ball((0.03, 0.03, 0.026), (0, 0, 0.405), 20)
    navy = glossy(style.colour("tin", "14213d"), 0.15)
    return [
        (label, glossy(tin_picture(style), 0.25)),
        (merge([*rims, lid]), navy),
        (knob, metal(GOLD, 0.2)),
    ]


def make_bowl(_: Style) -> Parts:
    """A brushed copper bowl."""
    outside = curve([(0.08, 0), (0.085, 0.012), (0.15, 0.05), (0.195, 0.125)], 40)
    lip = curve([(0.195, 0.125), (0.192, 0.131), (0.185, 0.125)], 10)
    inside = curve([(0.185, 0.125), (0.14, 0.06), (0.08, 0.025), (0, 0.02)], 32)
    return [(turned(outside, lip, inside), metal(COPPER, 0.35))]


def make_fruit(style: Style) -> Parts:
    """Apples and a lemon in the bowl."""
    side = [(0.0, 0.012), (0.035, 0.0), (0.085, 0.06), (0.082, 0.12), (0.04, 0.15), (0.0, 0.13)]
    apple = lathe(curve(side, 48), 64)
    stem = tube(curve([(0, 0, 0.12), (0.005, 0, 0.15), (0.02, 0, 0.18)], 8), 0.007, 8)
    spots = [((-0.075, 0.03, 0.06), rotation("y", 8)), ((0.065, 0.07, 0.062), rotation("y", -12))]
    half = [(0.072, 0.0), (0.055, 0.07), (0.016, 0.108), (0.0, 0.118)]
    lemon = lathe(curve([(radius, -height) for radius, height in half[:0:-1]] + half, 48))
    return [
        (
            merge([apple.placed(*spot) for spot in spots]),
            glossy(fruit_picture(style, "7fb82e", "d9e26b"), 0.15),
        ),
        (merge([stem.placed(*spot) for spot in spots]), matte(style.colour("fruit", "5b3a1e"))),
        (
            lemon.placed((0.03, -0.075, 0.135), rotation("z", 15) @ rotation("y", 80)),
            glossy(style.colour("fruit", "ffd52e"), 0.25),
        ),
    ]


def make_cup(style: Style) -> Parts:
    """A striped cup with a handle towards +x."""
    outside = curve([(0.075, 0), (0.085, 0.01), (0.115, 0.08), (0.125, 0.2)], 40)
    lip = curve([(0.125, 0.2), (0.12, 0.206), (0.114, 0.2)], 10)
    inside = curve([(0.114, 0.2), (0.1, 0.08), (0, 0.03)], 24)
    tea = lathe([(0.111, 0.165), (0.0, 0.165)])
    grip = tube(
        curve([(0.115, 0, 0.165), (0.185, 0, 0.165), (0.19, 0, 0.08), (0.108, 0, 0.055)], 32),
        0.014,
        16,
    )
    rows = np.arange(240)
    stripe = ((rows // 24) % 2 == 0) & (rows > 30) & (rows < 200)
    bands = mix(
        style.colour("cup", "fbf3e4"),
        style.colour("cup", "e76f51"),
        stripe[:, None] * np.ones((1, 4)),
    )
    plain = glazed(style.colour("cup", "fbf3e4"))
    return [
        (lathe(outside), glazed(bands)),
        (turned(lip, inside), plain),
        (grip, glazed(style.colour("cup", "e76f51"))),
        (tea, glazed(style.colour("cup", "6b2f0f"))),
    ]


def make_balls(style: Style) -> Parts:
    """Three lacquered balls, one of them striped."""
    rows = np.arange(120)
    stripe = ((rows // 12) % 2 == 0)[:, None] * np.ones((1, 4))
    bands = mix(style.colour("balls", "6a3fb5"), style.colour("balls", "fbf3e4"), stripe)
    striped = ball((0.08, 0.08, 0.08)).placed(
        (-0.09, -0.02, 0.08), rotation("z", 40) @ rotation("x", 50)
    )
    return [
        (striped, glazed(bands)),
        (ball((0.07, 0.07, 0.07), (0.065, 0.055, 0.07)), glazed(style.colour("balls", "ff6b1a"))),
        (ball((0.05, 0.05, 0.05), (0.075, -0.08, 0.05)), glazed(style.colour("balls", "2277dd"))),
    ]


MAKERS: dict[str, Callable[[Style], Parts]] = {
    "table": make_table,
    "vase": make_vase,
    "flowers": make_flowers,
    "birdcage": make_birdcage,
    "bird": make_bird,
    "teapot": make_teapot,
    "book": make_book,
    "tin": make_tin,
    "bowl": make_bowl,
    "fruit": make_fruit,
    "cup": make_cup,
    "balls": make_balls,
}


# ------------------------------------------------------------------------------------------ scene


def arrange(seed: int) -> tuple[Style, dict[str, tuple[Array, Array]]]:
    """The colours, and the shift and turn of every object. Seed 0 changes nothing."""
    rng = np.random.default_rng(seed)
    strength = 0.0 if seed == 0 else 1.0
    whole = rotation("z", strength * rng.uniform(-180, 180))
    moves = {name: strength * rng.uniform(-1, 1, 4) for name in LAYOUT}
    hue, places = {}, {}
    for name, (x, y, z, turn) in LAYOUT.items():
        move = moves[TOGETHER.get(name, name)] * (name != "table")
        shift = whole @ np.array([x + 0.035 * move[0], y + 0.035 * move[1], z + TABLE_TOP])
        places[name] = (shift, whole @ rotation("z", turn + 20 * move[2]))
        hue[name] = 0.1 * moves[name][3] * (name not in ("table", "fruit"))
    return Style(hue, np.random.default_rng(seed + 1000)), places


def to_shape(name: str, mesh: Mesh, material: dict) -> mi.Mesh:
    """Hand a mesh and its material to Mitsuba."""
    properties = mi.Properties()
    properties["bsdf"] = mi.load_dict(material)
    shape = mi.Mesh(name, len(mesh.points), len(mesh.faces), properties, True, True)
    values = mi.traverse(shape)
    values["vertex_positions"] = mesh.points.astype(np.float32).ravel()
    values["vertex_normals"] = mesh.normals.astype(np.float32).ravel()
    values["vertex_texcoords"] = mesh.uv.astype(np.float32).ravel()
    values["faces"] = mesh.faces.astype(np.uint32).ravel()
    values.update()
    return shape


def softbox(at: ArrayLike, size: float, colour: ArrayLike, weight: float) -> dict:
    """A square light that faces the origin, and its share of the light samples."""
    frame = mi.ScalarTransform4f().look_at(origin=list(at), target=[0, 0, 0], up=[0, 0, 1])
    radiance = {"type": "rgb", "value": list(colour)}
    return {
        "type": "rectangle",
        "to_world": frame @ mi.ScalarTransform4f().scale(size / 2),
        "emitter": {"type": "area", "radiance": radiance, "sampling_weight": weight},
    }


def surroundings() -> dict:
    """A soft room light: bright above, warm and dim below."""
    up = np.linspace(1, -1, 64)[:, None]  # rows of the picture run from the zenith down
    sky, floor = np.array([0.55, 0.61, 0.70]), np.array([0.26, 0.22, 0.19])
    rows = mix(floor, sky, 0.5 + 0.5 * np.tanh(2.5 * up))
    picture = np.repeat(rows, 128, 1).astype(np.float32)
    upright = mi.ScalarTransform4f().rotate([1, 0, 0], 90)  # Mitsuba's own up is y
    return {"type": "envmap", "bitmap": mi.Bitmap(picture), "to_world": upright}


def build(seed: int) -> tuple[mi.Scene, dict[str, list]]:
    """The scene, and the shapes of every object in it."""
    style, places = arrange(seed)
    # Lights stand higher than any camera can look, so that none stands in the way of one.
    scene: dict = {
        "type": "scene",
        "integrator": {"type": "path", "max_depth": 6, "hide_emitters": True},
        "room": surroundings(),
        "key": softbox((-4.6, -3.6, 5.2), 1.7, (62.0, 54.0, 43.0), 2.0),
        "rim": softbox((4.5, 3.5, 5.0), 1.3, (20.0, 24.0, 30.0), 1.0),
    }
    shapes: dict[str, list] = {}
    for name, make in MAKERS.items():
        shift, turn = places[name]
        parts = [(mesh.placed(shift, turn), material) for mesh, material in make(style)]
        shapes[name] = [to_shape(f"{name}{k}", *part) for k, part in enumerate(parts)]
        scene |= {f"{name}{k}": shape for k, shape in enumerate(shapes[name])}
    return mi.load_dict(scene), shapes


# ---------------------------------------------------------------------------------------- cameras


def look(azimuth: float, elevation: float, distance: float) -> Array:
    """Camera-to-world (x right, y up, looks along -z) of a camera that looks at the origin."""
    back = np.array(
        [
            math.cos(elevation) * math.cos(azimuth),
            math.cos(elevation) * math.sin(azimuth),
            math.sin(elevation),
        ]
    )
    right = np.array([-math.sin(azimuth), math.cos(azimuth), 0.0])
    matrix = np.eye(4)
    matrix[:3] = np.stack([right, np.cross(back, right), back, distance * back], -1)
    return matrix


def train_cameras(count: int, rng: np.random.Generator) -> list[Array]:
    """Cameras spread evenly over a hemisphere by the golden angle, each moved a little."""
    cameras = []
    for k in range(count):
        height = math.sin(math.radians(5)) + (k + 0.5) / count * (
            math.sin(math.radians(85)) - math.sin(math.radians(5))
        )
        azimuth = k * math.pi * (3 - math.sqrt(5)) + rng.uniform(-0.05, 0.05)
        elevation = math.asin(height) + rng.uniform(-0.02, 0.02)
        cameras.append(look(azimuth, elevation, CAMERA_DISTANCE + rng.uniform(-0.05, 0.1)))
    return cameras


def test_cameras(count: int, rng: np.random.Generator) -> list[Array]:
    """Cameras on a smooth spiral, up from low views to high ones in two turns."""
    start = rng.uniform(-0.1, 0.1) - 1.9
    steps = [(k + 0.5) / count for k in range(count)]
    return [
        look(start + 4 * math.pi * s, math.radians(10 + 62 * s), CAMERA_DISTANCE) for s in steps
    ]


def pixel_rays(camera: Array, size: int) -> tuple[Array, Array]:
    """The origin, and the unit direction through each pixel's centre, row by row from the top."""
    focal = size / 2 / math.tan(CAMERA_ANGLE_X / 2)
    offset = (np.arange(size) + 0.5 - size / 2) / focal
    x, y = np.meshgrid(offset, -offset)
    directions = np.stack([x, y, -np.ones_like(x)], -1).reshape(-1, 3) @ camera[:3, :3].T
    return camera[:3, 3], directions / np.linalg.norm(directions, axis=1, keepdims=True)


# --------------------------------------------------------------------------------------- pictures


def radiance(scene: mi.Scene, camera: Array, size: int, samples: int, seed: int) -> Array:
    """Linear colour times alpha, and alpha, as a robust mean of several renderings.

    A rare bright path (light by way of a glossy surface) would stand out as a speck of one pixel.
    So where one rendering's colour is far above the median of all of them, it is cut down.
    """
    sensor = {
        "type": "perspective",
        "fov": math.degrees(CAMERA_ANGLE_X),
        "to_world": mi.ScalarTransform4f(
            camera @ np.diag([-1.0, 1.0, -1.0, 1.0])
        ),  # Mitsuba looks along +z
        "film": {
            "type": "hdrfilm",
            "width": size,
            "height": size,
            "pixel_format": "rgba",
            "rfilter": {"type": "box"},
        },
        "sampler": {"type": "multijitter", "sample_count": GRID**2},
    }
    lens = mi.load_dict(sensor)
    seeds = range(seed * 1000, seed * 1000 + max(1, round(samples / GRID**2)))
    parts = np.array(
        [np.array(mi.render(scene, sensor=lens, spp=GRID**2, seed=k), float) for k in seeds]
    )
    parts[..., :3] = np.minimum(parts[..., :3], 1.3 * np.median(parts[..., :3], 0) + 0.02)
    return parts.mean(0)


def render(scene: mi.Scene, camera: Array, size: int, samples: int, seed: int) -> NDArray[np.uint8]:
    """A picture as 8-bit sRGB with straight alpha."""
    light = radiance(scene, camera, size, samples, seed)
    alpha = np.clip(light[..., 3:], 0, 1)
    colour = (
        EXPOSURE * light[..., :3] / np.maximum(alpha, 1e-6)
    )  # the renderer's colours are multiplied by alpha
    colour = np.where(
        colour > 0.7, 0.7 + 0.3 * np.tanh((colour - 0.7) / 0.6), colour
    )  # roll highlights off
    seen = np.round(255 * alpha) > 0
    picture = np.concatenate([np.where(seen, to_srgb(colour), 0), alpha], -1)
    return np.round(255 * np.clip(picture, 0, 1)).astype(np.uint8)


def trace(scene: mi.Scene, origin: Array, directions: Array) -> tuple[Array, Array, list]:
    """Distance, normal and shape at each ray's first hit; the distance is infinite without one."""
    if not mi.variant().startswith("scalar"):
        hit = scene.ray_intersect(
            mi.Ray3f(mi.Point3f(*origin.tolist()), mi.Vector3f(*directions.T.astype(np.float32)))
        )
        return np.array(hit.t), np.array(hit.sh_frame.n).T, hit.shape
    hits = [scene.ray_intersect(mi.Ray3f(origin, d)) for d in directions]
    return (
        np.array([h.t for h in hits]),
        np.array([np.array(h.sh_frame.n) for h in hits]),
        [h.shape for h in hits],
    )


def geometry(
    scene: mi.Scene, shapes: dict[str, list], camera: Array, size: int
) -> tuple[Array, Array, Array]:
    """Labels, depth and normals through the centres of the pixels; 0 where nothing is."""
    origin, directions = pixel_rays(camera, size)
    depth, normals, hit = trace(scene, origin, directions)
    labels = np.zeros(len(depth), np.uint8)
    for number, parts in enumerate(shapes.values(), 1):
        for part in parts:
            same = [h == part for h in hit] if isinstance(hit, list) else hit == mi.ShapePtr(part)
            labels[np.array(same)] = number
    seen = np.isfinite(depth)
    normals = np.where(
        (normals * directions).sum(1, keepdims=True) > 0, -normals, normals
    )  # face the camera
    depth, normals = np.where(seen, depth, 0), np.where(seen[:, None], normals, 0)
    return labels.reshape(size, size), depth.reshape(size, size), normals.reshape(size, size, 3)


def save(
    folder: Path, split: str, name: str, picture: Array, maps: tuple[Array, Array, Array]
) -> None:
    """Write a view's picture and labels, and for test views its depth and normals too."""
    labels, depth, normals = maps
    for kind in (
        split,
        f"labels/{split}",
        *([f"depth/{split}", f"normals/{split}"] if split == "test" else []),
    ):
        (folder / kind).mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(folder / split / f"{name}.png", optimize=True)
    Image.fromarray(labels).save(folder / "labels" / split / f"{name}.png", optimize=True)
    if split == "test":
        np.savez_compressed(folder / "depth/test" / f"{name}.npz", depth=depth.astype(np.float32))
        np.savez_compressed(
            folder / "normals/test" / f"{name}.npz", normals=normals.astype(np.float16)
        )


def make_scene(options: argparse.Namespace) -> None:
    """Render all views of both splits and write the scene's folder."""
    folder = options.out
    folder.mkdir(parents=True, exist_ok=True)
    scene, shapes = build(options.seed)
    names = ["background", *shapes]
    (folder / "labels.json").write_text(json.dumps(dict(enumerate(names)), indent=1) + "\n")
    rng = np.random.default_rng(options.seed + 2000)
    splits = {
        "train": train_cameras(options.views, rng),
        "test": test_cameras(options.test_views, rng),
    }
    start = time.time()
    for split, cameras in splits.items():
        frames = []
        for k, camera in enumerate(cameras):
            name = f"r_{k:03d}"
            picture = render(
                scene, camera, options.size, options.samples, seed=1000 * (split == "test") + k
            )
            save(folder, split, name, picture, geometry(scene, shapes, camera, options.size))
            frames.append({"file_path": f"./{split}/{name}", "transform_matrix": camera.tolist()})
            print(f"{split} {k + 1}/{len(cameras)}, {time.time() - start:.0f} s", flush=True)
        content = {"camera_angle_x": CAMERA_ANGLE_X, "frames": frames}
        (folder / f"transforms_{split}.json").write_text(json.dumps(content, indent=1) + "\n")


def main() -> None:
    """Read the command line and make the scene."""
    parser = argparse.ArgumentParser(
        description="Make the tabletop scene: pictures, cameras, labels and geometry."
    )
    parser.add_argument(
        "--out", type=Path, default=Path(__file__).parent / "tabletop", help="folder to write"
    )
    parser.add_argument(
        "--views", type=int, default=100, help="number of training views (default 100)"
    )
    parser.add_argument(
        "--test_views", type=int, default=20, help="number of test views (default 20)"
    )
    parser.add_argument(
        "--size", type=int, default=200, help="width and height of a picture (default 200)"
    )
    parser.add_argument(
        "--samples", type=int, default=640, help="light paths per pixel (default 640)"
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="0: the composed scene; others: variants of it"
    )
    options = parser.parse_args()
    try:
        mi.set_variant("llvm_ad_rgb")
        mi.Float(0) + 1  # fails here if the LLVM library is missing
    except (ImportError, RuntimeError):
        mi.set_variant("scalar_rgb")  # the same pictures up to noise, but slowly
    make_scene(options)


if __name__ == "__main__":
    main()
