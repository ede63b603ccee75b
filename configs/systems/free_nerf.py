"""FreeNeRF: frequencies that are enabled during training, a few features at a time.

Paper: Yang et al., FreeNeRF, 2303.07418; its frequency mask, on points and directions.
Expect: fewer floaters than configs/systems/positional.py with few views. 17.5 dB on the validation
  views of data/tabletop after 300 steps.
Time: two to three minutes on a CPU core.
Command: nerf train --config=configs/systems/free_nerf.py --scene=data/tabletop \
  --workdir=runs/free_nerf
"""

from nerf.runs import small_configs


def get_config():
    window = {"name": "nerf.encodings.annealed:FrequencyMask"}
    annealed = {
        "name": "nerf.encodings.annealed:Annealed",
        "window": window,
        "start": 0.0,
        "end": 0.9,
    }
    config = small_configs.deep({**annealed, "encoding": small_configs.FOURIER})
    config.model.stages.main.field.direction_encoding = {
        **annealed,
        "encoding": small_configs.DIRECTIONS,
    }
    return config
