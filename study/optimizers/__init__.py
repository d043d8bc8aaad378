"""Optimizers, one per file; their hyperparameters may differ between the members of a group."""
