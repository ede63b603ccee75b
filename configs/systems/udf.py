"""2S-UDF: an unsigned distance, for surfaces that have no inside.

Paper: Deng et al., 2S-UDF, 2303.15368, the density of its first stage, with a hash grid.
Expect: 26.6 dB on the validation views of `nerf.scenes.open_surfaces`, set up as the toybox in
  docs/systems.md, after 1,500 steps and with one seed; VolSDF reaches 23.9 dB there. Of the points
  of the surface in occupied cells, 0.2 % close the bowl (VolSDF: 10 %). They lie 0.038 from the
  surface on average (VolSDF: 0.043), on its concave side.
Time: minutes on two CPU cores.
Command: nerf train --config=configs/systems/udf.py --scene=data/tabletop --workdir=runs/udf
"""

from nerf.runs import small_configs


def get_config():
    # It begins as the distance of a point, since a sphere would hide and close what is open.
    geometry = {"name": "nerf.geometry.udf:UnsignedDistance", "sharpness": 10.0}
    return small_configs.surface(geometry, quantity="udf", radius=0.0)
