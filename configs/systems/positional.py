"""Positional encoding: sines and cosines of doubling frequency.

Paper: Mildenhall et al., NeRF, 2003.08934, section 5.1.
Expect: finer detail than configs/systems/none.py, from which it differs only in the encoding. 17.9
  dB on the validation views of data/tabletop after 300 steps; 18.9 at 3x the learning rate, 15.8 at
  0.3x.
Time: two to three minutes on a CPU core.
Command: nerf train --config=configs/systems/positional.py --scene=data/tabletop \
  --workdir=runs/positional
"""

from nerf.runs import small_configs


def get_config():
    return small_configs.deep(small_configs.FOURIER)
