"""Bare torch.nn, its fused layers, one network after the other without probes / one group with the default probes."""

from __future__ import annotations

from collections.abc import Callable

from tests.bench.plain_torch import Fused, compare

TITLE = "torch.nn one by one, no probes / one group with default probes"
GOAL = "rnn ≥ 2.5, gru ≥ 3, lstm ≥ 1"


def measure(repeats: int, members: int, share: float, say: Callable[[str], None]) -> dict[str, list[tuple[float, float]]]:
    return compare(Fused, False, repeats, members, share, say)
