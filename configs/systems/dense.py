"""Positional encoding with twice as many bands in the same octaves.

Paper: Tancik et al., Fourier Features, 2006.10739: "positional encoding" with more bands than octaves.
Expect: XX
Time: three minutes on two CPU cores.
Command: python train.py --config=configs/systems/dense.py --scene=data/tabletop --workdir=runs/dense
"""

from configs.systems import base


def get_config():
    return base.deep({**base.FOURIER, "num_freqs": 20, "octaves": 9})
