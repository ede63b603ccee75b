"""NeuS: a signed distance that is opaque where a ray enters it.

Paper: Wang et al., NeuS, 2106.10689, with a hash grid.
Expect: 31.8 dB on the validation views of the toybox, set up as in docs/systems.md with 4
  cycles, after 1,500 steps and with one seed. The median error of normals is 10 degrees. From a
  sphere of radius 0.5 it is 26.0 dB and 19 degrees, and with exact gradients, which see one cell
  of the finest level, 29.7 dB and 15 degrees; with both, 24.9 dB and 26 degrees.
Time: minutes on two CPU cores.
Command: nerf train --config=configs/systems/neus.py --scene=data/tabletop --workdir=runs/neus
"""

from nerf.runs import small_configs


def get_config():
    geometry = {"name": "nerf.geometry.neus:NeuS", "sharpness": 20.0}
    return small_configs.surface(geometry, **small_configs.FOG, spacing=0.02)
