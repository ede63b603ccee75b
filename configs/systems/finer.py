"""FINER: sines whose frequency grows with their argument, and no encoding.

Paper: Liu et al., FINER: Flexible Spectral-bias Tuning in INR by Variable-periodic Activation, 2312.02434.
Expect: EXPECT
Time: TIME
Command: python train.py --config=configs/systems/finer.py --scene=data/tabletop --workdir=runs/finer
"""

from configs.systems import base


def get_config():
    config = base.composed(
        base.POINTS,
        {"name": "nerf.networks.finer:Finer", "width": 64, "depth": 4, "omega": 30.0, "first_bias": 1.0},
    )
    config.optimizer.learning_rate = 2e-3
    return config
