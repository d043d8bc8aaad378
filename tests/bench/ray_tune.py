"""(b) The default study by Ray Tune, a CPU a trial, no probes / by this
program, with everything.
"""

from __future__ import annotations

from importlib.util import find_spec

from tests.bench.commands import default_study, ratio_to
from tests.bench.figure import Found, Goal, TrialRequest, Value

TITLE = "digits: Ray Tune / this program with probes, report, W&B"
GOAL = Goal(least=3.5)


def ready() -> str | None:
    return (
        None
        if find_spec("ray") is not None
        else "Ray is not installed (pip install -c constraints.txt -e '.[dev]')"
    )


def measure(asked: TrialRequest, repeat: int) -> Found:
    them, us = ratio_to("tune", "tune", default_study(), asked, repeat)
    return {"wall time of all points": Value.ratio(them.scaled, us.seconds, GOAL)}
