"""A small NeRF for tests: coarse and fine stages, 2 layers of 32, 16 + 16 samples.

Paper: none; it uses the parts of configs/nerf.py.
Expect: a blurred image; it shows that the program works, not how well.
Time: half a minute on two CPU cores.
Command: nerf train --config=configs/tiny.py --scene=data/tabletop --workdir=runs/tiny
"""

from nerf.runs.config_files import read_config


def get_config():
    config = read_config("nerf")
    config.steps = 200
    config.steps_per_call = None
    config.batch_size = 256
    config.save_every = 100
    for stage in config.model.stages.values():
        stage.sampler.num_samples = 16
        stage.field.update({"width": 32, "depth": 2, "skip": 1})
        stage.field.encoding.num_freqs = 4
        stage.field.direction_encoding.num_freqs = 2
    config.optimizer.learning_rate = 5e-3
    return config
