"""A stored network as a folder of its own, with its card and its code."""
