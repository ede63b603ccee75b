"""Turn photos or a video into a scene folder, with poses estimated by COLMAP."""
