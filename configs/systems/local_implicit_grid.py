"""Local Implicit Grids: one code per vertex; the outputs of the eight nearest are blended.

Paper: Jiang et al., Local Implicit Grid Representations for 3D Scenes, 2003.08981; trained from
  images.
Expect: 17.7 dB on the validation views of data/tabletop after 300 steps; 19.4 at 3x the learning
  rate, 13.6 at 0.3x.
Time: minutes on two CPU cores.
Command: nerf train --config=configs/systems/local_implicit_grid.py --scene=data/tabletop \
  --workdir=runs/local_implicit_grid
"""

from nerf.runs import small_configs


def get_config():
    config = small_configs.composed(
        small_configs.POINTS,
        {
            "name": "nerf.networks.local_codes:LocalImplicitGrid",
            "encoding": small_configs.LOCAL,
            "decoder": small_configs.DECODER,
            "resolution": 12,
            "features": 16,
        },
    )
    config.optimizer.learning_rate = 2e-3
    return config
