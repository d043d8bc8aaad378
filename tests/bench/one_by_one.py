"""(c) Bare torch.nn, its fused layers, one network after the other without probes / one group with
the default probes.
"""

from __future__ import annotations

from tests.bench.figure import Found, Goal, TrialRequest
from tests.bench.plain_torch import Fused, compare

TITLE = "torch.nn one by one, no probes / one group with default probes"
GOALS = {"rnn": Goal(least=2.5), "gru": Goal(least=3), "lstm": Goal(least=1)}
REPEATS = 2


def measure(asked: TrialRequest, repeat: int) -> Found:
    return compare(Fused, False, 2, GOALS, asked, repeat)
