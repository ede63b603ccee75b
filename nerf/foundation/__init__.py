"""Errors, instantiating configs, pytrees, atomic files, progress: what at least three folders use."""
