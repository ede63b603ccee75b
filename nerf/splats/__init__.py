"""Gaussian splats: a trained field as flat Gaussians on its surfaces, for other renderers."""
