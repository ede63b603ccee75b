"""A multiresolution hash grid of half a million numbers.

Paper: Mueller et al., Instant Neural Graphics Primitives, 2201.05989.
Expect: far more detail than configs/systems/none_shallow.py in as many steps. 22.6 dB on the
  validation views of data/tabletop after 300 steps; 23.6 at 3x the learning rate, 20.0 at 0.3x.
Time: two to three minutes on a CPU core.
Command: nerf train --config=configs/systems/hash_grid.py --scene=data/tabletop \
  --workdir=runs/hash_grid
"""

from nerf.runs import small_configs


def get_config():
    grid = {
        "name": "nerf.encodings.hash_grid:HashGrid",
        "num_levels": 8,
        "features_per_level": 4,
        "log2_table_size": 14,
    }
    return small_configs.shallow({**grid, "min_resolution": 16, "max_resolution": 256})
