"""Gradient health from measured norms: profiles by lag, states, verdicts."""
