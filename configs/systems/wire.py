"""WIRE: complex Gabor wavelets for activations, and no encoding.

Paper: Saragadam et al., WIRE: Wavelet Implicit Neural Representations, 2301.05187.
Expect: EXPECT
Time: TIME
Command: python train.py --config=configs/systems/wire.py --scene=data/tabletop --workdir=runs/wire
"""

from configs.systems import base


def get_config():
    config = base.composed(
        base.POINTS,
        {"name": "nerf.networks.wire:Wire", "width": 45, "depth": 4, "omega": 10.0, "scale": 40.0},
    )
    config.optimizer.learning_rate = 2e-3
    return config
