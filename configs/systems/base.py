"""What the small systems share, so that two of them can be compared fairly. Not a config by itself.

512 rays a step, 48 samples a ray, no occupancy grid, a white background, photos of at most 100 pixels a side.
"""

from ml_collections import ConfigDict

from configs.base import base

FOURIER = {"name": "nerf.encodings.fourier:Fourier", "num_freqs": 10}
DIRECTIONS = {"name": "nerf.encodings.fourier:Fourier", "num_freqs": 4}
POINTS = {"name": "nerf.encodings.identity:Identity"}
LOCAL = {"name": "nerf.encodings.fourier:Fourier", "num_freqs": 3}  # of the place in a cell
DECODER = {"name": "nerf.networks.relu:ReLU", "width": 32, "depth": 2}  # of the place in a cell and its code


def small(field: dict) -> ConfigDict:
    """One stage with this field."""
    config = base()
    config.steps = 1000
    config.batch_size = 512
    config.chunk = 1024
    config.scene.max_side = 100
    config.model.order = ("main",)
    sampler = {"name": "nerf.sampling.stratified:Stratified", "num_samples": 48}
    config.model.stages = {"main": {"name": "nerf.rendering.model:Stage", "sampler": sampler, "field": field}}
    config.optimizer = {"name": "nerf.training.optimizers:adam", "learning_rate": 2e-3}
    return config


def deep(encoding: dict) -> ConfigDict:
    """Points so encoded, then a trunk of 4 layers of 64: where the network is the representation."""
    field = {
        "name": "nerf.fields.nerf:NeRFField",
        "encoding": encoding,
        "direction_encoding": DIRECTIONS,
        "width": 64,
        "depth": 4,
    }
    return small(field)


def shallow(encoding: dict) -> ConfigDict:
    """Points so encoded, then one hidden layer of 64 before density and two before colour: where tables are learned.

    The parameters called "table", those of grids and planes, have their own learning rate.
    """
    field = {
        "name": "nerf.fields.ngp:NGPField",
        "encoding": encoding,
        "direction_encoding": DIRECTIONS,
        "width": 64,
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
    """Points so encoded, then this network before density and one hidden layer of 32 before colour."""
    field = {
        "name": "nerf.fields.composed:Composed",
        "encoding": encoding,
        "direction_encoding": DIRECTIONS,
        "network": network,
    }
    return small(field)
