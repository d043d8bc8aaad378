"""Block sizes that keep the working set of the compiled kernels in the cache."""

from __future__ import annotations

LANES = 16  # batches are padded to a multiple of this: whole vectors of every dtype
PANEL = 64  # examples that go through all steps together before the next ones start
STRETCH = 512  # examples × steps summed at once into the weight gradient
# padding after rows of a stretch: rows a power of two apart would evict each other from the cache
GAP = 16
