"""Points of at most .3 s of training each (digits row by row, 100 updates): a script a point / this
program, with everything.
"""

from __future__ import annotations

from dataclasses import replace

from tests.bench.commands import default_study, ratio_to
from tests.bench.figure import Found, Goal, TrialRequest, Value

TITLE = "short points: a script a point / this program with probes, report, W&B"
GOAL = Goal(least=10)
UPDATES, EVERY = 100, 25


def measure(asked: TrialRequest, repeat: int) -> Found:
    work = replace(default_study(), form="row", updates=UPDATES, every=EVERY)
    them, us = ratio_to("short_points", "scripts", work, asked, repeat)
    return {f"wall time of {them.whole} points": Value.ratio(them.scaled, us.seconds, GOAL)}
