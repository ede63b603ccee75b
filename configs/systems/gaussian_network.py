"""Gaussian activations, and no encoding.

Paper: Ramasinghe & Lucey, Beyond Periodicity, 2111.15135.
Expect: EXPECT
Time: TIME
Command: python train.py --config=configs/systems/gaussian_network.py --scene=data/tabletop \
  --workdir=runs/gaussian_network
"""

from configs.systems import base


def get_config():
    config = base.composed(
        base.POINTS,
        {"name": "nerf.networks.gaussian:Gaussian", "width": 64, "depth": 4, "scale": 10.0},
    )
    config.optimizer.learning_rate = 2e-3
    return config
