"""The loop over time steps that true hidden gradients otherwise need, one network after the other / one group with the default probes."""

from __future__ import annotations

from collections.abc import Callable

from tests.bench.plain_torch import Stepwise, compare

TITLE = "per-step loop with hidden gradients at the same stages / one group with default probes"
GOAL = "≥ 8"


def measure(repeats: int, members: int, share: float, say: Callable[[str], None]) -> dict[str, list[tuple[float, float]]]:
    return compare(Stepwise, True, repeats, members, share, say)
