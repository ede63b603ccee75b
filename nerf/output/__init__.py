"""What leaves the program: videos, and points with cameras for other programs."""
