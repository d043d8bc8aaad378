"""What several trackers need of a stored point."""
