"""Is this scene right? Find wrong poses, lenses, copies and blur, with the reason and the fix."""
