"""Published systems, one config each.

They share the settings of nerf/runs/small_configs.py and differ only in what their modules set.
"""
