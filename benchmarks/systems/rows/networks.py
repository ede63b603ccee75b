"""Claims about networks that represent a scene."""

from benchmarks.systems.claims import Check, Row
from benchmarks.systems.rows.common import FIELD, FINE, MIDDLE, SIX, TABLE_RATES, network, toys

POINTS = {"name": "nerf.encodings.identity:Identity"}
DECODER = {"name": "nerf.networks.relu:ReLU", "width": 32, "depth": 2}
GRID_OF_FEATURES = {"name": "nerf.encodings.voxels:Voxels", "resolution": 9, "features": 16}

ROWS = [
    Row(
        "R3-field",
        "SIREN (2006.09661)",
        "sines also represent a radiance field better than ReLU on raw coordinates",
        [
            toys("SIREN", "siren", scene=MIDDLE),
            toys("ReLU, raw", "relu", {f"{FIELD}.encoding": POINTS}, MIDDLE),
        ],
        [Check("SIREN", "ReLU, raw", at_least=2.0)],
        evidence="Each at the best of its rates, they learn equally fast: 32.3 and 32.0 dB. The "
        "last doubling of the steps brought 1.6 dB to the sines and 2.7 dB to ReLU. At three times "
        "the rate that is best for them the sines do not train: 16 dB.",
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
        evidence="Each of five seeds gains 0.2 to 0.5 dB. What is left of the error of both arms "
        "are the outlines of the solids.",
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
        "local codes with one small decoder are better than one network of as many bytes after"
        " as many steps",
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
        evidence="The network is ahead from the beginning: by 3.2 dB after 750 steps with the best "
        "rate of each, on validation views. A step with local codes takes less than half of "
        "the time, which this check does not count. R22-fine is a second attempt, at ten times the "
        "size and on fine texture.",
    ),
    Row(
        "R22-fine",
        "Deep Local Shapes (2003.10983)",
        "with ten times the parameters and fine texture, local codes are better than one network "
        "after as many steps",
        [
            toys(
                "local codes",
                "deep_local_shapes",
                network(resolution=23, features=16),
                FINE,
                rates=TABLE_RATES,
            ),
            toys(
                "one network",
                "relu",
                {f"{FIELD}.encoding.num_freqs": 8, **network(width=250)},
                FINE,
            ),
        ],
        [Check("local codes", "one network", at_least=1.5, added=True)],
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
        evidence="Blended outputs lose a little, with 6,000 steps as with 12,000, and the loss is "
        "near the margin.",
    ),
]
