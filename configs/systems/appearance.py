"""The fast config with a latent code per training photo, on which colours depend.

Paper: Martin-Brualla et al., NeRF in the Wild, 2008.02268, section 4.1, without its transient
  objects.
Expect: held-out views are rendered with the mean code; score such runs by their colour-corrected
  PSNR. On 16 pictures of 32x32 pixels of the toybox, 0.6 to 1 times as bright as the scene, 29.0 dB
  with codes and 28.2 dB without, after 600 steps of 512 rays with a small grid and one seed; 35.7
  and 35.1 dB on the training pictures, as view-dependent colours explain so few of them too. Not
  measured on photos. Unlike an affine colour map (configs/systems/exposure.py), a code can change
  the light of a part of the scene.
Time: as configs/ngp.py.
Command: nerf train --config=configs/systems/appearance.py --scene=SCENE \
  --workdir=runs/appearance --max_seconds=180
"""

from nerf.runs.config_files import read_config

CODE_FEATURES = 16


def get_config():
    config = read_config("ngp")
    config.model.codes = {"name": "nerf.rendering.codes:ImageCodes", "features": CODE_FEATURES}
    config.model.stages.main.field.code_features = CODE_FEATURES
    config.optimizer.groups.codes = {"learning_rate": 1e-2}
    return config
