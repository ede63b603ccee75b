"""All measured claims, with their arms, controls and margins.

Margins were set before the first measurement. Widths are chosen so that the arms of a row have
equal numbers of parameters to within a tenth.
"""

from collections.abc import Mapping
from typing import Any

from benchmarks.systems.claims import Arm, Check, Row

TOYBOX = {"name": "nerf.scenes.toybox:load", "held_out": 4}
PICTURE = {"name": "nerf.scenes.picture:load"}
CPPN = {**PICTURE, "source": {"name": "nerf.scenes.drawings:cppn", "size": 64}}
RATES = (0.5, 2.0)  # factors of the learning rate 2e-3, on the toybox
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
# Half of the pixels along an axis resolve just under 16 cycles, so at most four octaves from one
# cycle up.
OCTAVES = [{"name": "nerf.encodings.fourier:Fourier", "num_freqs": count} for count in (3, 4)]
DENSE = {"name": "nerf.encodings.fourier:Fourier", "num_freqs": 16, "include_input": False}
RANDOM_FOURIER = {"name": "nerf.encodings.gaussian_fourier:Gaussian", "num_freqs": 32}
DECODER = {"name": "nerf.networks.relu:ReLU", "width": 32, "depth": 2}


def toys(
    name: str, config: str, changes: Mapping[str, Any] | None = None, scene: Any = None, **more: Any
) -> Arm:
    """Return an arm on the toybox, which trains for about ten seconds.

    Args:
      name: name of the arm.
      config: module of `configs.systems`.
      changes: values of the config to replace, by dotted key.
      scene: arguments of the toybox to replace.
      **more: other arguments of `Arm`.
    """
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
    """Return an arm on a picture.

    Args:
      name: name of the arm.
      config: module of `configs.systems`.
      changes: values of the config to replace, by dotted key.
      scene: config section of the picture.
      **more: other arguments of `Arm`.
    """
    return Arm(
        name, f"systems.{config}", {**ON_PICTURES, **(changes or {})}, scene, image=True, **more
    )


def features(count: int) -> dict[str, Any]:
    """Return the change of the encoding's number of features."""
    return {f"{FIELD}.encoding.features": count}


def components(count: int) -> dict[str, Any]:
    """Return the change of the encoding's number of components."""
    return {f"{FIELD}.encoding.components": count}


def network(**values: Any) -> dict[str, Any]:
    """Return changes of the network section."""
    return {f"{FIELD}.network.{key}": value for key, value in values.items()}


FINE, SMOOTH, MIDDLE = {"cycles": 16}, {"cycles": 1}, {"cycles": 4}
SIX = {f"{FIELD}.encoding.num_freqs": 6}
SIGMA_TRIES = [
    {f"{FIELD}.encoding": {**RANDOM_FOURIER, "sigma": sigma}} for sigma in (0.5, 1.0, 2.0, 4.0)
]
DENSE_TRIES = [
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
# The papers' bandwidths are for pictures of many more pixels. Each network chooses between the
# bandwidth of its paper and lower ones.
SIREN = drawn(
    "SIREN", "siren", rates=(0.3, 1.0), tries=[network(omega=omega) for omega in (30.0, 15.0)]
)
FINER_TRIES = [network(omega=omega) for omega in (30.0, 10.0)]
GAUSSIAN_TRIES = [network(scale=scale) for scale in (10.0, 5.0)]
WIRE_TRIES = [
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
NO_DIRECTIONS = {"name": "nerf.encodings.fourier:Fourier", "num_freqs": 0, "include_input": False}
IN_CONES = {f"{FIELD}.encoding.waves.num_freqs": 10}
SIZES = {"cycles": 8, "sizes": (16, 32, 64)}
GRID = {**VOXELS, "resolution": 40, "features": 3}
GRID_OF_FEATURES = {**VOXELS, "resolution": 9, "features": 16}
LINEAR = {"name": "nerf.networks.relu:ReLU", "width": 3, "depth": 0}
GRID_RATES = (10.0, 30.0, 100.0)
NARROW = {f"{FIELD}.network.width": 32, f"{FIELD}.colour.width": 32}
FEW_VIEWS = {"cycles": 4, "views": 4}
GLOSSY = {"cycles": 1, "specular": True}
TABLE_RATES = (1.0, 5.0)  # tables need higher learning rates than networks

ROWS = [
    Row(
        "R1",
        "NeRF (2003.08934)",
        "encoding the coordinates resolves fine texture that raw coordinates do not; on a "
        "smooth texture the gap shrinks",
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
        "random frequencies are best at an intermediate bandwidth,"
        " and as good as axis-aligned ones",
        [
            drawn(
                "random, chosen",
                "gaussian",
                {f"{FIELD}.encoding": RANDOM_FOURIER},
                tries=SIGMA_TRIES,
                rates=[1.0],
            ),
            drawn(
                "random, lowest",
                "gaussian",
                {f"{FIELD}.encoding": {**RANDOM_FOURIER, "sigma": 0.1}},
                rates=[1.0],
            ),
            drawn(
                "random, highest",
                "gaussian",
                {f"{FIELD}.encoding": {**RANDOM_FOURIER, "sigma": 32.0}},
                rates=[1.0],
            ),
            drawn(
                "aligned, chosen",
                "positional",
                {f"{FIELD}.encoding": DENSE},
                tries=DENSE_TRIES,
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
        "random frequencies are invariant to rotation of the world",
        [
            toys(
                f"{name}{', turned' if turned else ''}",
                config,
                changes,
                {"cycles": 8, "turned": turned},
                rates=[1.0],
            )
            for name, config, changes in (
                ("random", "gaussian", {f"{FIELD}.encoding": {**RANDOM_FOURIER, "sigma": 2.0}}),
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
        "more axis-aligned bands in the same octaves are no worse",
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
        "trainable random frequencies are no worse than fixed ones",
        [
            drawn("learned", "gaussian", {f"{FIELD}.encoding": {**RANDOM_FOURIER, "learn": True}}),
            drawn("fixed", "gaussian", {f"{FIELD}.encoding": RANDOM_FOURIER}),
        ],
        [Check("learned", "fixed", at_least=-0.5)],
    ),
    Row(
        "R3",
        "SIREN (2006.09661)",
        "sines fit an image far better than ReLU on raw coordinates,"
        " and as well as ReLU on encoded ones",
        [SIREN, RELU_RAW, RELU_OCTAVES],
        [Check("SIREN", "ReLU, raw", at_least=5.0), Check("SIREN", "ReLU, octaves", at_least=-1.0)],
    ),
    Row(
        "R3-field",
        "SIREN (2006.09661)",
        "sines also represent a radiance field better than ReLU on raw coordinates",
        [
            toys("SIREN", "siren", scene=MIDDLE),
            toys("ReLU, raw", "relu", {f"{FIELD}.encoding": POINTS}, MIDDLE),
        ],
        [Check("SIREN", "ReLU, raw", at_least=2.0)],
    ),
    Row(
        "R4",
        "images as functions",
        "a network trained on every fourth pixel predicts the others better than a grid of as "
        "many numbers, and can enlarge the image",
        [
            drawn("SIREN", "siren", network(width=48, depth=3), BIG, measures=["enlarged"]),
            drawn(
                "grid of numbers",
                "relu",
                {f"{FIELD}.encoding": GRID, f"{FIELD}.network": LINEAR},
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
        "at equal size in bytes a network beats a dense grid; it renders at other sizes "
        "without training, and has normals",
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
        "a mixture of functions fits an image better than any single one",
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
        "samples placed where the coarse stage found matter beat as many evaluations spread evenly",
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
        "view-dependent colour represents gloss",
        [
            toys("with directions", "positional", SIX, GLOSSY),
            toys(
                "without",
                "positional",
                {**SIX, f"{FIELD}.direction_encoding": NO_DIRECTIONS},
                GLOSSY,
            ),
        ],
        [Check("with directions", "without", at_least=1.0)],
    ),
    Row(
        "R18",
        "IM-NET (1812.02822)",
        "repeating the input at every layer is better than using it once, at equal parameters",
        [
            toys("again at every layer", "imnet", {f"{FIELD}.encoding.num_freqs": 6}, MIDDLE),
            toys("once", "relu", {f"{FIELD}.encoding.num_freqs": 6, **network(width=71)}, MIDDLE),
        ],
        [Check("again at every layer", "once", at_least=0.5)],
    ),
    Row(
        "R20",
        "LDIF (1912.06126) and SIF (1904.06447)",
        "blobs give the shape; a decoder in each blob gives the detail",
        [
            toys(
                "64 blobs with decoders",
                "local_blobs",
                network(count=64),
                MIDDLE,
                rates=TABLE_RATES,
            ),
            toys(
                "64 blobs",
                "blobs",
                network(count=64),
                MIDDLE,
                rates=TABLE_RATES,
                measures=["silhouette"],
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
        "local codes with one small decoder learn faster than one network of as many bytes",
        [
            toys(
                "local codes",
                "deep_local_shapes",
                network(resolution=10, features=16),
                MIDDLE,
                rates=TABLE_RATES,
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
                rates=TABLE_RATES,
            ),
            toys(
                "features",
                "relu",
                {f"{FIELD}.encoding": GRID_OF_FEATURES, f"{FIELD}.network": DECODER},
                MIDDLE,
                rates=TABLE_RATES,
            ),
        ],
        [Check("outputs", "features", at_least=-0.5)],
    ),
    Row(
        "KiloNeRF",
        "KiloNeRF (2103.13744)",
        "one tiny network per cell is better than one network of equal evaluation cost",
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
        "layers split by axis make lattices cheap with little loss;"
        " along rays they are not cheaper",
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
        "multiresolution hash tables are better than a dense grid of as many numbers",
        [toys("hash grid", "hash_grid", {}, FINE), toys("dense grid", "voxels", {}, FINE)],
        [Check("hash grid", "dense grid", at_least=1.0)],
    ),
    Row(
        "NGP-view",
        "Instant NGP (2201.05989)",
        "spherical harmonics of the direction are as good as sines of the direction",
        [toys("harmonics", "harmonics", SIX, GLOSSY), toys("sines", "positional", SIX, GLOSSY)],
        [Check("harmonics", "sines", at_least=-0.5)],
    ),
    Row(
        "BARF",
        "BARF (2104.06405)",
        "with correct poses, enabling octaves one by one matches using all from the start",
        [
            toys("one by one", "barf", {f"{FIELD}.encoding.encoding.num_freqs": 6}, MIDDLE),
            toys("all from the start", "positional", SIX, MIDDLE),
        ],
        [Check("one by one", "all from the start", at_least=-0.5)],
    ),
    Row(
        "FreeNeRF",
        "FreeNeRF (2303.07418)",
        "with few views, enabling frequencies slowly beats all at once;"
        " with many views it costs almost nothing",
        [
            toys("masked, 4 views", "free_nerf", {}, FEW_VIEWS),
            toys("all, 4 views", "positional", {}, FEW_VIEWS),
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
        "vectors times matrices are better than a dense grid of as many numbers",
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
        "products of vectors alone are better than a dense grid of as many numbers",
        [
            toys("vectors", "vectors", {}, FINE),
            toys("dense grid", "voxels", {f"{FIELD}.encoding.resolution": 23}, FINE),
        ],
        [Check("vectors", "dense grid", at_least=1.0)],
    ),
    Row(
        "K-Planes",
        "K-Planes (2301.10241)",
        "products of planes are better than their sums,"
        " and better than a dense grid of as many numbers",
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
        "with cones instead of points, views at several sizes are all rendered correctly",
        [
            toys("cones", "integrated", IN_CONES, SIZES, measures=["by_size"]),
            toys("points", "positional", {}, SIZES, measures=["by_size"]),
        ],
        [Check("cones", "points", at_least=0.5), Check("cones", "points", "psnr_16", at_least=1.0)],
    ),
    Row(
        "WIRE",
        "WIRE (2301.05187)",
        "complex Gabor wavelets fit an image better than sines",
        [drawn("wavelets", "wire", rates=(1.0,), tries=WIRE_TRIES), SIREN, RELU_OCTAVES],
        [
            Check("wavelets", "SIREN", at_least=0.5),
            Check("wavelets", "ReLU, octaves", at_least=0.0),
        ],
    ),
    Row(
        "FINER",
        "FINER (2312.02434)",
        "sines whose frequency grows with their argument fit an image better than sines",
        [drawn("FINER", "finer", rates=(0.3, 1.0), tries=FINER_TRIES), SIREN, RELU_OCTAVES],
        [Check("FINER", "SIREN", at_least=0.5), Check("FINER", "ReLU, octaves", at_least=0.0)],
    ),
    Row(
        "Gaussian",
        "Gaussian activations (2111.15135)",
        "Gaussians fit an image far better than ReLU on raw coordinates, without an encoding",
        [
            drawn("Gaussians", "gaussian_network", rates=(1.0, 3.0), tries=GAUSSIAN_TRIES),
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
        "products of frozen sines of a known band fit an image far better than ReLU"
        " on raw coordinates",
        [drawn("BACON", "bacon"), RELU_RAW, RELU_OCTAVES],
        [Check("BACON", "ReLU, raw", at_least=3.0), Check("BACON", "ReLU, octaves", at_least=-1.0)],
    ),
]
