"""Every claim that is measured, with its arms, controls and margins. Margins were set before the first measurement.

What the widths are for: arms of one row have as many parameters, within a tenth.
"""

from collections.abc import Mapping
from typing import Any

from benchmarks.systems.laboratory import Arm, Check, Row

TOYBOX = {"name": "nerf.scenes.toybox:load", "held_out": 4}
PICTURE = {"name": "nerf.scenes.picture:load"}
CPPN = {**PICTURE, "source": {"name": "nerf.scenes.drawings:cppn", "size": 64}}
TEXT = {**PICTURE, "source": {"name": "nerf.scenes.drawings:text", "size": 64}}
RATES = (0.5, 2.0)  # on the toybox, of learning rates of 2e-3
FIELD = "model.stages.main.field"
ON_TOYS = {
    "batch_size": 128,
    "steps": 300,
    "chunk": 4096,
    "model.stages.main.sampler.num_samples": 24,
}
ON_PICTURES = {
    "batch_size": 512,
    "steps": 500,
    "steps_per_call": 50,
    "log_every": 50,
    "chunk": 4096,
}
POINTS = {"name": "nerf.encodings.identity:Identity"}
# Half of the pixels along an axis resolve just under 16 cycles along it: at most four octaves, from one cycle up.
OCTAVES = [{"name": "nerf.encodings.fourier:Fourier", "num_freqs": count} for count in (3, 4)]
DENSE = {"name": "nerf.encodings.fourier:Fourier", "num_freqs": 16, "include_input": False}
DRAWN = {"name": "nerf.encodings.gaussian_fourier:Gaussian", "num_freqs": 32}
DECODER = {"name": "nerf.networks.relu:ReLU", "width": 32, "depth": 2}
LOCAL = {"name": "nerf.encodings.fourier:Fourier", "num_freqs": 3}


def toys(
    name: str, config: str, changes: Mapping[str, Any] | None = None, scene: Any = None, **more: Any
) -> Arm:
    """An arm on the toybox, at a size of some ten seconds."""
    more = {"rates": RATES, **more}
    return Arm(
        name,
        f"systems.{config}",
        {**ON_TOYS, **(changes or {})},
        {**TOYBOX, **(scene or {})},
        **more,
    )


def drawn(
    name: str, config: str, changes: Mapping[str, Any] | None = None, scene: Any = CPPN, **more: Any
) -> Arm:
    """An arm on a picture."""
    return Arm(
        name, f"systems.{config}", {**ON_PICTURES, **(changes or {})}, scene, image=True, **more
    )


def features(count: int) -> dict[str, Any]:
    """Changes of the section of the encoding."""
    return {f"{FIELD}.encoding.features": count}


def components(count: int) -> dict[str, Any]:
    """Changes of the section of the encoding."""
    return {f"{FIELD}.encoding.components": count}


def network(**values: Any) -> dict[str, Any]:
    """Changes of the section of the network."""
    return {f"{FIELD}.network.{key}": value for key, value in values.items()}


FINE, SMOOTH, MIDDLE = {"cycles": 16}, {"cycles": 1}, {"cycles": 4}
SIX = {f"{FIELD}.encoding.num_freqs": 6}
SIGMAS = [{f"{FIELD}.encoding": {**DRAWN, "sigma": sigma}} for sigma in (0.5, 1.0, 2.0, 4.0)]
OCTAVES_TRIED = [
    {f"{FIELD}.encoding": {**DENSE, "octaves": octaves}} for octaves in (2.0, 3.0, 4.0, 5.0)
]
BIG = {**PICTURE, "source": {"name": "nerf.scenes.drawings:cppn", "size": 128}}
RELU_RAW = drawn("ReLU, raw", "relu", {f"{FIELD}.encoding": POINTS})
RELU_OCTAVES = drawn(
    "ReLU, octaves",
    "relu",
    network(width=62),
    rates=(1.0, 3.0),
    tries=[{f"{FIELD}.encoding": octaves} for octaves in OCTAVES],
)
# The papers' bandwidths are for pictures of many more pixels; each network may choose between its own and a lower one.
SIREN = drawn(
    "SIREN", "siren", rates=(0.3, 1.0), tries=[network(omega=omega) for omega in (30.0, 15.0)]
)
FINER_TRIED = [network(omega=omega) for omega in (30.0, 10.0)]
SCALES = [network(scale=scale) for scale in (10.0, 5.0)]
WAVELETS = [
    network(omega=omega, scale=scale)
    for omega, scale in ((10.0, 40.0), (10.0, 10.0), (5.0, 10.0), (5.0, 5.0))
]
VOXELS = {"name": "nerf.encodings.voxels:Voxels"}

HIERARCHICAL = {
    "model.stages.main.sampler.num_samples": 12,
    "model.stages.fine": {
        "name": "nerf.rendering.model:Stage",
        "sampler": {"name": "nerf.sampling.importance:Importance", "num_samples": 12},
    },
    "model.order": ("main", "fine"),
}
BLIND = {"name": "nerf.encodings.fourier:Fourier", "num_freqs": 0, "include_input": False}
IN_CONES = {f"{FIELD}.encoding.waves.num_freqs": 10}
SIZES = {"cycles": 8, "sizes": (16, 32, 64)}
GRID = {**VOXELS, "resolution": 40, "features": 3}
GRID_OF_FEATURES = {**VOXELS, "resolution": 9, "features": 16}
BARE = {"name": "nerf.networks.relu:ReLU", "width": 3, "depth": 0}
GRID_RATES = (10.0, 30.0, 100.0)
NARROW = {f"{FIELD}.width": 32}
FEW = {"cycles": 4, "views": 4}
SHINY = {"cycles": 1, "specular": True}
BOLD = (1.0, 5.0)  # tables learn at higher rates than networks

ROWS = [
    Row(
        "R1",
        "NeRF (2003.08934)",
        "encoded coordinates show fine texture that raw ones do not; on a smooth texture the gap shrinks",
        [
            toys(
                "positional",
                "positional",
                {f"{FIELD}.encoding.num_freqs": 6},
                FINE,
                measures=["fine_error"],
            ),
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
            drawn(
                "random, chosen",
                "gaussian",
                {f"{FIELD}.encoding": DRAWN},
                tries=SIGMAS,
                rates=[1.0],
            ),
            drawn(
                "random, lowest",
                "gaussian",
                {f"{FIELD}.encoding": {**DRAWN, "sigma": 0.1}},
                rates=[1.0],
            ),
            drawn(
                "random, highest",
                "gaussian",
                {f"{FIELD}.encoding": {**DRAWN, "sigma": 32.0}},
                rates=[1.0],
            ),
            drawn(
                "aligned, chosen",
                "positional",
                {f"{FIELD}.encoding": DENSE},
                tries=OCTAVES_TRIED,
                rates=[1.0],
            ),
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
            toys(
                f"{name}{', turned' if turned else ''}",
                config,
                changes,
                {"cycles": 8, "turned": turned},
                rates=[1.0],
            )
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
        "R2-bands",
        "Fourier features (2006.10739)",
        "more bands in the same octaves, axis by axis, are no worse",
        [
            toys(
                "two an octave",
                "dense",
                {f"{FIELD}.encoding.num_freqs": 12, f"{FIELD}.encoding.octaves": 5},
                FINE,
            ),
            toys("one an octave", "positional", {**SIX, f"{FIELD}.width": 69}, FINE),
        ],
        [Check("two an octave", "one an octave", at_least=0.0)],
    ),
    Row(
        "R2-learned",
        "Fourier features (2006.10739)",
        "random frequencies that training may change do no worse than those that stay",
        [
            drawn("learned", "gaussian", {f"{FIELD}.encoding": {**DRAWN, "learn": True}}),
            drawn("fixed", "gaussian", {f"{FIELD}.encoding": DRAWN}),
        ],
        [Check("learned", "fixed", at_least=-0.5)],
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
        [
            toys("SIREN", "siren", scene=MIDDLE),
            toys("ReLU, raw", "relu", {f"{FIELD}.encoding": POINTS}, MIDDLE),
        ],
        [Check("SIREN", "ReLU, raw", at_least=2.0)],
    ),
    Row(
        "R4",
        "images as functions",
        "a network that saw every fourth pixel predicts the others better than as many numbers in a grid, and enlarges",
        [
            drawn("SIREN", "siren", network(width=48, depth=3), BIG, measures=["enlarged"]),
            drawn(
                "grid of numbers",
                "relu",
                {f"{FIELD}.encoding": GRID, f"{FIELD}.network": BARE},
                BIG,
                rates=GRID_RATES,
            ),
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
            toys(
                "dense grid",
                "voxels",
                {f"{FIELD}.encoding.resolution": 16, **NARROW},
                MIDDLE,
                measures=["normals"],
            ),
        ],
        [
            Check("network", "dense grid", at_least=2.0),
            Check("network", metric="psnr_128_less_64", at_least=-1.5),
            Check("network", metric="psnr_32_less_64", at_least=-1.5),
            Check("network", metric="normal_degrees", at_most=15.0),
        ],
    ),
    Row(
        "R6",
        "CPPN (Stanley 2007)",
        "a mixture of functions draws better than any one of them",
        [
            drawn("mixture", "cppn"),
            *(
                drawn(one, "cppn", network(functions=(one,)))
                for one in ("tanh", "sine", "gaussian", "absolute", "identity")
            ),
        ],
        [
            Check("mixture", one, at_least=2.0 if one == "tanh" else 0.0)
            for one in ("tanh", "sine", "gaussian", "absolute", "identity")
        ],
    ),
    Row(
        "R16",
        "NeRF (2003.08934)",
        "samples where the coarse ones found matter beat as many evaluations spread evenly",
        [
            toys("hierarchical", "positional", {**SIX, **HIERARCHICAL}, MIDDLE),
            toys(
                "even", "positional", {**SIX, "model.stages.main.sampler.num_samples": 36}, MIDDLE
            ),
        ],
        [Check("hierarchical", "even", at_least=0.5)],
    ),
    Row(
        "R16-view",
        "NeRF (2003.08934)",
        "colour that depends on the direction shows gloss",
        [
            toys("with directions", "positional", SIX, SHINY),
            toys("without", "positional", {**SIX, f"{FIELD}.direction_encoding": BLIND}, SHINY),
        ],
        [Check("with directions", "without", at_least=1.0)],
    ),
    Row(
        "R18",
        "IM-NET (1812.02822)",
        "the input again at every layer beats the input once, at equal parameters",
        [
            toys("again at every layer", "imnet", {f"{FIELD}.encoding.num_freqs": 6}, MIDDLE),
            toys("once", "relu", {f"{FIELD}.encoding.num_freqs": 6, **network(width=71)}, MIDDLE),
        ],
        [Check("again at every layer", "once", at_least=0.5)],
    ),
    Row(
        "R20",
        "LDIF (1912.06126) and SIF (1904.06447)",
        "blobs give the shape; a decoder in each blob gives the rest",
        [
            toys("64 blobs with decoders", "local_blobs", network(count=64), MIDDLE, rates=BOLD),
            toys(
                "64 blobs", "blobs", network(count=64), MIDDLE, rates=BOLD, measures=["silhouette"]
            ),
        ],
        [
            Check("64 blobs", metric="silhouette_iou", at_least=0.85),
            Check("64 blobs with decoders", "64 blobs", at_least=3.0),
        ],
        equal_parameters=False,
    ),
    Row(
        "R22",
        "Deep Local Shapes (2003.10983)",
        "codes of places and one small decoder learn faster than one network of as many bytes",
        [
            toys(
                "local codes",
                "deep_local_shapes",
                network(resolution=10, features=16),
                MIDDLE,
                rates=BOLD,
            ),
            toys(
                "one network",
                "relu",
                {f"{FIELD}.encoding.num_freqs": 6, **network(width=70)},
                MIDDLE,
            ),
        ],
        [Check("local codes", "one network", at_least=1.5)],
    ),
    Row(
        "R23",
        "Local Implicit Grids (2003.08981)",
        "blended outputs are no worse than blended features",
        [
            toys(
                "outputs",
                "local_implicit_grid",
                network(resolution=9, features=16),
                MIDDLE,
                rates=BOLD,
            ),
            toys(
                "features",
                "relu",
                {f"{FIELD}.encoding": GRID_OF_FEATURES, f"{FIELD}.network": DECODER},
                MIDDLE,
                rates=BOLD,
            ),
        ],
        [Check("outputs", "features", at_least=-0.5)],
    ),
    Row(
        "KiloNeRF",
        "KiloNeRF (2103.13744)",
        "tiny networks, one a cell, see more than one network that costs as much to evaluate",
        [
            toys("512 tiny networks", "kilonerf", network(width=16), MIDDLE),
            toys(
                "one tiny network",
                "relu",
                {f"{FIELD}.encoding.num_freqs": 6, **network(width=16, depth=2)},
                MIDDLE,
            ),
        ],
        [Check("512 tiny networks", "one tiny network", at_least=1.0)],
        equal_parameters=False,
    ),
    Row(
        "R34",
        "CoordX (2201.12425)",
        "layers split by axis make lattices cheap at little loss; along rays they are not cheaper",
        [
            toys("split", "coordx", SIX, MIDDLE, measures=["lattice"]),
            toys("whole", "relu", {**SIX, **network(width=72)}, MIDDLE, measures=["lattice"]),
        ],
        [
            Check("whole", "split", "lattice_64_ms", at_least=1.8, ratio=True),
            Check("whole", "split", "lattice_128_ms", at_least=1.8, ratio=True),
            Check("split", "whole", at_least=-0.7),
            Check("split", "whole", "ms_per_step", at_least=0.9, ratio=True),
        ],
    ),
    Row(
        "NGP",
        "Instant NGP (2201.05989)",
        "hash tables at many resolutions show more than a dense grid of as many numbers",
        [toys("hash grid", "hash_grid", {}, FINE), toys("dense grid", "voxels", {}, FINE)],
        [Check("hash grid", "dense grid", at_least=1.0)],
    ),
    Row(
        "NGP-view",
        "Instant NGP (2201.05989)",
        "directions as spherical harmonics are as good as directions as sines",
        [toys("harmonics", "harmonics", SIX, SHINY), toys("sines", "positional", SIX, SHINY)],
        [Check("harmonics", "sines", at_least=-0.5)],
    ),
    Row(
        "BARF",
        "BARF (2104.06405)",
        "where poses are right, octaves that come in one after the other reach what all from the start do",
        [
            toys("one by one", "barf", {f"{FIELD}.encoding.encoding.num_freqs": 6}, MIDDLE),
            toys("all from the start", "positional", SIX, MIDDLE),
        ],
        [Check("one by one", "all from the start", at_least=-0.5)],
    ),
    Row(
        "FreeNeRF",
        "FreeNeRF (2303.07418)",
        "with few views, frequencies that come in slowly beat all at once; with many they cost next to nothing",
        [
            toys("masked, 4 views", "free_nerf", {}, FEW),
            toys("all, 4 views", "positional", {}, FEW),
            toys("masked, 32 views", "free_nerf", {}, MIDDLE),
            toys("all, 32 views", "positional", {}, MIDDLE),
        ],
        [
            Check("masked, 4 views", "all, 4 views", at_least=1.0),
            Check("masked, 32 views", "all, 32 views", at_least=-0.3),
        ],
    ),
    Row(
        "TensoRF",
        "TensoRF (2203.09517)",
        "vectors times matrices show more than a dense grid of as many numbers",
        [
            toys(
                "vectors and matrices",
                "vector_matrix",
                {f"{FIELD}.encoding.resolution": 48, **components(8)},
                FINE,
            ),
            toys("dense grid", "voxels", {f"{FIELD}.encoding.resolution": 24}, FINE),
        ],
        [Check("vectors and matrices", "dense grid", at_least=1.0)],
    ),
    Row(
        "TensoRF-CP",
        "TensoRF (2203.09517)",
        "products of vectors alone show more than a dense grid of as many numbers",
        [
            toys("vectors", "vectors", {}, FINE),
            toys("dense grid", "voxels", {f"{FIELD}.encoding.resolution": 23}, FINE),
        ],
        [Check("vectors", "dense grid", at_least=1.0)],
    ),
    Row(
        "K-Planes",
        "K-Planes (2301.10241)",
        "products of planes show more than their sums, and more than a dense grid, at as many numbers",
        [
            toys(
                "products of planes",
                "k_planes",
                {f"{FIELD}.encoding.resolutions": (32, 64), **features(4)},
                FINE,
            ),
            toys(
                "sums of planes",
                "tri_plane",
                {f"{FIELD}.encoding.resolution": 71, **features(4)},
                FINE,
            ),
            toys("dense grid", "voxels", {f"{FIELD}.encoding.resolution": 24}, FINE),
        ],
        [
            Check("products of planes", "sums of planes", at_least=0.5),
            Check("products of planes", "dense grid", at_least=1.0),
        ],
    ),
    Row(
        "mip-NeRF",
        "mip-NeRF (2103.13415)",
        "cones instead of points: views at several sizes are each rendered right",
        [
            toys("cones", "integrated", IN_CONES, SIZES, measures=["by_size"]),
            toys("points", "positional", {}, SIZES, measures=["by_size"]),
        ],
        [Check("cones", "points", at_least=0.5), Check("cones", "points", "psnr_16", at_least=1.0)],
    ),
    Row(
        "WIRE",
        "WIRE (2301.05187)",
        "complex Gabor wavelets fit a picture better than sines",
        [drawn("wavelets", "wire", rates=(1.0,), tries=WAVELETS), SIREN, RELU_OCTAVES],
        [
            Check("wavelets", "SIREN", at_least=0.5),
            Check("wavelets", "ReLU, octaves", at_least=0.0),
        ],
    ),
    Row(
        "FINER",
        "FINER (2312.02434)",
        "sines whose frequency grows with their argument fit a picture better than sines",
        [drawn("FINER", "finer", rates=(0.3, 1.0), tries=FINER_TRIED), SIREN, RELU_OCTAVES],
        [Check("FINER", "SIREN", at_least=0.5), Check("FINER", "ReLU, octaves", at_least=0.0)],
    ),
    Row(
        "Gaussian",
        "Gaussian activations (2111.15135)",
        "Gaussians fit a picture far better than ReLU on raw coordinates, without an encoding",
        [
            drawn("Gaussians", "gaussian_network", rates=(1.0, 3.0), tries=SCALES),
            RELU_RAW,
            RELU_OCTAVES,
        ],
        [
            Check("Gaussians", "ReLU, raw", at_least=3.0),
            Check("Gaussians", "ReLU, octaves", at_least=-1.0),
        ],
    ),
    Row(
        "BACON",
        "BACON (2112.04645)",
        "products of frozen sines, of a known band, fit a picture far better than ReLU on raw coordinates",
        [drawn("BACON", "bacon"), RELU_RAW, RELU_OCTAVES],
        [Check("BACON", "ReLU, raw", at_least=3.0), Check("BACON", "ReLU, octaves", at_least=-1.0)],
    ),
]
