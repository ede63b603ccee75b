"""A plain ReLU network: the control of the other networks.

Paper: Mildenhall et al., NeRF, 2003.08934, with its encoding and a network of 4 layers of 64.
Expect: 17.4 dB on the validation views of data/tabletop after 300 steps; 18.8 at 3x the learning
  rate, 15.6 at 0.3x.
Time: minutes on two CPU cores.
Command: nerf train --config=configs/systems/relu.py --scene=data/tabletop \
  --workdir=runs/relu
"""

from nerf.runs import small_configs


def get_config():
    config = small_configs.composed(
        small_configs.FOURIER,
        {"name": "nerf.networks.relu:ReLU", "width": 64, "depth": 4},
    )
    config.optimizer.learning_rate = 2e-3
    return config
