"""Shared settings of the small systems, for fair comparisons. This is not a complete config.

512 rays per step, 48 samples per ray, no occupancy grid, a white background, photos of at most 100
pixels per side.
"""

from typing import Any

from ml_collections import ConfigDict

from nerf.runs.defaults import base

FOURIER = {"name": "nerf.encodings.fourier:Fourier", "num_freqs": 10}
DIRECTIONS = {"name": "nerf.encodings.fourier:Fourier", "num_freqs": 4}
POINTS = {"name": "nerf.encodings.identity:Identity"}
# Encodes the position of a point in its cell.
LOCAL = {"name": "nerf.encodings.fourier:Fourier", "num_freqs": 3}
# Reads the encoded position in a cell and the code of the cell.
DECODER = {"name": "nerf.networks.relu:ReLU", "width": 32, "depth": 2}


# A signed distance that is a little outside everywhere at first, so that the surface grows out of
# fog. A sphere would have to be carved, and nothing trains its parts outside of occupied cells.
FOG = {"radius": -0.05, "scale": 0.3}


def small(field: dict) -> ConfigDict:
    """Return a config with one stage that uses this field section."""
    config = base()
    config.steps = 1000
    config.batch_size = 512
    config.scene.max_side = 100
    config.model.order = ("main",)
    sampler = {"name": "nerf.sampling.stratified:Stratified", "num_samples": 48}
    config.model.stages = {
        "main": {"name": "nerf.rendering.model:Stage", "sampler": sampler, "field": field}
    }
    config.optimizer = {"name": "nerf.training.optimizers:adam", "learning_rate": 2e-3}
    return config


def deep(encoding: dict) -> ConfigDict:
    """Return a config whose representation is the network: 4 layers of 64 after the encoding."""
    field = {
        "name": "nerf.fields.nerf:NeRFField",
        "encoding": encoding,
        "direction_encoding": DIRECTIONS,
        "width": 64,
        "depth": 4,
    }
    return small(field)


def shallow(encoding: dict) -> ConfigDict:
    """Return a config whose representation is a table: a small network after the encoding.

    The network has one hidden layer of 64 before the density and two before the colour. Parameters
    named "table" (of grids and planes) have their own learning rate.
    """
    field = {
        "name": "nerf.fields.composed:Composed",
        "encoding": encoding,
        "direction_encoding": DIRECTIONS,
        "network": {"name": "nerf.networks.relu:ReLU", "width": 64, "depth": 1},
        "colour": {"name": "nerf.networks.relu:ReLU", "width": 64, "depth": 2},
    }
    config = small(field)
    config.optimizer = {
        "name": "nerf.training.optimizers:adam",
        "learning_rate": 2e-3,
        "eps": 1e-15,
        "groups": {"table": {"learning_rate": 2e-2}},
    }
    return config


def composed(encoding: dict, network: dict) -> ConfigDict:
    """Return a config with this encoding and network section, for `nerf.fields.composed`.

    The network is followed by the density, and by one hidden layer of 32 before the colour.
    """
    field = {
        "name": "nerf.fields.composed:Composed",
        "encoding": encoding,
        "direction_encoding": DIRECTIONS,
        "network": network,
    }
    return small(field)


# Tables of half a million numbers, for `surface` and `proposal`.
TABLES: dict[str, Any] = {
    "name": "nerf.encodings.hash_grid:HashGrid",
    "num_levels": 8,
    "features_per_level": 4,
    "log2_table_size": 14,
    "min_resolution": 16,
    "max_resolution": 256,
}


def surface(geometry: dict, **field: Any) -> ConfigDict:
    """Return a config whose field is a surface in a hash grid, for `nerf.fields.surface`.

    Args:
      geometry: config section of the geometry.
      **field: other values of the field's section.
    """
    config = shallow(TABLES)
    main = config.model.stages.main.field
    main.name = "nerf.fields.surface:SurfaceField"
    main.network = {"name": "nerf.networks.softplus:Softplus", "width": 64, "depth": 1}
    main.update(field)
    config.model.geometry = geometry
    if main.get("quantity", "sdf") != "logit":
        # A squared error becomes small against the eikonal loss while the surface is still wrong.
        colour = {"name": "nerf.losses.photometric:Charbonnier", "eps": 0.01}
        config.losses.colour = {**colour, "weight": 1.0}
        config.losses.eikonal = {"name": "nerf.losses.eikonal:Eikonal", "weight": 0.01}
    return config


def proposal(loss: dict) -> ConfigDict:
    """Return a config in which a small proposal network places the samples.

    The proposal has 32 intervals and a fifteenth of the main tables; the main stage has 16.

    Args:
      loss: config section of the loss that trains the proposal.
    """
    config = shallow(TABLES)
    main = config.model.stages.main
    smaller = {"num_levels": 4, "features_per_level": 2, "log2_table_size": 12}
    field = {
        "name": "nerf.fields.density:DensityField",
        "encoding": {**TABLES, **smaller, "max_resolution": 64},
        "network": {"name": "nerf.networks.relu:ReLU", "width": 16, "depth": 1},
    }
    sampler = {"name": "nerf.sampling.stratified:Stratified", "num_samples": 32}
    config.model.stages.proposal = {"name": main.name, "sampler": sampler, "field": field}
    resample = {"name": "nerf.sampling.importance:Importance", "num_samples": 16, "union": False}
    main.sampler = {"name": "nerf.sampling.annealed:AnnealedWeights", "sampler": resample}
    config.model.order = ("proposal", "main")
    config.losses.interlevel = loss
    return config
