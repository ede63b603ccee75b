"""Structured implicit functions: 128 oriented Gaussians, each with a density and a colour.

Paper: Genova et al., Learning Shape Templates with Structured Implicit Functions, 1904.06447;
  trained from images.
Expect: 20.5 dB on the validation views of data/tabletop at 64x64 after 150 steps of 256 rays. The
  learning rate was chosen there: 16.7 at 3e-3, 19.1 at 1e-2, 20.5 at 3e-2.
Time: minutes on two CPU cores.
Command: nerf train --config=configs/systems/blobs.py --scene=data/tabletop \
  --workdir=runs/blobs
"""

from nerf.runs import small_configs


def get_config():
    config = small_configs.composed(
        small_configs.POINTS,
        {"name": "nerf.networks.blobs:Blobs", "count": 128},
    )
    config.optimizer.learning_rate = 3e-2
    return config
