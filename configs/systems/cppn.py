"""A pattern-producing network: every neuron one of five functions, and the radius as an input.

Paper: Stanley, Compositional Pattern Producing Networks, 2007; trained by gradients, its topology fixed.
Expect: EXPECT
Time: TIME
Command: python train.py --config=configs/systems/cppn.py --scene=data/tabletop --workdir=runs/cppn
"""

from configs.systems import base


def get_config():
    config = base.composed(
        base.POINTS,
        {"name": "nerf.networks.cppn:CPPN", "width": 64, "depth": 4, "gain": 2.0},
    )
    config.optimizer.learning_rate = 2e-3
    return config
