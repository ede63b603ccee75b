"""The fast config with learned training poses and coarse-to-fine levels of the grid.

Paper: Lin et al., BARF, 2104.06405, and Wang et al., NeRF--, 2102.07064; on a hash grid as in
  nerfstudio's nerfacto.
Expect: sharper images of a capture with slightly wrong poses, in the frame of the learned poses:
  score such runs with aligned cameras. On a kitchen of 7-Scenes, validation views, 21.9 dB with
  alignment and 18.7 without after a minute; configs/ngp.py has 21.4 and 20.5 after three.
Time: a step takes about twice as long as with configs/ngp.py.
Command: nerf train --config=configs/systems/poses.py --scene=SCENE --workdir=runs/poses \
  --max_seconds=180
"""

from nerf.runs.config_files import read_config


def get_config():
    config = read_config("ngp")
    field = config.model.stages.main.field
    window = {"name": "nerf.encodings.annealed:RaisedCosine", "visible": 3.0}
    field.encoding = {
        "name": "nerf.encodings.annealed:Annealed",
        "window": window,
        "start": 0.0,
        "end": 0.4,
        "encoding": field.encoding.to_dict(),
    }
    config.model.poses = {"name": "nerf.cameras.refinement:CameraRefinement"}
    config.optimizer.groups.refined = {"learning_rate": 1e-3}
    return config
