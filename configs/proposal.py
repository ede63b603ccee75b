"""The fast config with proposal networks instead of an occupancy grid.

Paper: Barron et al., mip-NeRF 360, 2111.12077: its proposals, distortion loss and annealing; with
  the hash grids of instant-ngp, 2201.05989, as in nerfacto.
Expect: meant for a GPU. A step learns more than one of configs/ngp.py, whose grid skips empty
  space, and takes three to five times as long on two CPU cores. On LLFF's fern at 252x189, 23.4 dB
  after 200 steps against 20.0. In equal time the grid is better: after a minute on two busy cores,
  20.9 dB in 90 steps against 21.1 in 250 on instant-ngp's fox at 216x384, 20.8 in 90 against 23.8
  in 820 on fern, and 23.3 in 170 against 27.6 in 930 on data/tabletop. All with one seed.
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
    # Every sample is evaluated, and no GPU was at hand to try a larger batch.
    config.batch_size = 1024
    del config.model["occupancy"]
    del config.model["max_samples_per_ray"]
    everywhere = {"name": "nerf.sampling.stratified:Stratified", "num_samples": 64}
    config.model.stages.first = proposal(everywhere, max_resolution=64)
    config.model.stages.second = proposal(resample(48), max_resolution=128)
    config.model.stages.main.sampler = resample(32)
    config.model.order = ("first", "second", "main")
    config.losses.interlevel = {"name": "nerf.losses.interlevel:Interlevel", "weight": 1.0}
    return config
