"""Local deep implicit functions: 16 oriented Gaussians, each with a code for a shared decoder.

Paper: Genova et al., Local Deep Implicit Functions for 3D Shape, 1912.06126; Zhang et al.,
  Nerflets, 2303.03361.
Expect: 16.9 dB on the validation views of data/tabletop after 300 steps; 19.0 at 3x the learning
  rate, 12.4 at 0.3x.
Time: minutes on two CPU cores.
Command: nerf train --config=configs/systems/local_blobs.py --scene=data/tabletop \
  --workdir=runs/local_blobs
"""

from nerf.runs import small_configs


def get_config():
    config = small_configs.composed(
        small_configs.POINTS,
        {
            "name": "nerf.networks.blobs:LocalBlobs",
            "encoding": small_configs.LOCAL,
            "decoder": small_configs.DECODER,
            "count": 16,
            "features": 16,
        },
    )
    config.optimizer.learning_rate = 2e-3
    return config
