"""A pattern-producing network: every neuron one of five functions, and the radius as an input.

Paper: Stanley, Compositional Pattern Producing Networks, 2007; trained by gradients, its topology fixed.
Expect: 19.6 dB on the validation views of data/tabletop at 64x64 after 150 steps of 256 rays, which chose the
  learning rate: 17.2 at 1e-3, 18.6 at 3e-3, 19.6 at 1e-2.
Time: minutes on two CPU cores.
Command: python train.py --config=configs/systems/cppn.py --scene=data/tabletop --workdir=runs/cppn
"""

from configs.systems import base


def get_config():
    config = base.composed(
        base.POINTS,
        {"name": "nerf.networks.cppn:CPPN", "width": 64, "depth": 4, "gain": 2.0},
    )
    config.optimizer.learning_rate = 1e-2
    return config
