"""Fair tests of the systems in configs/systems: each claim against its control, in seconds on one core."""
