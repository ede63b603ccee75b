"""Gaussian activations, without an encoding.

Paper: Ramasinghe & Lucey, Beyond Periodicity, 2111.15135.
Expect: 19.4 dB on the validation views of data/tabletop at 64x64 after 150 steps of 256 rays. The
  learning rate was chosen there: 15.0 at 1e-3, 19.4 at 3e-3, 19.4 at 1e-2.
Time: minutes on two CPU cores.
Command: nerf train --config=configs/systems/gaussian_network.py --scene=data/tabletop \
  --workdir=runs/gaussian_network
"""

from nerf.runs import small_configs


def get_config():
    config = small_configs.composed(
        small_configs.POINTS,
        {
            "name": "nerf.networks.gaussian_activation:Gaussian",
            "width": 64,
            "depth": 4,
            "scale": 10.0,
        },
    )
    config.optimizer.learning_rate = 3e-3
    return config
