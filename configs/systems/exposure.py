"""The fast config, with an affine map of colours for every training photo: captures whose exposure was not locked.

Paper: Rematas et al., Urban Radiance Fields, 2111.14643, section 4.2.
Expect: less fog where photos disagree; score such runs by their PSNR with colours corrected. Where photos agree it
  gives nothing: 23.1 dB with colours corrected on masked photos of a museum's object, with it and without.
Time: as configs/ngp.py.
Command: python train.py --config=configs/systems/exposure.py --scene=SCENE --workdir=runs/exposure --max_seconds=180
"""

from configs import ngp


def get_config():
    config = ngp.get_config()
    config.model.exposure = {"name": "nerf.rendering.exposure:AffineColour"}
    config.optimizer.groups.exposure = {"learning_rate": 1e-3}
    return config
