"""Where to sample a ray: spaces, samplers along the ray, and the occupancy grid.

A sampler is a callable `sampler(previous, shape, keys) -> s`:

  previous  (s, weights) of the previous stage, or None for the first stage
  shape     leading axes *b of the rays
  keys      one random key per ray, (*b), so that the jitter of a ray does not depend on how a batch
            is split over devices; None is deterministic
  s         increasing edges of n intervals on each ray, (*b, n + 1) in [0, 1]

The space maps s to distances along the ray.
"""
