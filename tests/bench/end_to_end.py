"""The default study, from the command to the report: wall seconds, and where they go.

The run is the one that others are compared with.
"""

from __future__ import annotations

from tests.bench.commands import default_study, ours
from tests.bench.figure import Found, Goal, TrialRequest, Value

TITLE = "digits end to end (make sweep after set-up)"
GOAL = Goal(most=120)


def measure(asked: TrialRequest, repeat: int) -> Found:
    run = ours(default_study().thinned(asked.share, repeat), repeat)
    found = {f"all, {run.points} points": Value(run.seconds, "s", GOAL)}
    found |= {f"  {phase}": Value(seconds, "s") for phase, seconds in run.phases.items()}
    return found | {f"  CPU of {kind}": Value(seconds, "s") for kind, seconds in run.cpu.items()}
