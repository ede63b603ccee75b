"""Where to sample a ray: spaces, samplers along the ray, and the occupancy grid."""
