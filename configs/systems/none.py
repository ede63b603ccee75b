"""Raw coordinates: the control of the encodings before a deep network.

Paper: Tancik et al., Fourier Features, 2006.10739: "no mapping".
Expect: a blurred image; the baseline of every other encoding before this network. 17.3 dB on the
  validation views of data/tabletop after 300 steps; 18.5 at 3x the learning rate, 15.3 at 0.3x.
Time: two to three minutes on a CPU core.
Command: nerf train --config=configs/systems/none.py --scene=data/tabletop \
  --workdir=runs/none
"""

from nerf.runs import small_configs


def get_config():
    return small_configs.deep({"name": "nerf.encodings.identity:Identity"})
