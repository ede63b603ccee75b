"""Claims about where a ray is sampled, and from where it is seen."""

from benchmarks.systems.claims import Check, Row
from benchmarks.systems.rows.common import (
    FIELD,
    FINE,
    GLOSSY,
    SAMPLER,
    SIX,
    WITHOUT_GRID,
    toys,
)
from nerf.runs import small_configs

STRATIFIED = {"name": "nerf.sampling.stratified:Stratified"}
OCTAVES = {"name": "nerf.encodings.fourier:Fourier", "num_freqs": 6}
FIELD_OF_NERF = small_configs.deep(OCTAVES).to_dict()["model"]["stages"]["main"]["field"]
# 16 coarse evaluations and 32 fine ones (the coarse edges are kept) against 48. Even samples are
# half a period of the texture apart. The paper has two networks; two arms ask what their number
# does.
ALONG_RAYS = {**SIX, **WITHOUT_GRID, "batch_size": 128}
FINE_STAGE = {
    "name": "nerf.rendering.model:Stage",
    "sampler": {"name": "nerf.sampling.importance:Importance", "num_samples": 15},
}
COARSE = {**ALONG_RAYS, SAMPLER: {**STRATIFIED, "num_samples": 16}}
TWO_STAGES = {**COARSE, "model.stages.fine": FINE_STAGE, "model.order": ("main", "fine")}
TWO_NETWORKS = {
    **TWO_STAGES,
    "model.stages.fine": {**FINE_STAGE, "field": FIELD_OF_NERF},
}
EVEN = {**ALONG_RAYS, SAMPLER: {**STRATIFIED, "num_samples": 48}}
# Solids of a third of the size in the same box. They have as many periods of the texture as with
# 12 cycles at full size.
SPARSE = {"cycles": 4, "scale": 1.0 / 3.0}
NO_DIRECTIONS = {"name": "nerf.encodings.fourier:Fourier", "num_freqs": 0, "include_input": False}

ROWS = [
    Row(
        "R16",
        "NeRF (2003.08934)",
        "samples placed where the coarse stage found matter beat as many evaluations spread evenly",
        [
            toys("hierarchical", "positional", TWO_NETWORKS, FINE),
            toys("even", "positional", EVEN, FINE),
            toys("hierarchical, one network", "positional", TWO_STAGES, FINE),
            toys("even, as many parameters", "positional", {**EVEN, f"{FIELD}.width": 96}, FINE),
        ],
        [
            Check("hierarchical", "even", at_least=0.5),
            Check("hierarchical", "even, as many parameters", at_least=0.0, added=True),
            Check("hierarchical, one network", "even", at_least=0.0, added=True),
        ],
        equal_parameters=False,
    ),
    Row(
        "R16-sparse",
        "NeRF (2003.08934)",
        "samples placed where the coarse stage found matter beat as many evaluations spread evenly,"
        " where most of a ray is empty",
        [
            toys("hierarchical", "positional", TWO_NETWORKS, SPARSE),
            toys("even", "positional", EVEN, SPARSE),
        ],
        [Check("hierarchical", "even", at_least=0.5, added=True)],
        equal_parameters=False,
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
        evidence="This row was first measured with 8 test views: 4.99 dB (-3.60 to 13.59), "
        "undecided, after 12,000 steps with five seeds, although every view was at least 2.1 dB "
        "better with directions. In one of the views a highlight covers the whole disc, which an "
        "arm without directions cannot know (16.5 dB there, 28 to 31 dB in the others), and 8 "
        "views are too few for a mean with such a difference. Since then there are 24 views.",
    ),
    Row(
        "NGP-view",
        "Instant NGP (2201.05989)",
        "spherical harmonics of the direction are as good as sines of the direction",
        [toys("harmonics", "harmonics", SIX, GLOSSY), toys("sines", "positional", SIX, GLOSSY)],
        [Check("harmonics", "sines", at_least=-0.5)],
    ),
]
