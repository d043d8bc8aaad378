"""Arms in numbers: counts over seeds, and scores with intervals.

No arm is represented by its best seed.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from reports.data.study import MISSING, Study
from reports.formatting import (
    OUTCOME_SYMBOLS,
    VERDICT_SYMBOLS,
    counts,
    percent,
    plus_minus,
    with_ends,
)
from reports.statistics import Estimate, agreed_word, clamp, count, wilson
from reports.statistics.bootstrap import ENOUGH, score_interval
from study.design.outcomes import lost
from study.design.ranking import DIVERGED, counted
from study.records import OUTCOMES, VERDICTS

# What a lost point counts with, for sentences.
WORST = "the memoryless baseline, or their own score where that is worse"
NO_RULE_HERE = "no rule"  # for solved, in tables
OWN_SCORE = "their own score, and in no mean if they have none, as no baseline was recorded"
DRAWS, SEED = 2000, 2026  # of the bootstrap: the same store gives the same interval


def worst_words(study: Study) -> str:
    """What lost points count with."""
    return WORST if not study.adopted or study.recorded("baseline") else OWN_SCORE


def with_counted(study: Study) -> pd.DataFrame:
    """Stored points with columns `lost` and `counted`: the score, or the memoryless baseline (or
    worse) if lost, that is diverged or silently diverged.
    """
    points = study.stored
    return points.assign(
        lost=lost(points), counted=counted(points, "score", higher_is_better=study.higher_is_better)
    )


def summary(study: Study) -> pd.DataFrame:
    """One row per arm: its levels, label, counts, verdicts and outcomes, word, score and scores.

    `declared`, `n` (stored), `lost`, `diverged`, `missing`, `failed` are counts of points; `score`
    is an Estimate.
    """
    made: pd.DataFrame = study.cached("summary of arms", lambda: _summary(study))
    return made.copy()


def _summary(study: Study) -> pd.DataFrame:
    points = with_counted(study)
    rows = []
    for arm in study.arms.itertuples(index=False):
        grid, own = study.grid[study.grid["arm"] == arm.arm], points[points["arm"] == arm.arm]
        verdicts = count(own["verdict"].tolist(), VERDICTS)
        statuses = grid["status"].value_counts()
        rows.append(
            {
                "arm": arm.arm,
                "declared": len(grid),
                "n": len(own),
                "lost": int(own["lost"].sum()),
                **{
                    status: int(statuses.get(status, 0)) for status in (DIVERGED, MISSING, "failed")
                },
                "verdicts": verdicts,
                "word": agreed_word(verdicts),
                "outcomes": count(own["outcome"].tolist(), OUTCOMES),
                "score": clamp(
                    score_interval(
                        own["counted"].tolist(),
                        own["score_se"].tolist(),
                        _by_example(study, own),
                        draws=DRAWS,
                        seed=SEED,
                    ),
                    *study.score_range,
                ),
                "scores": own["counted"].tolist(),
            }
        )
    return study.arms.merge(pd.DataFrame(rows), on="arm")


def _by_example(study: Study, own: pd.DataFrame) -> np.ndarray | None:
    """Results [seeds, examples] of an arm for a bootstrap over both, or None.

    None with too few seeds, or if a point is lost and so counts with another score.
    """
    if len(own) < ENOUGH or own["lost"].any():
        return None
    test = study.table("test")
    rows = test[test["id"].isin(own["id"])].pivot_table(
        index="id", columns="example", values="value", observed=True
    )
    return rows.to_numpy(dtype=float) if len(rows) == len(own) else None


def has_rule(study: Study, arm: int) -> bool:
    """Whether the task of an arm has a rule for solved."""
    return bool(study.has_rule(study.grid[study.grid["arm"] == arm]).all())


def solved_words(study: Study, row: pd.Series) -> str:
    """How many of an arm's networks end solved, of how many. `row`: of summary."""
    if not has_rule(study, int(row.get("arm", row.name))):
        return NO_RULE_HERE
    return f"{row['outcomes'].get('solved', 0)}/{row['n']}"


def ranked(study: Study, arms: pd.DataFrame) -> pd.DataFrame:
    """Arms that have a score, best mean score first."""
    known = arms[[one.n > 0 and np.isfinite(one.value) for one in arms["score"]]]
    means = known["score"].map(lambda one: one.value)
    return known.loc[means.sort_values(ascending=not study.higher_is_better, kind="stable").index]


def verdict_words(row: pd.Series) -> tuple[str, str]:
    """(text with symbol, CSS class): one word if enough seeds agree, else counts."""
    tally: dict[str, int] = row["verdicts"]
    if not tally:
        return "no verdict", ""
    leading = next(iter(tally))
    if row["word"] == "mixed":
        return f"{VERDICT_SYMBOLS['mixed']} seeds differ: {counts(tally)}", "v-mixed"
    kind = leading if len(tally) == 1 or row["word"] else "mixed"
    text = counts(tally) if len(tally) > 1 else f"{leading} {tally[leading]}/{row['n']}"
    return f"{VERDICT_SYMBOLS[kind]} {text}", f"v-{kind}"


def short_words(row: pd.Series) -> str:
    """The verdict for small boxes: one word if all seeds agree, else counts."""
    tally: dict[str, int] = row["verdicts"]
    if len(tally) <= 1:
        return verdict_words(row)[0]
    words = ", ".join(f"{name} {n}" for name, n in tally.items())
    return f"{VERDICT_SYMBOLS[next(iter(tally))]} {words}"


def outcome_words(row: pd.Series) -> str:
    tally: dict[str, int] = row["outcomes"]
    if not tally:
        return "no outcome"
    leading = next(iter(tally))
    text = counts(tally) if len(tally) > 1 else f"{leading} {tally[leading]}/{row['n']}"
    return f"{OUTCOME_SYMBOLS[leading]} {text}"


def score_words(estimate: Estimate) -> str:
    """For example: .91 ± .02; with one seed, the score alone."""
    return plus_minus(estimate.value, estimate.low, estimate.high)


def with_interval(estimate: Estimate, digits: int = 2, *, sign: bool = False) -> str:
    """For example: .91 [.89, .93]; without an interval, the value alone."""
    return with_ends(estimate.value, estimate.low, estimate.high, digits, sign=sign)


def share_words(hits: int, n: int) -> str:
    """For example: 14 of 36 [25 %, 55 %], with Wilson's interval."""
    share = wilson(hits, n)
    return f"{hits or 'none'} of {n} [{percent(share.low)}, {percent(share.high)}]"


def share_over_arms_words(hits: pd.Series, arms: pd.Series) -> str:
    """As share_words for networks of one arm; of several, counts alone: arms are chosen, not drawn,
    and networks of one are alike, so that no interval says what other networks would do.
    """
    n = int(hits.sum())
    return share_words(n, len(hits)) if arms.nunique() < 2 else f"{n or 'none'} of {len(hits)}"


def wilson_words(parts: Sequence[pd.DataFrame], key: str) -> str:
    """What the intervals of share_over_arms_words are, where every level is one arm; else ""."""
    single = all(own.groupby(key, observed=True)["arm"].nunique().max() < 2 for own in parts)
    return "; 95 % Wilson intervals over seeds" if single else ""


def unit_words(points: pd.DataFrame, key: str) -> str:
    """What varies independently within a level: arms, or networks if each level is one arm."""
    pooled = bool((points.groupby(key, observed=True)["arm"].nunique() > 1).any())
    return "recipes, whose networks are alike" if pooled else "networks"
