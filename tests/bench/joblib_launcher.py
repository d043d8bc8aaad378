"""(a2) The default study by Hydra's joblib launcher, which reuses its workers, no probes / by this
program, with everything.
"""

from __future__ import annotations

from importlib.util import find_spec

from tests.bench.commands import default_study, ratio_to
from tests.bench.figure import Found, Goal, TrialRequest, Value

TITLE = "digits: Hydra's joblib launcher / this program with probes, report, W&B"
GOAL = Goal(least=1.9)


def ready() -> str | None:
    installed = (
        find_spec("hydra_plugins") is not None
        and find_spec("hydra_plugins.hydra_joblib_launcher") is not None
    )
    return (
        None
        if installed
        else "hydra-joblib-launcher is not installed (pip install -c constraints.txt -e '.[dev]')"
    )


def measure(asked: TrialRequest, repeat: int) -> Found:
    them, us = ratio_to("joblib", "joblib", default_study(), asked, repeat)
    return {"wall time of all points": Value.ratio(them.scaled, us.seconds, GOAL)}
