"""The run folder: write, read, resume, checkpoints, provenance and the lock."""
