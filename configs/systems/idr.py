"""IDR: a signed distance, seen where a ray first meets its surface.

Paper: Yariv et al., IDR, 2003.09852, without its learned poses.
Expect: 25.6 dB on the validation views of the toybox, set up as in docs/systems.md with 4 cycles
  and without an occupancy grid, after 3,000 steps and with one seed: 24.1 dB inside of the
  solids, whose masks have an intersection over union of 0.98. The median error of depth is 0.4 %,
  that of normals 9 degrees, and gradients differ in length from 1 by 0.09 on average. A scene
  needs images with alpha.
Time: minutes on two CPU cores.
Command: nerf train --config=configs/systems/idr.py --scene=data/tabletop --workdir=runs/idr
"""

from nerf.runs import small_configs


def get_config():
    config = small_configs.surface({"name": "nerf.geometry.signed_distance:SignedDistance"})
    main = config.model.stages.main.field
    # After 600 steps, a smooth network reached 22 dB inside of the solids, and a hash grid at most
    # 17 dB (with a gain of 0.02).
    main.encoding = {"name": "nerf.encodings.fourier:Fourier", "num_freqs": 3}
    main.network = {"name": "nerf.networks.softplus:Softplus", "width": 64, "depth": 4}
    main.features = 32
    main.colour = {"name": "nerf.networks.relu:ReLU", "width": 128, "depth": 2}
    config.steps = 3000
    config.optimizer = {
        "name": "nerf.training.optimizers:adam",
        "learning_rate": 5e-3,
        "eps": 1e-15,
    }
    config.model.renderer = {"name": "nerf.rendering.surface:Surface", "softness": 50.0}
    eikonal = {"name": "nerf.losses.eikonal:Eikonal", "weight": 0.2, "everywhere": True}
    config.losses.eikonal = eikonal
    config.losses.silhouette = {"name": "nerf.losses.silhouette:Silhouette", "weight": 0.3}
    return config
