"""Export from trained runs: videos, pictures, and points with cameras for other programs."""
