"""A proposal network that is trained by the blurred final weights.

Paper: Barron et al., Zip-NeRF, 2304.06706, section 3, with hash grids; without its multisampling.
Expect: 22.9 dB on the validation views of data/tabletop after 300 steps, as with
  configs/systems/proposal.py; what it gains in videos was not measured.
Time: minutes on two CPU cores.
Command: nerf train --config=configs/systems/antialiased_proposal.py --scene=data/tabletop \
  --workdir=runs/antialiased_proposal
"""

from nerf.runs import small_configs


def get_config():
    return small_configs.proposal(
        {
            "name": "nerf.losses.antialiased_interlevel:AntialiasedInterlevel",
            "radii": (0.03,),
            "weight": 1.0,
        }
    )
