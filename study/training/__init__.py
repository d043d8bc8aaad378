"""Train a group of points: members side by side, updates, validation, probes, checkpoints, results."""
