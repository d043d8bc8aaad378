"""(d) The loop over time steps that true hidden gradients otherwise need, one network after the
other, with the same probes / one group with them.
"""

from __future__ import annotations

from tests.bench.figure import Found, Goal, TrialRequest
from tests.bench.plain_torch import Stepwise, compare

TITLE = "per-step loop with the default probes / one group with them"
GOALS = dict.fromkeys(("rnn", "gru", "lstm"), Goal(least=8))
REPEATS = 2


def measure(asked: TrialRequest, repeat: int) -> Found:
    return compare(Stepwise, True, 1, GOALS, asked, repeat)
