"""A proposal network places the samples: an upper bound of the final weights.

Paper: Barron et al., mip-NeRF 360, 2111.12077, section 3, with hash grids.
Expect: TODO
Time: minutes on two CPU cores.
Command: nerf train --config=configs/systems/proposal.py --scene=data/tabletop \
  --workdir=runs/proposal
"""

from nerf.runs import small_configs


def get_config():
    return small_configs.proposal({"name": "nerf.losses.interlevel:Interlevel", "weight": 1.0})
