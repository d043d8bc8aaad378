"""A Hydra sweeper that tunes every arm of a factorial with the same budget, on validation data."""
