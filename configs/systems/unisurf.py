"""UNISURF: an occupancy is the opacity of a sample.

Paper: Oechsle et al., UNISURF, 2104.10078, with a hash grid.
Expect: 30.8 dB on the validation views of the toybox, set up as in docs/systems.md with 4
  cycles, after 1,500 steps and with one seed. The median error of normals is 34 degrees. From a
  sphere of radius 0.5 it is 28.5 dB and 33 degrees.
Time: minutes on two CPU cores.
Command: nerf train --config=configs/systems/unisurf.py --scene=data/tabletop --workdir=runs/unisurf
"""

from nerf.runs import small_configs


def get_config():
    # The fog of `small_configs`, ten times as steep: a logit is no distance.
    return small_configs.surface(
        {"name": "nerf.geometry.occupancy:Occupancy"}, quantity="logit", radius=-0.05, scale=3.0
    )
