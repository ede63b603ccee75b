"""Positional encoding: sines and cosines of doubling frequency.

Paper: Mildenhall et al., NeRF, 2003.08934, section 5.1.
Expect: sharper than configs/systems/none.py, from which it differs in the encoding alone; see docs/systems.md.
Time: two minutes on two CPU cores.
Command: python train.py --config=configs/systems/positional.py --scene=data/tabletop --workdir=runs/positional
"""

from configs.systems import base


def get_config():
    return base.deep(base.FOURIER)
