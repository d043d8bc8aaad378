"""Schedules of the learning rate, one per file."""
