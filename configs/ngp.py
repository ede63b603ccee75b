"""The fast config: a multiresolution hash grid, a small network and an occupancy grid.

Paper: Mueller et al., Instant Neural Graphics Primitives, 2201.05989; with simplex interpolation,
  and, from Barron et al., mip-NeRF 360, 2111.12077, the space contraction for unbounded scenes and
  the distortion loss.
Expect: 30 dB on the held-out views of data/tabletop after a minute on two CPU cores; see the table
  in the README.
Time: set by --max_seconds; the learning rate decays over it. Compilation takes about 10 s more.
Command: nerf train --config=configs/ngp.py --scene=data/tabletop --workdir=runs/ngp \
  --max_seconds=60
"""

from nerf.runs.defaults import base

FIELD = {
    "name": "nerf.fields.composed:Composed",
    "encoding": {
        "name": "nerf.encodings.hash_grid:HashGrid",
        "num_levels": 8,
        "features_per_level": 4,
        "log2_table_size": 17,
        "min_resolution": 16,
        "max_resolution": 512,
        "simplex": True,
    },
    "direction_encoding": {
        "name": "nerf.encodings.spherical_harmonics:SphericalHarmonics",
        "num_degrees": 4,
    },
    "network": {
        "name": "nerf.networks.relu:ReLU",
        "width": 32,
        "depth": 1,
        "dtype": "bfloat16",
    },
    "colour": {
        "name": "nerf.networks.relu:ReLU",
        "width": 32,
        "depth": 2,
        "dtype": "bfloat16",
    },
    "features": 15,
    "density_bias": 0.0,
}


def get_config():
    config = base()
    config.steps = 30_000
    config.batch_size = None  # by the device: 1024 rays on a CPU
    # With a fixed white background, a white surface and a hole look the same.
    config.random_background = True
    config.model.order = ("main",)
    config.model.max_samples_per_ray = 16
    config.model.stages = {
        "main": {
            "name": "nerf.rendering.model:Stage",
            "sampler": {"name": "nerf.sampling.stratified:UniformSteps", "num_samples": 128},
            "field": FIELD,
        }
    }
    config.model.occupancy = {
        "name": "nerf.sampling.occupancy_grid:OccupancyGrid",
        "resolution": 64,
        "threshold": 2.0,
        "decay": 0.9,
        "update_every": 4,
        "min_weight": 0.01,
        "keep_weight": 0.05,
    }
    config.losses.distortion = {"name": "nerf.losses.distortion:Distortion", "weight": 0.01}
    config.optimizer = {
        "name": "nerf.training.optimizers:adam",
        "learning_rate": 8e-3,
        "b1": 0.9,
        "b2": 0.99,
        "eps": 1e-15,
        "groups": {"table": {"learning_rate": 4e-2}},
    }
    config.schedule = {"name": "nerf.training.optimizers:Cosine", "final": 0.05}
    return config
