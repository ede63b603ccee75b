"""From photos or a video to a scene, and what may be wrong with a scene that is there."""
