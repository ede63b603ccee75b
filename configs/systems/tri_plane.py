"""The sum of three planes: half a million numbers.

Paper: Chan et al., EG3D, 2112.07945; its representation, trained from photos of one scene.
Expect: more detail than configs/systems/none_shallow.py. 22.8 dB on the validation views of
  data/tabletop after 300 steps; 23.4 at 3x the learning rate, 20.8 at 0.3x.
Time: two to three minutes on a CPU core.
Command: nerf train --config=configs/systems/tri_plane.py --scene=data/tabletop \
  --workdir=runs/tri_plane
"""

from nerf.runs import small_configs


def get_config():
    return small_configs.shallow(
        {"name": "nerf.encodings.planes:TriPlane", "resolution": 100, "features": 16}
    )
