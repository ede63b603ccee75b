"""Errors, building objects from configs, pytrees, atomic files and progress.

This folder contains only code that at least three other folders use.
"""
