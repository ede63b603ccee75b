"""Products of vectors and matrices: half a million numbers.

Paper: Chen et al., TensoRF, 2203.09517, VM decomposition.
Expect: XX
Time: three minutes on two CPU cores.
Command: python train.py --config=configs/systems/vector_matrix.py --scene=data/tabletop --workdir=runs/vector_matrix
"""

from configs.systems import base


def get_config():
    return base.shallow({"name": "nerf.encodings.factors:VectorMatrix", "resolution": 100, "components": 16})
