"""Test the systems of configs/systems: each claim against its control, in seconds on one core."""
