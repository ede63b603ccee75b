"""The control of the tables, before the same small network: the coordinates themselves.

Paper: Tancik et al., Fourier Features, 2006.10739: "no mapping".
Expect: XX
Time: three minutes on two CPU cores.
Command: python train.py --config=configs/systems/none_shallow.py --scene=data/tabletop --workdir=runs/none_shallow
"""

from configs.systems import base


def get_config():
    return base.shallow({"name": "nerf.encodings.identity:Identity"})
