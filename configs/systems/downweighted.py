"""A hash grid whose fine levels fade where a pixel covers many cells: anti-aliasing.

Paper: Barron et al., Zip-NeRF, 2304.06706, section 2.
Expect: about configs/systems/hash_grid.py at the size of the photos; how much less smaller images
  alias is not measured yet.
Time: two to three minutes on a CPU core.
Command: nerf train --config=configs/systems/downweighted.py --scene=data/tabletop \
  --workdir=runs/downweighted
"""

from nerf.runs.config_files import read_config


def get_config():
    config = read_config("systems/hash_grid")
    field = config.model.stages.main.field
    field.encoding = {"name": "nerf.encodings.downweighted:Downweighted", "grid": field.encoding}
    return config
