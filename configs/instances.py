"""The fast config with single objects, learned from maps whose numbers differ from view to view.

Paper: the dynamic kernels of SOLOv2, Wang et al., 2003.10152, on features of points, with the field
  of instant-ngp, 2201.05989; kernels are assigned to objects as in DETR, Carion et al., 2005.12872.
Expect: not measured yet
Time: set by --max_seconds; the learning rate decays over it.
Command: nerf train --config=configs/instances.py --scene=scenes/mine --workdir=runs/instances \
  --max_seconds=90
"""

from nerf.runs.config_files import read_config


def get_config():
    config = read_config("ngp")
    main = config.model.stages.main
    main.field = {"name": "nerf.fields.instances:Instances", "field": main.field}
    config.losses.instances = {"name": "nerf.losses.instances:InstanceError", "weight": 0.02}
    return config
