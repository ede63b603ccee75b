"""The fast config with a class of each point, learned from label maps.

Paper: Zhi et al., Semantic-NeRF, 2103.15875, with the field of instant-ngp, 2201.05989.
Expect: a mIoU of 0.94 and 28.4 dB on the test views of data/tabletop after 1,530 steps, from the
  labels of all 100 training views; one seed.
Time: set by --max_seconds; the learning rate decays over it.
Command: nerf train --config=configs/labels.py --scene=data/tabletop --workdir=runs/labels \
  --max_seconds=90
"""

from nerf.runs.config_files import read_config


def get_config():
    config = read_config("ngp")
    main = config.model.stages.main
    main.field = {"name": "nerf.fields.labelled:Labelled", "field": main.field}
    config.losses.labels = {
        "name": "nerf.losses.labels:LabelError",
        "weight": 0.02,
        "moves_matter": False,
    }
    return config
