"""Image metrics, scoring of held-out views, and pose alignment."""
