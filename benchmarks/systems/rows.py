"""Every claim that is measured, with its arms, controls and margins. Margins were set before the first measurement.

What the widths are for: arms of one row have as many parameters, within a tenth.
"""

from collections.abc import Mapping
from typing import Any

from benchmarks.systems.laboratory import Arm, Check, Row

TOYBOX = {"name": "nerf.scenes.toybox:load"}
PICTURE = {"name": "nerf.scenes.picture:load"}
CPPN = {**PICTURE, "source": {"name": "nerf.scenes.drawings:cppn", "size": 64}}
TEXT = {**PICTURE, "source": {"name": "nerf.scenes.drawings:text", "size": 64}}
FIELD = "model.stages.main.field"
ON_TOYS = {"batch_size": 256, "steps": 300, "chunk": 4096, "model.stages.main.sampler.num_samples": 32}
ON_PICTURES = {"batch_size": 512, "steps": 500, "steps_per_call": 50, "log_every": 50, "chunk": 4096}
POINTS = {"name": "nerf.encodings.identity:Identity"}
# Half of the pixels along an axis resolve 16 cycles: five octaves from half a cycle. More would be noise.
OCTAVES = {"name": "nerf.encodings.fourier:Fourier", "num_freqs": 5}
DENSE = {"name": "nerf.encodings.fourier:Fourier", "num_freqs": 16, "include_input": False}
DRAWN = {"name": "nerf.encodings.gaussian:Gaussian", "num_freqs": 32}
DECODER = {"name": "nerf.networks.relu:ReLU", "width": 32, "depth": 2}
LOCAL = {"name": "nerf.encodings.fourier:Fourier", "num_freqs": 3}


def toys(name: str, config: str, changes: Mapping[str, Any] | None = None, scene: Any = None, **more: Any) -> Arm:
    """An arm on the toybox, at a size of a few seconds."""
    return Arm(name, f"systems.{config}", {**ON_TOYS, **(changes or {})}, {**TOYBOX, **(scene or {})}, **more)


def drawn(name: str, config: str, changes: Mapping[str, Any] | None = None, scene: Any = CPPN, **more: Any) -> Arm:
    """An arm on a picture."""
    return Arm(name, f"systems.{config}", {**ON_PICTURES, **(changes or {})}, scene, image=True, **more)


def network(**values: Any) -> dict[str, Any]:
    """Changes of the section of the network."""
    return {f"{FIELD}.network.{key}": value for key, value in values.items()}


FINE, SMOOTH, MIDDLE = {"cycles": 16}, {"cycles": 1}, {"cycles": 4}
RELU_RAW = drawn("ReLU, raw", "relu", {f"{FIELD}.encoding": POINTS})
RELU_OCTAVES = drawn("ReLU, octaves", "relu", {f"{FIELD}.encoding": OCTAVES, **network(width=60)})
SIREN = drawn("SIREN", "siren")
VOXELS = {"name": "nerf.encodings.voxels:Voxels"}

ROWS = [
    Row(
        "R1",
        "NeRF (2003.08934)",
        "encoded coordinates show fine texture that raw ones do not; on a smooth texture the gap shrinks",
        [
            toys("positional", "positional", {f"{FIELD}.encoding.num_freqs": 6}, FINE, measures=["fine_error"]),
            toys("raw", "none", {f"{FIELD}.width": 70}, FINE, measures=["fine_error"]),
            toys("positional, smooth", "positional", {f"{FIELD}.encoding.num_freqs": 6}, SMOOTH),
            toys("raw, smooth", "none", {f"{FIELD}.width": 70}, SMOOTH),
        ],
        [
            Check("positional", "raw", at_least=2.5),
            Check("positional, smooth", "raw, smooth", at_most=1.0),
            Check("positional", "raw", "fine_error", at_most=0.5, ratio=True),
        ],
    ),
    Row(
        "R2",
        "Fourier features (2006.10739)",
        "random frequencies do best at a bandwidth in between, and are level with axis-aligned ones",
        [
            drawn("random, chosen", "gaussian", {f"{FIELD}.encoding": DRAWN}, tries=SIGMAS, rates=[1.0]),
            drawn("random, lowest", "gaussian", {f"{FIELD}.encoding": {**DRAWN, "sigma": 0.1}}, rates=[1.0]),
            drawn("random, highest", "gaussian", {f"{FIELD}.encoding": {**DRAWN, "sigma": 32.0}}, rates=[1.0]),
            drawn("aligned, chosen", "positional", {f"{FIELD}.encoding": DENSE}, tries=OCTAVES_TRIED, rates=[1.0]),
        ],
        [
            Check("random, chosen", "random, lowest", at_least=1.0),
            Check("random, chosen", "random, highest", at_least=1.0),
            Check("random, chosen", "aligned, chosen", at_least=-1.0),
        ],
    ),
    Row(
        "R2-turn",
        "Fourier features (2006.10739)",
        "random frequencies do not mind how the world is turned",
        [
            toys(f"{name}{', turned' if turned else ''}", config, changes, {"cycles": 8, "turned": turned}, rates=[1.0])
            for name, config, changes in (
                ("random", "gaussian", {f"{FIELD}.encoding": {**DRAWN, "sigma": 2.0}}),
                ("aligned", "positional", {f"{FIELD}.encoding.num_freqs": 6, f"{FIELD}.width": 69}),
            )
            for turned in (0.0, 0.7)
        ],
        [
            Check("random, turned", "random", at_least=-0.5),
            Check("aligned, turned", "aligned", at_most=0.0),
        ],
    ),
    Row(
        "R3",
        "SIREN (2006.09661)",
        "sines fit a picture far better than ReLU on raw coordinates, and as well as ReLU on encoded ones",
        [SIREN, RELU_RAW, RELU_OCTAVES],
        [Check("SIREN", "ReLU, raw", at_least=5.0), Check("SIREN", "ReLU, octaves", at_least=-1.0)],
    ),
    Row(
        "R3-field",
        "SIREN (2006.09661)",
        "as a radiance field too, sines see more than ReLU on raw coordinates",
        [toys("SIREN", "siren", scene=MIDDLE), toys("ReLU, raw", "relu", {f"{FIELD}.encoding": POINTS}, MIDDLE)],
        [Check("SIREN", "ReLU, raw", at_least=2.0)],
    ),
    Row(
        "R4",
        "images as functions",
        "a network that saw every fourth pixel predicts the others better than as many numbers in a grid, and enlarges",
        [
            drawn("SIREN", "siren", network(width=48, depth=3), BIG, measures=["enlarged"]),
            drawn("grid of numbers", "relu", {f"{FIELD}.encoding": GRID, f"{FIELD}.network": BARE}, BIG, rates=GRID_RATES),
        ],
        [
            Check("SIREN", "grid of numbers", at_least=2.0),
            Check("SIREN", metric="enlarged_over_bicubic", at_least=0.0),
        ],
    ),
    Row(
        "R5",
        "store a network, not a grid",
        "at equal bytes a network beats a dense grid; it is drawn at other sizes without training, and has normals",
        [
            toys("network", "positional", SIX, MIDDLE, measures=["other_sizes", "normals"]),
            toys("dense grid", "voxels", {f"{FIELD}.encoding.resolution": 15, **NARROW}, MIDDLE, measures=["normals"]),
        ],
        [
            Check("network", "dense grid", at_least=2.0),
            Check("network", metric="psnr_128_less_64", at_least=-1.5),
            Check("network", metric="psnr_32_less_64", at_least=-1.5),
            Check("network", metric="normal_degrees", at_most=15.0),
        ],
    ),
]
