"""The recommended arm: first by validation, arms that are as good, and how to reproduce a point."""

from __future__ import annotations

import math
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from reports.analysis.arms import summary, with_counted
from reports.data.study import Study
from reports.formatting import private
from study.design.ranking import best_first, counted

# Keys of the study's command that the command of one point sets or leaves out.
DROPPED = ("name", "plan", "reprobe", "seed", "store.folder")


@dataclass(frozen=True)
class Recipe:
    """Arms in order of mean validation score.

    `close`: arms whose test score is indistinguishable from the first's; None if unknown.
    """

    order: Sequence[int]
    close: Sequence[int] | None
    validation: dict[int, float]

    @property
    def first(self) -> int:
        return self.order[0]

    @property
    def undecided(self) -> bool:
        """Whether every other arm is indistinguishable from the first."""
        return (
            self.close is not None
            and len(self.order) > 1
            and len(self.close) == len(self.order) - 1
        )


def recipe(study: Study, task: str | None = None, *, level: float = 0.95) -> Recipe | None:
    """The order of all arms, or of those of one task; None if there is no validation score.

    An arm is close if |difference of mean test scores| lies within a t interval at level 1 − (1 −
    level)/(arms − 1) (Bonferroni). The spread over seeds is pooled over arms, since two arms of
    three seeds alone would show nothing.
    """
    points = with_counted(study)
    points = points if task is None else points[points["task"] == task]
    order = best_first(points, higher_is_better=study.higher_is_better)
    if not order:
        return None
    validation = (
        counted(points, "val_score", higher_is_better=study.higher_is_better)
        .groupby(points["arm"])
        .mean()
        .to_dict()
    )
    by_arm = points.groupby("arm")["counted"].agg(["mean", "size", "var"])
    df = int((by_arm["size"] - 1).sum())
    if df < 1 or len(order) < 2:
        return Recipe(order, None, validation)
    spread = math.sqrt(float((by_arm["var"].fillna(0) * (by_arm["size"] - 1)).sum()) / df)
    edge = float(stats.t.ppf(1 - (1 - level) / 2 / (len(order) - 1), df)) * spread
    first = by_arm.loc[order[0]]
    close = [
        arm
        for arm in order[1:]
        if abs(first["mean"] - by_arm.loc[arm, "mean"])
        <= edge * math.sqrt(1 / first["size"] + 1 / by_arm.loc[arm, "size"])
    ]
    return Recipe(order, close, validation)


def leaders(study: Study) -> list[tuple[str | None, pd.Series]]:
    """(task, row of arms.summary) of the first arm by validation in each task; task None if there
    is one.
    """
    arms = summary(study).set_index("arm")
    found = {task: recipe(study, task) for task in study.by_task}
    return [(task, arms.loc[one.first]) for task, one in found.items() if one]


def point_of(study: Study, arm: int) -> str | None:
    """Id of the arm's point whose test score is nearest to the mean: typical, not best."""
    points = with_counted(study)
    own = points[(points["arm"] == arm) & points["counted"].notna()]
    if own.empty:
        return None
    away = np.abs(own["counted"].to_numpy(dtype=float) - float(own["counted"].mean()))
    return str(own["id"].iloc[int(np.argmin(away))])


def command(study: Study, id: str, config: dict[str, Any]) -> str:
    """A command that trains this point again as a study of its own.

    The study's command, with the point's settings in place of its factors.
    """
    grid = next(point for point in study.declaration["grid"] if str(point["id"]) == id)
    settings = {**grid["labels"]}
    rate = (config.get("optimizer") or {}).get("lr")
    if rate is not None:
        settings["optimizer.lr"] = rate
    typed = shlex.split(str(study.launches[-1].get("command", ""))) if study.launches else []
    kept, skip = [], True
    for word in typed[3:] if typed[:3] == ["python", "-m", "study"] else typed[1:]:
        key = word.partition("=")[0].lstrip("+~").split("@")[0]
        if skip and word in ("-m", "--multirun"):
            continue
        if key in settings or key in DROPPED or key.startswith("hydra"):
            continue
        kept.append(word)
    if study.record.get("experiment") and not any(word.startswith("experiment=") for word in kept):
        kept.append(f"experiment={study.record['experiment']}")
    own = [f"{key}={_typed(value)}" for key, value in settings.items()]
    return private(
        shlex.join(["python", "-m", "study", *kept, *own, f"seed={grid['seed']}", "name=again"])
    )


def folded(line: str, width: int = 92) -> str:
    """A command over several lines, with backslashes, ready to paste."""
    lines = [""]
    for word in shlex.split(line):
        quoted = shlex.quote(word)
        if lines[-1] and len(lines[-1]) + 1 + len(quoted) > width:
            lines.append("")
        lines[-1] += f" {quoted}" if lines[-1] else quoted
    return " \\\n    ".join(lines)


def _typed(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
