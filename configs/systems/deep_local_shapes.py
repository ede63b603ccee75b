"""Deep Local Shapes: a code for each cell, one decoder of (place in the cell, code).

Paper: Chabra et al., Deep Local Shapes, 2003.10983; trained from pictures.
Expect: EXPECT
Time: TIME
Command: python train.py --config=configs/systems/deep_local_shapes.py --scene=data/tabletop \
  --workdir=runs/deep_local_shapes
"""

from configs.systems import base


def get_config():
    config = base.composed(
        base.POINTS,
        {
            "name": "nerf.networks.local_codes:DeepLocalShapes",
            "encoding": base.LOCAL,
            "decoder": base.DECODER,
            "resolution": 16,
            "features": 16,
        },
    )
    config.optimizer.learning_rate = 2e-3
    return config
