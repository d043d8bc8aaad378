"""Optimizers over members, one a file: each number may differ between the members of a group."""
