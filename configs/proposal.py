"""The fast config with proposal networks instead of an occupancy grid.

Paper: Barron et al., mip-NeRF 360, 2111.12077: its proposals, distortion loss and annealing; with
  the hash grids of instant-ngp, 2201.05989, as in nerfacto.
Expect: meant for a GPU. On two CPU cores a step takes three times as long as with configs/ngp.py,
  whose grid skips empty space, and in equal time that is the better one: after a minute on two
  busy cores, one seed and images of at most 384 pixels per side, 20.9 dB in 90 steps against 21.1
  in 250 on instant-ngp's fox, 20.8 in 90 against 23.8 in 820 on fern, and 23.3 in 170 against 27.6
  in 930 on data/tabletop.
Time: set by --max_seconds; the learning rate decays over it.
Command: nerf train --config=configs/proposal.py --scene=SCENE --workdir=runs/proposal \
  --max_seconds=180
"""

from nerf.runs.config_files import read_config


def proposal(sampler: dict, max_resolution: int) -> dict:
    return {
        "name": "nerf.rendering.model:Stage",
        "sampler": sampler,
        "field": {
            "name": "nerf.fields.density:DensityField",
            "encoding": {
                "name": "nerf.encodings.hash_grid:HashGrid",
                "num_levels": 4,
                "features_per_level": 2,
                "log2_table_size": 15,
                "min_resolution": 16,
                "max_resolution": max_resolution,
                "simplex": True,
            },
            "network": {"name": "nerf.networks.relu:ReLU", "width": 16, "depth": 1},
        },
    }


def resample(num_samples: int) -> dict:
    sampler = {"name": "nerf.sampling.importance:Importance", "num_samples": num_samples}
    return {
        "name": "nerf.sampling.annealed:AnnealedWeights",
        "sampler": {**sampler, "union": False},
        "bias": 10.0,
    }


def get_config():
    config = read_config("ngp")
    del config.model["occupancy"]
    del config.model["max_samples_per_ray"]
    everywhere = {"name": "nerf.sampling.stratified:Stratified", "num_samples": 64}
    config.model.stages.first = proposal(everywhere, max_resolution=64)
    config.model.stages.second = proposal(resample(48), max_resolution=128)
    config.model.stages.main.sampler = resample(32)
    config.model.order = ("first", "second", "main")
    config.losses.interlevel = {"name": "nerf.losses.interlevel:Interlevel", "weight": 1.0}
    return config
