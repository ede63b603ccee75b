"""What every config has. Not a config by itself: it names no model."""

from ml_collections import ConfigDict


def base() -> ConfigDict:
    config = ConfigDict()
    config.seed = 0
    config.steps = 10_000  # of the optimizer
    config.steps_per_call = 10  # taken in one jitted call, which first refreshes the occupancy grid; divides the others
    config.batch_size = 4096  # rays a step, over all devices
    config.log_every = 100
    config.save_every = 1000
    config.keep = 2  # newest checkpoints that stay on disk; with eval_split = "val" also the best of those scored
    config.max_skipped = 0  # steps that may be left out for a number in them that is not finite; more stop the run
    config.eval_every = 0  # evaluate every so many steps too, not only at the end; 0: only at the end
    config.eval_times = 0  # scorings spread over the run; a slow field gets fewer, or on fewer views
    config.eval_split = "test"  # "val" holds training views out for choosing settings, so that "test" stays unseen
    config.chunk = 4096  # rays rendered at once
    config.background = (1.0, 1.0, 1.0)  # sRGB behind transparent pixels
    config.random_background = False  # while training: another for every ray, so that no colour stands for a hole
    config.scene = ConfigDict({"name": "nerf.scenes:load", "max_side": 1024})
    config.spaces = ConfigDict(
        {"bounded": {"name": "nerf.sampling.spaces:Box"}, "unbounded": {"name": "nerf.sampling.spaces:Contracted"}}
    )
    config.model = ConfigDict({"name": "nerf.rendering.model:Model"})
    config.model.opacity = {"name": "nerf.geometry.density:VolumeDensity"}
    config.losses = ConfigDict({"colour": {"name": "nerf.losses.photometric:SquaredError", "weight": 1.0}})
    config.losses.depth = {
        "name": "nerf.losses.depth:DepthError",
        "weight": 0.01,
    }  # of scenes that come with depth alone
    config.optimizer = ConfigDict({"name": "nerf.training.optimizers:adam", "learning_rate": 5e-4})
    config.schedule = ConfigDict({"name": "nerf.training.optimizers:Cosine", "final": 0.05})
    config.trainer = ConfigDict({"name": "nerf.training.step:prepare"})  # makes the jitted step
    return config
