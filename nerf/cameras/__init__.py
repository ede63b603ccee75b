"""Cameras, rays, lenses and the refinement of camera poses."""
