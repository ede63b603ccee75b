"""Neuralangelo: differences as gradients, a loss of curvature, and levels enabled one by one.

Paper: Li et al., Neuralangelo, 2306.03092, with the density of VolSDF instead of NeuS.
Expect: 31.5 dB on the validation views of the toybox, set up as in docs/systems.md with 4
  cycles, after 1,500 steps and with one seed. The median error of normals is 7.8 degrees
  (`systems/volsdf`: 31.8 dB and 15 degrees). With NeuS as in the paper it is 30.8 dB and 8.5
  degrees (`systems/neus`: 31.8 dB and 10 degrees).
Time: minutes on two CPU cores.
Command: nerf train --config=configs/systems/neuralangelo.py --scene=data/tabletop \
  --workdir=runs/neuralangelo
"""

from nerf.runs import small_configs

END = 0.5  # training progress at which everything is as fine as it becomes


def get_config():
    geometry = {"name": "nerf.geometry.volsdf:VolSDF", "beta": 0.1}
    config = small_configs.surface(geometry, **small_configs.FOG)
    main = config.model.stages.main.field
    main.encoding = {
        "name": "nerf.encodings.annealed:Annealed",
        "encoding": small_configs.TABLES,
        "window": {"name": "nerf.encodings.annealed:RaisedCosine", "visible": 3.0},
        "end": END,
    }
    # The length of a cell of the coarsest level, and then of the finest one.
    main.spacing = {
        "name": "nerf.encodings.annealing:Shrinking",
        "first": 2.0 / small_configs.TABLES["min_resolution"],
        "last": 2.0 / small_configs.TABLES["max_resolution"],
        "end": END,
    }
    config.losses.curvature = {"name": "nerf.losses.curvature:Curvature", "weight": 5e-4}
    return config
