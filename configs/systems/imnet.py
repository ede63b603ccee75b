"""The decoder of IM-NET: the encoded point is an input of every layer.

Paper: Chen & Zhang, Learning Implicit Fields for Generative Shape Modeling, 1812.02822.
Expect: 18.1 dB on the validation views of data/tabletop after 300 steps; 19.7 at 3x the learning
  rate, 16.3 at 0.3x.
Time: minutes on two CPU cores.
Command: nerf train --config=configs/systems/imnet.py --scene=data/tabletop \
  --workdir=runs/imnet
"""

from nerf.runs import small_configs


def get_config():
    config = small_configs.composed(
        small_configs.FOURIER,
        {"name": "nerf.networks.imnet:IMNet", "widths": (80, 64, 48, 32)},
    )
    config.optimizer.learning_rate = 2e-3
    return config
