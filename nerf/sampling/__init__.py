"""Where to sample a ray: spaces, samplers along the ray, and the occupancy grid.

A sampler is a callable `sampler(previous, shape, keys) -> s`. It returns the increasing edges (*b, n + 1) in [0, 1] of
n intervals on each of `shape` (*b) rays; the space maps them to distances. `previous` is (s, weights) of the previous
stage, or None. `keys` (*b) has one random key per ray, so that the jitter of a ray does not depend on how a batch is
split over devices; None means deterministic.
"""
