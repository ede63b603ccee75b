"""Configs: one short module each, with `get_config()`. Its docstring tells paper, expected result, time and command."""
