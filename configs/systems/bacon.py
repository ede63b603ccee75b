"""BACON: products of sines, whose spectrum ends where it is told to.

Paper: Lindell et al., BACON: Band-limited Coordinate Networks, 2112.04645.
Expect: EXPECT
Time: TIME
Command: python train.py --config=configs/systems/bacon.py --scene=data/tabletop --workdir=runs/bacon
"""

from configs.systems import base


def get_config():
    config = base.composed(
        base.POINTS,
        {"name": "nerf.networks.bacon:Bacon", "width": 64, "bands": (4, 8, 12, 16)},
    )
    config.optimizer.learning_rate = 2e-3
    return config
