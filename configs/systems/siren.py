"""SIREN: sine activations, without an encoding.

Paper: Sitzmann et al., Implicit Neural Representations with Periodic Activation Functions,
  2006.09661.
Expect: 20.0 dB on the validation views of data/tabletop after 300 steps; 11.2 at 3x the learning
  rate, 20.2 at 0.3x.
Time: minutes on two CPU cores.
Command: nerf train --config=configs/systems/siren.py --scene=data/tabletop \
  --workdir=runs/siren
"""

from nerf.runs import small_configs


def get_config():
    config = small_configs.composed(
        small_configs.POINTS,
        {"name": "nerf.networks.siren:Siren", "width": 64, "depth": 4, "omega": 30.0},
    )
    config.optimizer.learning_rate = 2e-3
    return config
