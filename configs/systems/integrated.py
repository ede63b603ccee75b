"""Integrated positional encoding of pixel cones: anti-aliasing.

Paper: Barron et al., mip-NeRF, 2103.13415, section 3.1.
Expect: the same as configs/systems/positional.py at the size of the photos, and less aliasing in
  smaller images. 18.9 dB on the validation views of data/tabletop after 300 steps.
Time: two to three minutes on a CPU core.
Command: nerf train --config=configs/systems/integrated.py --scene=data/tabletop \
  --workdir=runs/integrated
"""

from nerf.runs import small_configs


def get_config():
    return small_configs.deep(
        {"name": "nerf.encodings.integrated:Integrated", "waves": small_configs.FOURIER}
    )
