"""The control of every encoding before a deep network: the coordinates themselves.

Paper: Tancik et al., Fourier Features Let Networks Learn High Frequency Functions, 2006.10739, "no mapping".
Expect: a blur; see docs/systems.md.
Time: two minutes on two CPU cores.
Command: python train.py --config=configs/systems/none.py --scene=data/tabletop --workdir=runs/none
"""

from configs.systems import base


def get_config():
    return base.deep({"name": "nerf.encodings.identity:Identity"})
