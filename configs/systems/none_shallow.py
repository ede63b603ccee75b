"""Raw coordinates: the control of the tables, before the same small network.

Paper: Tancik et al., Fourier Features, 2006.10739: "no mapping".
Expect: a blurred image; the baseline of every table before this network. 15.1 dB on the validation
  views of data/tabletop after 300 steps; 15.6 at 3x the learning rate, 14.4 at 0.3x.
Time: two to three minutes on a CPU core.
Command: nerf train --config=configs/systems/none_shallow.py --scene=data/tabletop \
  --workdir=runs/none_shallow
"""

from nerf.runs import small_configs


def get_config():
    return small_configs.shallow({"name": "nerf.encodings.identity:Identity"})
