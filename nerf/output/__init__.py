"""Make videos, pictures, and points with cameras from trained runs."""
