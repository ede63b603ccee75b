"""Check a scene for wrong poses, lenses, copies and blur."""
