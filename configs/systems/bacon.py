"""BACON: products of sines, with a spectrum limited by design.

Paper: Lindell et al., BACON: Band-limited Coordinate Networks, 2112.04645.
Expect: 19.5 dB on the validation views of data/tabletop at 64x64 after 150 steps of 256 rays. The
  learning rate was chosen there: 12.1 at 1e-3, 15.1 at 3e-3, 19.5 at 1e-2.
Time: minutes on two CPU cores.
Command: nerf train --config=configs/systems/bacon.py --scene=data/tabletop \
  --workdir=runs/bacon
"""

from nerf.runs import small_configs


def get_config():
    config = small_configs.composed(
        small_configs.POINTS,
        {"name": "nerf.networks.bacon:Bacon", "width": 64, "bands": (4, 8, 12, 16)},
    )
    config.optimizer.learning_rate = 1e-2
    return config
