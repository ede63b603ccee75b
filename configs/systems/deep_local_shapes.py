"""Deep Local Shapes: one code per cell, and one decoder of (position in the cell, code).

Paper: Chabra et al., Deep Local Shapes, 2003.10983; trained from images.
Expect: 19.2 dB on the validation views of data/tabletop at 64x64 after 150 steps of 256 rays. The
  learning rate was chosen there: 15.9 at 2e-3, 18.9 at 5e-3, 19.2 at 1e-2.
Time: minutes on two CPU cores.
Command: nerf train --config=configs/systems/deep_local_shapes.py --scene=data/tabletop \
  --workdir=runs/deep_local_shapes
"""

from nerf.runs import small_configs


def get_config():
    config = small_configs.composed(
        small_configs.POINTS,
        {
            "name": "nerf.networks.local_codes:DeepLocalShapes",
            "encoding": small_configs.LOCAL,
            "decoder": small_configs.DECODER,
            "resolution": 16,
            "features": 16,
        },
    )
    config.optimizer.learning_rate = 1e-2
    return config
