"""Clip rules, one per file: they change the gradients before the update."""
