"""WIRE: complex Gabor wavelet activations, without an encoding.

Paper: Saragadam et al., WIRE: Wavelet Implicit Neural Representations, 2301.05187.
Expect: 13.2 dB on the validation views of data/tabletop at 64x64 after 150 steps of 256 rays. The
  learning rate was chosen there: 12.2 at 1e-3, 13.2 at 3e-3, 12.7 at 1e-2.
Time: minutes on two CPU cores.
Command: nerf train --config=configs/systems/wire.py --scene=data/tabletop \
  --workdir=runs/wire
"""

from nerf.runs import small_configs


def get_config():
    config = small_configs.composed(
        small_configs.POINTS,
        {"name": "nerf.networks.wire:Wire", "width": 45, "depth": 4, "omega": 10.0, "scale": 40.0},
    )
    config.optimizer.learning_rate = 3e-3
    return config
