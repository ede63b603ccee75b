"""TensoRF (CP): products of vectors, with a tenth of the numbers of the other tables.

Paper: Chen et al., TensoRF, 2203.09517, CP decomposition.
Expect: less detail than configs/systems/vector_matrix.py, in far fewer numbers. 20.9 dB on the
  validation views of data/tabletop after 300 steps.
Time: two to three minutes on a CPU core.
Command: nerf train --config=configs/systems/vectors.py --scene=data/tabletop \
  --workdir=runs/vectors
"""

from nerf.runs import small_configs


def get_config():
    return small_configs.shallow(
        {"name": "nerf.encodings.factors:Vectors", "resolution": 170, "components": 96}
    )
