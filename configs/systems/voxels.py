"""A dense grid of half a million numbers.

Paper: Sun et al., DVGO, 2111.11215; its features, before one network for density and colour.
Expect: XX
Time: three minutes on two CPU cores.
Command: python train.py --config=configs/systems/voxels.py --scene=data/tabletop --workdir=runs/voxels
"""

from configs.systems import base


def get_config():
    return base.shallow({"name": "nerf.encodings.voxels:Voxels", "resolution": 48, "features": 4})
