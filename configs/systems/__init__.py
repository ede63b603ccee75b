"""Published systems, one config each.

They share the settings of configs/systems/base.py and differ only in what their modules set.
"""
