"""Train a group of points side by side: updates, validation, probes, checkpoints, results."""
