"""Numerics shared by pieces and training: products, norms, random streams, stages."""
