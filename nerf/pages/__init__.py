"""Pages: one file that flies through a trained field in a browser, without a network."""
