"""The control of the tables, before the same small network: the coordinates themselves.

Paper: Tancik et al., Fourier Features, 2006.10739: "no mapping".
Expect: a blur; what every table before this network is measured against. Not measured yet.
Time: two to three minutes on a CPU core.
Command: python train.py --config=configs/systems/none_shallow.py --scene=data/tabletop --workdir=runs/none_shallow
"""

from configs.systems import base


def get_config():
    return base.shallow({"name": "nerf.encodings.identity:Identity"})
