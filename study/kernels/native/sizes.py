"""Sizes of what the compiled kernels have in the cache at once."""

from __future__ import annotations

LANES = 16  # a batch is filled up to a multiple of this: whole vectors of every kind
PANEL = 64  # examples that go through all steps together, the next ones after them
STRETCH = 512  # examples × steps that one sum of the weights' gradient takes
# values between rows of a stretch: rows a power of two apart would push one another out of the
# cache
GAP = 16
