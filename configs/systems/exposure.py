"""The fast config with an affine colour map per training photo, for varying exposure.

Paper: Rematas et al., Urban Radiance Fields, 2111.14643, section 4.2.
Expect: less fog if exposure differs between photos; score such runs by their colour-corrected PSNR.
  If exposure is constant it gains nothing: 23.1 dB colour-corrected on masked photos of a museum
  object, with and without it.
Time: as configs/ngp.py.
Command: nerf train --config=configs/systems/exposure.py --scene=SCENE \
  --workdir=runs/exposure --max_seconds=180
"""

from nerf.runs.config_files import read_config


def get_config():
    config = read_config("ngp")
    config.model.exposure = {"name": "nerf.rendering.exposure:AffineColour"}
    config.optimizer.groups.exposure = {"learning_rate": 1e-3}
    return config
