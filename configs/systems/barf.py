"""BARF: octaves of the positional encoding that are enabled smoothly, one after another.

Paper: Lin et al., BARF, 2104.06405; here with given poses.
Expect: with true poses, finally the same as configs/systems/positional.py. 17.1 dB on the
  validation views of data/tabletop after 300 steps, where positional.py has 17.9.
Time: two to three minutes on a CPU core.
Command: nerf train --config=configs/systems/barf.py --scene=data/tabletop \
  --workdir=runs/barf
"""

from nerf.runs import small_configs


def get_config():
    window = {"name": "nerf.encodings.annealed:RaisedCosine"}
    annealed = {
        "name": "nerf.encodings.annealed:Annealed",
        "window": window,
        "start": 0.1,
        "end": 0.5,
    }
    return small_configs.deep({**annealed, "encoding": small_configs.FOURIER})
