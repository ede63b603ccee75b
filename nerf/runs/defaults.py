"""Defaults of every config. This is not a complete config: it has no model stages."""

from ml_collections import ConfigDict


def base() -> ConfigDict:
    """Return the values that all configs share."""
    config = ConfigDict()
    config.seed = 0
    config.steps = 10_000  # optimizer steps
    # Steps per jitted call, which change the result in its last bits at most. `steps`, `log_every`,
    # `save_every` and `eval_every` must be multiples of it. None: by the device, 10 on a CPU.
    config.steps_per_call = None
    # Rays per step, over all devices. None: by the device; see nerf/foundation/devices.py.
    config.batch_size = 4096
    config.log_every = 100
    config.save_every = 1000
    # Newest checkpoints to keep on disk. With eval_split = "val" the best scored one is kept too.
    config.keep = 2
    config.max_skipped = 0  # steps with non-finite values to skip; one more stops the run
    config.eval_every = 0  # also evaluate every `eval_every` steps; 0: only at the end
    config.eval_times = 0  # scorings spread over the run; a slow field gets fewer, or fewer views
    # "val" holds out training views to choose settings, so that "test" stays unseen; "none" trains
    # on all views.
    config.eval_split = "test"
    config.chunk = None  # rays per rendering call; None: by the device that renders
    config.background = (1.0, 1.0, 1.0)  # sRGB behind transparent pixels
    # Train with a random background for each ray, so that no colour can replace missing matter.
    config.random_background = False
    config.scene = ConfigDict({"name": "nerf.scenes:load", "max_side": 1024})
    config.spaces = ConfigDict(
        {
            "bounded": {"name": "nerf.sampling.spaces:Box"},
            "unbounded": {"name": "nerf.sampling.spaces:Contracted"},
        }
    )
    config.model = ConfigDict({"name": "nerf.rendering.model:Model"})
    config.model.geometry = {"name": "nerf.geometry.density:VolumeDensity"}
    config.losses = ConfigDict(
        {"colour": {"name": "nerf.losses.photometric:SquaredError", "weight": 1.0}}
    )
    # Applies only to scenes with depth.
    config.losses.depth = {"name": "nerf.losses.depth:DepthError", "weight": 0.01}
    config.optimizer = ConfigDict({"name": "nerf.training.optimizers:adam", "learning_rate": 5e-4})
    config.schedule = ConfigDict({"name": "nerf.training.optimizers:Cosine", "final": 0.05})
    config.trainer = ConfigDict({"name": "nerf.training.step:prepare"})  # makes the jitted step
    return config
