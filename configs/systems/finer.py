"""FINER: sines whose frequency grows with their argument, without an encoding.

Paper: Liu et al., FINER: Flexible Spectral-bias Tuning in INR by Variable-periodic Activation,
  2312.02434.
Expect: 16.8 dB on the validation views of data/tabletop at 64x64 after 150 steps of 256 rays. The
  learning rate was chosen there: 15.4 at 5e-4, 16.8 at 1e-3, 14.6 at 2e-3.
Time: minutes on two CPU cores.
Command: nerf train --config=configs/systems/finer.py --scene=data/tabletop \
  --workdir=runs/finer
"""

from nerf.runs import small_configs


def get_config():
    config = small_configs.composed(
        small_configs.POINTS,
        {
            "name": "nerf.networks.finer:Finer",
            "width": 64,
            "depth": 4,
            "omega": 30.0,
            "first_bias": 1.0,
        },
    )
    config.optimizer.learning_rate = 1e-3
    return config
