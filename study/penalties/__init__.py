"""Penalties, one per file: terms that are added to the loss of updates."""
