"""A proposal network places the samples: an upper bound of the final weights.

Paper: Barron et al., mip-NeRF 360, 2111.12077, section 3, with hash grids.
Expect: 22.9 dB on the validation views of data/tabletop after 300 steps, with 16 final samples per
  ray; configs/systems/hash_grid.py, with the same tables and 48 samples, has 22.6 and took three
  times as long.
Time: minutes on two CPU cores.
Command: nerf train --config=configs/systems/proposal.py --scene=data/tabletop \
  --workdir=runs/proposal
"""

from nerf.runs import small_configs


def get_config():
    return small_configs.proposal({"name": "nerf.losses.interlevel:Interlevel", "weight": 1.0})
