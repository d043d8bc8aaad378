"""What training costs, so that networks that do the same arithmetic cost the same."""

from __future__ import annotations

import pandas as pd

from reports.data.study import Study
from reports.statistics.survival import trained_updates

SIZE = ("task", "cell", "readout", "depth", "hidden", "batch", "steps", "params")
# Factors whose levels differ in weights and steps, not in the arithmetic of an update.
SAME_WORK = ("initializer", "weights", "clip", "optimizer", "schedule", "average", "updates")


def work_factors(study: Study) -> list[str]:
    """Factors whose levels differ in the arithmetic of an update."""
    return [key for key in study.factors if key.split(".")[0] not in SAME_WORK]


def with_cost(study: Study, points: pd.DataFrame) -> pd.DataFrame:
    """Points with column `cost` in seconds: the updates made times seconds per update.

    These are the mean over all stored points that do the same arithmetic: a point's own seconds
    are a share of the time of its group, which holds networks of several arms, and the first group
    of a worker also compiles. NaN without seconds.
    """
    every = study.stored
    keys = dict.fromkeys([*SIZE, *work_factors(study)])
    work = [every[key].astype(str) for key in keys]
    known = every["seconds"].notna()
    per_update = [
        values.astype(float).where(known).groupby(work).transform("sum")
        for values in (every["seconds"], trained_updates(every))
    ]
    rate = (per_update[0] / per_update[1]).where(known).set_axis(every["id"])
    return points.assign(cost=points["id"].map(rate) * trained_updates(points))
