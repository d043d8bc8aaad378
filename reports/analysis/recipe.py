"""The recommended arm, arms that are as good, and how to train one of its points again."""

from __future__ import annotations

import math
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import special

from reports.analysis.arms import summary, with_counted
from reports.analysis.costs import with_cost
from reports.analysis.typed import typed_words
from reports.data.study import Problem, Study
from reports.data.test_set import weighted_noise
from reports.formatting import known
from study.design.ranking import ranking
from study.records import CHOICES, OWN, SIZES
from study.store.privacy import private

# Keys of the study's command that the command of one point sets or leaves out.
DROPPED = ("name", "plan", "reprobe", "seed", "store.folder")

NOTHING_LEARNED = (
    "No recipe is recommended: the networks of every recipe are stuck at the memoryless baseline,"
    " lost,"
    " or on average no better than it on validation, so nothing has been learned that a recipe"
    " could be chosen by."
)


CLEARLY_FASTER = 0.8  # of the first arm's seconds


@dataclass(frozen=True)
class Recipe:
    """Arms in the order of study.design.ranking, which test scores do not influence.

    `ranked`: what puts each arm where it is (columns of `ranking`); `close`: arms whose test score
    cannot be told apart from the first's, seeds and test examples being a sample; None if unknown.
    """

    order: Sequence[int]
    close: Sequence[int] | None
    ranked: pd.DataFrame

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

    @property
    def learned(self) -> bool:
        """Whether the first arm learned anything (study.design.ranking)."""
        return bool(self.ranked.loc[self.first, "learned"])

    @property
    def chosen_by(self) -> str:
        """What puts the first arm ahead of the second, for a sentence."""
        if len(self.order) < 2:
            return "it is the only one"
        one, other = (self.ranked.loc[arm] for arm in self.order[:2])
        if one["learned"] and not other["learned"]:
            return "being the only one that learned anything"
        if other["behind"]:
            return "validation score"
        if (
            one["ended"] == other["ended"] == 1
            and one["sooner"] != other["sooner"]
            and all(one[name] == other[name] for name in ("lost", "solved"))
        ):
            ended = "its networks and the next recipe's ended when they met it"
            return f"meeting the rule soonest, as {ended}"
        for column, words in (
            ("lost", "the fewest lost seeds"),
            ("solved", "the most seeds solved at the end"),
            ("validation", "validation score"),
        ):
            if one[column] != other[column]:
                return words
        ties = "with which it ties in lost seeds, solved seeds and validation score"
        if known(one["sooner"]) and one["sooner"] != other["sooner"]:
            return f"meeting the rule sooner than the next recipe, {ties}"
        return f"being listed before the next recipe, {ties}"


def recipe(study: Study, problem: Problem | None = None, *, level: float = 0.95) -> Recipe | None:
    """The order of all arms, or of those of one problem; None if there is no validation score.

    An arm is close if |difference of mean test scores| lies within an interval at level 1 − (1 −
    level)/(arms − 1) (Bonferroni): t with the spread over seeds pooled over arms, since two arms of
    three seeds alone would show nothing, and the noise of the common test set.
    """
    points = with_counted(study)
    points = points if problem is None else problem.of(points)
    ranked = ranking(points, higher_is_better=study.higher_is_better)
    order = [int(arm) for arm in ranked.index]
    if not order:
        return None
    by_arm = points.groupby("arm")["counted"].agg(["mean", "size", "var"])
    df = int((by_arm["size"] - 1).sum())
    if df < 1 or len(order) < 2:
        return Recipe(order, None, ranked)
    spread = math.sqrt(float((by_arm["var"].fillna(0) * (by_arm["size"] - 1)).sum()) / df)
    tail = (1 - level) / 2 / (len(order) - 1)
    t, z = float(special.stdtrit(df, 1 - tail)), float(special.ndtri(1 - tail))
    first = by_arm.loc[order[0]]

    def within(arm: int) -> bool:
        other = by_arm.loc[arm]
        seeds = t * spread * math.sqrt(1 / first["size"] + 1 / other["size"])
        noise = weighted_noise(study, {order[0]: 1.0, arm: -1.0})
        half = math.hypot(seeds, z * noise) if math.isfinite(noise) else seeds
        return bool(abs(first["mean"] - other["mean"]) <= half)

    return Recipe(order, [arm for arm in order[1:] if within(arm)], ranked)


def recipes(study: Study) -> list[tuple[Problem, Recipe]]:
    """What each problem's arms are ranked as; problems without a validation score are left out."""
    found = [(problem, recipe(study, problem)) for problem in study.problems]
    return [(problem, one) for problem, one in found if one]


def leaders(study: Study) -> list[tuple[str, pd.Series]]:
    """(name of the problem, row of arms.summary) of the recommended arm of each problem.

    Left out are problems on which no arm learned anything, and those of one arm, which leave
    nothing to choose.
    """
    arms = summary(study).set_index("arm")
    found = recipes(study)
    return [
        (problem.name, arms.loc[one.first])
        for problem, one in found
        if one.learned and (len(one.order) > 1 or len(study.problems) == 1)
    ]


def most_often_first(
    study: Study, found: Sequence[tuple[Problem, Recipe]]
) -> tuple[dict[str, str], int, int] | None:
    """The choice that is first, or not told apart from the first, in most problems.

    Returns (its levels, in how many problems, of how many in which anything was learned); None if
    two choices share that place.
    """
    arms = study.arms.set_index("arm")
    learned = [one for _, one in found if one.learned]
    times = Counter(
        tuple(str(arms.loc[arm, key]) for key in study.same_problem)
        for one in learned
        for arm in (one.first, *(one.close or ()))
    )
    top = times.most_common(2)
    if not top or (len(top) > 1 and top[0][1] == top[1][1]):
        return None
    return dict(zip(study.same_problem, top[0][0], strict=True)), top[0][1], len(learned)


def quickest(study: Study, found: Recipe) -> tuple[int, float, float] | None:
    """The arm that trains clearly faster among those as good as the first; its seconds per point,
    and the first's.

    As good: not told apart by test score, with no more seeds lost and no fewer solved at the end.
    """
    ranked, first = found.ranked, found.ranked.loc[found.first]
    good = [
        arm
        for arm in found.close or ()
        if ranked.loc[arm, "lost"] <= first["lost"] and ranked.loc[arm, "solved"] >= first["solved"]
    ]
    among = study.stored[study.stored["arm"].isin([found.first, *good])]
    seconds = with_cost(study, among).groupby("arm")["cost"].mean().dropna()
    own = float(seconds.get(found.first, 0.0))
    if not good or not len(seconds) or seconds.min() >= CLEARLY_FASTER * own:
        return None
    return int(seconds.idxmin()), float(seconds.min()), own


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
    kept = [
        word
        for key, word in typed_words(study)
        if key not in settings and key not in DROPPED and not key.startswith("hydra")
    ]
    if study.record.get("experiment") and not any(word.startswith("experiment=") for word in kept):
        kept.append(f"experiment={study.record['experiment']}")
    settings |= {key: config[key] for key in SIZES if key in settings and key in config}
    untrue = _only_shown(config, grid["labels"])
    own = [f"{key}={_typed(value)}" for key, value in settings.items() if key not in untrue]
    return private(
        shlex.join(["python", "-m", "study", *kept, *own, f"seed={grid['seed']}", "name=again"])
    )


def _only_shown(config: dict[str, Any], labels: Mapping[str, Any]) -> set[str]:
    """Labels for the page alone: a model or trainer of the reader's own has no such level."""
    found = {key for key in CHOICES if labels.get(key) == OWN}
    if str((config.get("initializer") or {}).get("_target_")).endswith(".Own"):
        found.discard("initializer")
    if config.get("model"):
        found.add("cell")
    if config.get("trainer"):
        found.add("optimizer.lr")
    return found


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
