"""Compositing, the volume renderer, the model, and complete images."""
