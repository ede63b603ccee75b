"""Check a scene: find wrong poses, lenses, copies and blur, with the reason and the fix."""
