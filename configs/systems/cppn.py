"""A CPPN: each neuron uses one of five functions, and the radius is an additional input.

Paper: Stanley, Compositional Pattern Producing Networks, 2007; trained by gradient descent with a
  fixed topology.
Expect: 19.6 dB on the validation views of data/tabletop at 64x64 after 150 steps of 256 rays. The
  learning rate was chosen there: 17.2 at 1e-3, 18.6 at 3e-3, 19.6 at 1e-2.
Time: minutes on two CPU cores.
Command: nerf train --config=configs/systems/cppn.py --scene=data/tabletop \
  --workdir=runs/cppn
"""

from nerf.runs import small_configs


def get_config():
    config = small_configs.composed(
        small_configs.POINTS,
        {"name": "nerf.networks.cppn:CPPN", "width": 64, "depth": 4, "gain": 2.0},
    )
    config.optimizer.learning_rate = 1e-2
    return config
