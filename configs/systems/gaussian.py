"""Random Fourier features, which have no preferred axes.

Paper: Tancik et al., Fourier Features, 2006.10739.
Expect: detail as with configs/systems/positional.py, along any direction; sigma decides. Not measured yet.
Time: two to three minutes on a CPU core.
Command: python train.py --config=configs/systems/gaussian.py --scene=data/tabletop --workdir=runs/gaussian
"""

from configs.systems import base


def get_config():
    return base.deep({"name": "nerf.encodings.gaussian:Gaussian", "num_freqs": 30, "sigma": 2.0, "learn": False})
