"""Gradient health from measured norms: profiles by lag, states, verdicts (GRADIENT_HEALTH.md,
section 4).
"""
