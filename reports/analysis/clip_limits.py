"""Gradient norms that a study's clip rules shorten to, as its stored configurations have them."""

from __future__ import annotations

import pandas as pd

from reports.data.study import Study
from reports.formatting import known
from study.records import StudyError

RULE = "norm.Norm"  # other rules judge by something else than the norm of the whole gradient
MOST_READ = 60  # arms whose configurations are read
MOST = 3  # limits that a figure can show


def clip_limits(study: Study, points: pd.DataFrame) -> list[float]:
    """The norms that these points' rules clip to; [] where they have none, or too many."""
    found = set()
    for id in points.drop_duplicates("arm")["id"].head(MOST_READ):
        try:
            rule = study.store.config(str(id)).get("clip") or {}
        except StudyError:
            continue
        threshold = rule.get("threshold")
        if str(rule.get("_target_", "")).endswith(RULE) and known(threshold):
            found.add(float(threshold))
    return sorted(found) if len(found) <= MOST else []
