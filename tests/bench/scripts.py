"""(a1) The default study by a script started once a point, as many at a time as cores, W&B offline,
no probes / by this program, with everything.
"""

from __future__ import annotations

from tests.bench.commands import default_study, ratio_to
from tests.bench.figure import Found, Goal, TrialRequest, Value

TITLE = "digits: a script a point / this program with probes, report, W&B"
GOAL = Goal(least=4.5)


def measure(asked: TrialRequest, repeat: int) -> Found:
    them, us = ratio_to("scripts", "scripts", default_study(), asked, repeat)
    return {"wall time of all points": Value.ratio(them.scaled, us.seconds, GOAL)}
