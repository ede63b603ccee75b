"""2S-UDF: an unsigned distance, for surfaces that have no inside.

Paper: Deng et al., 2S-UDF, 2303.15368, the density of its first stage, with a hash grid.
Expect: 26.9 dB on the test views of `nerf.scenes.open_surfaces`, set up as the toybox in
  docs/systems.md, after 3,000 steps (row R24, five seeds); VolSDF reaches 27.7 dB. Points of its
  surface have a Chamfer distance of 0.032 (VolSDF: 0.015) and are over 3.9 % of the bowl's opening
  (VolSDF: 8.3 %).
Time: minutes on two CPU cores.
Command: nerf train --config=configs/systems/udf.py --scene=data/tabletop --workdir=runs/udf
"""

from nerf.runs import small_configs


def get_config():
    # It begins as the distance of a point, since a sphere would hide and close what is open.
    geometry = {"name": "nerf.geometry.udf:UnsignedDistance", "sharpness": 10.0}
    return small_configs.surface(geometry, quantity="udf", radius=0.0)
