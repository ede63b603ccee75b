"""KiloNeRF: a tiny network for each of 512 cells.

Paper: Reiser et al., KiloNeRF, 2103.13744; trained from the start, not distilled.
Expect: EXPECT
Time: TIME
Command: python train.py --config=configs/systems/kilonerf.py --scene=data/tabletop --workdir=runs/kilonerf
"""

from configs.systems import base


def get_config():
    config = base.composed(
        base.POINTS,
        {"name": "nerf.networks.kilonerf:KiloNeRF", "encoding": base.LOCAL, "resolution": 8, "width": 32, "depth": 2},
    )
    config.optimizer.learning_rate = 2e-3
    return config
