"""Compositing, the volume renderer, the model, and whole images."""
