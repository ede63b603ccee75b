"""The tiny config with one stage: traced and compiled in half the time, for processes that train to be hurt."""

from configs import tiny


def get_config():
    config = tiny.get_config()
    config.model.order = ("coarse",)
    del config.model.stages["fine"]
    return config
