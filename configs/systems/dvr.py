"""DVR: an occupancy, seen where a ray first meets its surface.

Paper: Niemeyer et al., Differentiable Volumetric Rendering, 1912.07372, with a hash grid.
Expect: 24.2 dB on the validation views of the toybox, set up as in docs/systems.md with 4
  cycles and without an occupancy grid, after 1,500 steps and with one seed. The median error of
  depth is 0.7 %, that of normals 30 degrees. A scene needs images with alpha.
Time: minutes on two CPU cores.
Command: nerf train --config=configs/systems/dvr.py --scene=data/tabletop --workdir=runs/dvr
"""

from nerf.runs import small_configs


def get_config():
    config = small_configs.surface(
        {"name": "nerf.geometry.occupancy:Occupancy"}, quantity="logit", scale=10.0
    )
    config.model.renderer = {"name": "nerf.rendering.surface:Surface", "softness": 5.0}
    config.losses.silhouette = {"name": "nerf.losses.silhouette:Silhouette", "weight": 0.1}
    return config
