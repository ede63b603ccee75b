"""Claims about tables of features: dense grids, hash tables, planes and vectors."""

from benchmarks.systems.claims import Check, Row
from benchmarks.systems.rows.common import (
    FIELD,
    FINE,
    MIDDLE,
    SIX,
    SIZES,
    components,
    features,
    toys,
)

AT_64 = {**MIDDLE, "sizes": (64,)}
NARROW = {f"{FIELD}.network.width": 32, f"{FIELD}.colour.width": 32}
DENSE_24 = toys("dense grid", "voxels", {f"{FIELD}.encoding.resolution": 24}, FINE)

ROWS = [
    Row(
        "R5",
        "store a network, not a grid",
        "at equal size in bytes a network beats a dense grid; it renders at other sizes "
        "without training, and has normals",
        [
            toys("network", "positional", SIX, AT_64, measures=["other_sizes", "normals"]),
            toys(
                "dense grid",
                "voxels",
                {f"{FIELD}.encoding.resolution": 16, **NARROW},
                AT_64,
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
        "NGP",
        "Instant NGP (2201.05989)",
        "multiresolution hash tables are better than a dense grid of as many numbers",
        [toys("hash grid", "hash_grid", {}, FINE), toys("dense grid", "voxels", {}, FINE)],
        [Check("hash grid", "dense grid", at_least=1.0)],
        evidence="The dense grid has 48 cells along an axis here, three for each period of the "
        "texture: enough to resolve it, so that finer levels have little to add. NGP-small asks "
        "the same where the dense grid has 25 cells.",
    ),
    Row(
        "NGP-small",
        "Instant NGP (2201.05989)",
        "multiresolution hash tables are better than a dense grid of as many numbers, if that is"
        " too coarse for the texture",
        [
            toys("hash grid", "hash_grid", {f"{FIELD}.encoding.log2_table_size": 11}, FINE),
            toys("dense grid", "voxels", {f"{FIELD}.encoding.resolution": 25}, FINE),
        ],
        [Check("hash grid", "dense grid", at_least=1.0, added=True)],
    ),
    Row(
        "Zip-NeRF",
        "Zip-NeRF (2304.06706)",
        "with levels of a hash grid that fade where a pixel covers their cells, views at several"
        " sizes are all rendered correctly",
        [
            toys("down-weighted", "downweighted", {}, SIZES, measures=["by_size"]),
            toys("points", "hash_grid", {}, SIZES, measures=["by_size"]),
        ],
        [
            Check("down-weighted", "points", at_least=0.5, added=True),
            Check("down-weighted", "points", "psnr_16", at_least=1.0, added=True),
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
            DENSE_24,
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
            DENSE_24,
        ],
        [
            Check("products of planes", "sums of planes", at_least=0.5),
            Check("products of planes", "dense grid", at_least=1.0),
        ],
    ),
]
