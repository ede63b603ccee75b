"""Meshes of trained fields: extract, clean, colour, measure, draw and write them."""
