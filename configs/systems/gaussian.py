"""Random Fourier features, which have no preferred axes.

Paper: Tancik et al., Fourier Features, 2006.10739.
Expect: as much detail as configs/systems/positional.py, along every direction; sigma sets the
  bandwidth. 19.6 dB on the validation views of data/tabletop after 300 steps. Sigma was chosen
  there: 19.1 at 0.25, 19.6 at 0.5, 19.0 at 1, 14.2 at 2.
Time: two to three minutes on a CPU core.
Command: nerf train --config=configs/systems/gaussian.py --scene=data/tabletop \
  --workdir=runs/gaussian
"""

from nerf.runs import small_configs


def get_config():
    return small_configs.deep(
        {
            "name": "nerf.encodings.gaussian_fourier:Gaussian",
            "num_freqs": 30,
            "sigma": 0.5,
            "learn": False,
        }
    )
