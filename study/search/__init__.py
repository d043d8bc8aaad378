"""Optuna as a Hydra sweeper: every arm of a factorial tuned with the same budget, on validation
data.
"""
