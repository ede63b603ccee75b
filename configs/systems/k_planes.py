"""Products of three planes, at two scales: half a million numbers.

Paper: Fridovich-Keil et al., K-Planes, 2301.10241.
Expect: more detail than configs/systems/none_shallow.py and than as many voxels. 22.6 dB on the
  validation views of data/tabletop after 300 steps; 23.0 at 3x the learning rate, 18.9 at 0.3x.
Time: two to three minutes on a CPU core.
Command: nerf train --config=configs/systems/k_planes.py --scene=data/tabletop \
  --workdir=runs/k_planes
"""

from nerf.runs import small_configs


def get_config():
    return small_configs.shallow(
        {"name": "nerf.encodings.planes:KPlanes", "resolutions": (64, 128), "features": 8}
    )
