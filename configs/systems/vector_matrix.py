"""TensoRF (VM): products of vectors and matrices, half a million numbers.

Paper: Chen et al., TensoRF, 2203.09517, VM decomposition.
Expect: more detail than configs/systems/none_shallow.py and than as many voxels. 23.2 dB on the
  validation views of data/tabletop after 300 steps; 23.8 at 3x the learning rate, 20.3 at 0.3x.
Time: two to three minutes on a CPU core.
Command: nerf train --config=configs/systems/vector_matrix.py --scene=data/tabletop \
  --workdir=runs/vector_matrix
"""

from nerf.runs import small_configs


def get_config():
    return small_configs.shallow(
        {"name": "nerf.encodings.factors:VectorMatrix", "resolution": 100, "components": 16}
    )
