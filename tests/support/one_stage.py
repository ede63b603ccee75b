"""The tiny config with one stage, for processes to be hurt: half as long to trace and compile."""

from configs import tiny


def get_config():
    config = tiny.get_config()
    config.model.order = ("coarse",)
    del config.model.stages["fine"]
    return config
