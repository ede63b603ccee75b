"""Structured implicit functions: 128 oriented Gaussians, each with a density and a colour.

Paper: Genova et al., Learning Shape Templates with Structured Implicit Functions, 1904.06447; trained from pictures.
Expect: EXPECT
Time: TIME
Command: python train.py --config=configs/systems/blobs.py --scene=data/tabletop --workdir=runs/blobs
"""

from configs.systems import base


def get_config():
    config = base.composed(
        base.POINTS,
        {"name": "nerf.networks.blobs:Blobs", "count": 128},
    )
    config.optimizer.learning_rate = 2e-3
    return config
