"""KiloNeRF: one tiny network for each of 512 cells.

Paper: Reiser et al., KiloNeRF, 2103.13744; trained from scratch, not distilled.
Expect: 21.1 dB on the validation views of data/tabletop at 64x64 after 150 steps of 256 rays. The
  learning rate was chosen there: 17.1 at 1e-3, 19.8 at 3e-3, 21.1 at 1e-2.
Time: minutes on two CPU cores.
Command: nerf train --config=configs/systems/kilonerf.py --scene=data/tabletop \
  --workdir=runs/kilonerf
"""

from nerf.runs import small_configs


def get_config():
    config = small_configs.composed(
        small_configs.POINTS,
        {
            "name": "nerf.networks.kilonerf:KiloNeRF",
            "encoding": small_configs.LOCAL,
            "resolution": 8,
            "width": 32,
            "depth": 2,
        },
    )
    config.optimizer.learning_rate = 1e-2
    return config
