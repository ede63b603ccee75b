"""A dense grid of half a million numbers.

Paper: Sun et al., DVGO, 2111.11215; its features, with one network for density and colour.
Expect: more detail than configs/systems/none_shallow.py, at most as fine as its cells. 21.8 dB on
  the validation views of data/tabletop after 300 steps; 22.8 at 3x the learning rate, 18.6 at 0.3x.
Time: two to three minutes on a CPU core.
Command: nerf train --config=configs/systems/voxels.py --scene=data/tabletop \
  --workdir=runs/voxels
"""

from nerf.runs import small_configs


def get_config():
    return small_configs.shallow(
        {"name": "nerf.encodings.voxels:Voxels", "resolution": 48, "features": 4}
    )
