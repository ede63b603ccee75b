"""Camera paths for videos: generated, or read from keyframe files of this and other tools."""
