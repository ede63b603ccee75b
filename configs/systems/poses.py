"""The fast config, with every training camera's pose learned too, levels of the grid coming in coarse to fine.

Paper: Lin et al., BARF, 2104.06405, and Wang et al., NeRF--, 2102.07064; on a hash grid as in nerfstudio's nerfacto.
Expect: sharper pictures of a capture whose poses are a little wrong, in the frame of the poses as learned: score such
  runs with cameras aligned. On a kitchen of 7-Scenes, on validation views, 21.9 dB so and 18.7 without after a minute;
  configs/ngp.py has 21.4 and 20.5 after three.
Time: about twice as long a step as configs/ngp.py.
Command: python train.py --config=configs/systems/poses.py --scene=SCENE --workdir=runs/poses --max_seconds=180
"""

from configs import ngp


def get_config():
    config = ngp.get_config()
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
