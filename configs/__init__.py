"""One short module per config, each with `get_config()`.

The module docstring gives the paper, the expected result, the time and the command.
"""
