"""Dataset formats, one module each: detect a scene folder and load it as a `Scene`."""
