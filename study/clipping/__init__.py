"""Clip rules, one a file: what is done to gradients before the update."""
