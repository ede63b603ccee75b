"""VolSDF: a signed distance whose inside is dense.

Paper: Yariv et al., Volume Rendering of Neural Implicit Surfaces, 2106.12052, with a hash grid.
Expect: 31.8 dB on the validation views of the toybox, set up as in docs/systems.md with 4
  cycles, after 1,500 steps and with one seed. The median error of normals is 15 degrees. From a
  sphere of radius 0.5 it is 31.0 dB.
Time: minutes on two CPU cores.
Command: nerf train --config=configs/systems/volsdf.py --scene=data/tabletop --workdir=runs/volsdf
"""

from nerf.runs import small_configs


def get_config():
    geometry = {"name": "nerf.geometry.volsdf:VolSDF", "beta": 0.1}
    return small_configs.surface(geometry, **small_configs.FOG)
