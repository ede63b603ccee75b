"""CoordX: layers that see one coordinate each, fused by a product; cheap on lattices.

Paper: Liang et al., CoordX, 2201.12425.
Expect: 18.9 dB on the validation views of data/tabletop after 300 steps; 18.3 with half the
  learning rate, 15.7 with a tenth.
Time: minutes on two CPU cores.
Command: nerf train --config=configs/systems/coordx.py --scene=data/tabletop \
  --workdir=runs/coordx
"""

from nerf.runs import small_configs


def get_config():
    config = small_configs.composed(
        small_configs.FOURIER,
        {
            "name": "nerf.networks.coordx:CoordX",
            "width": 64,
            "depth": 4,
            "split": 2,
            "rank": 2,
            "product": True,
        },
    )
    config.optimizer.learning_rate = 1e-2
    return config
