"""Dataset formats, one module each: read a scene folder and return a `Scene`."""
