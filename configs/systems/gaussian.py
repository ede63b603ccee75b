"""Random Fourier features, which have no preferred axes.

Paper: Tancik et al., Fourier Features, 2006.10739.
Expect: XX
Time: three minutes on two CPU cores.
Command: python train.py --config=configs/systems/gaussian.py --scene=data/tabletop --workdir=runs/gaussian
"""

from configs.systems import base


def get_config():
    return base.deep({"name": "nerf.encodings.gaussian:Gaussian", "num_freqs": 30, "sigma": 2.0, "learn": False})
