"""Camera paths for videos: generated, and read from keyframe files of this and other tools."""
