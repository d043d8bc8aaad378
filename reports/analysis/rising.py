"""Whether networks were still getting better when their updates ended."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from reports.analysis.arms import with_counted
from reports.data.study import Study
from reports.statistics import NO_ESTIMATE, Estimate, share_over_arms, weighted_arms

LAST = 3  # validations that are held against as many before them
FEWEST = 4  # validations below which nothing is said; with fewer than 6, halves are compared


@dataclass(frozen=True)
class Rising:
    """Of `judged` networks, `still` had a better mean validation score over the last validations
    than over those before; `gain`: the difference, averaged over arms, positive is better.

    Judged are networks that made all updates they were given (they did not end early, and are not
    lost) with at least FEWEST validations. `share`: of `still`, its interval over arms.
    """

    judged: int
    still: int
    share: Estimate
    gain: Estimate

    @property
    def shown(self) -> bool:
        """Whether more rise than the half that would without a trend, and the mean gain too."""
        return self.share.low > 0.5 and self.gain.low > 0


def rising(study: Study) -> Rising:
    """Over all stored points; nothing is judged where no validations are stored."""
    found: Rising = study.cached("still rising", lambda: _rising(study))
    return found


def _rising(study: Study) -> Rising:
    points = with_counted(study)
    whole = points[points["status"].eq("done") & ~points["lost"] & points["ended_early"].isna()]
    history = study.table("history")
    nothing = Rising(0, 0, NO_ESTIMATE, NO_ESTIMATE)
    if whole.empty or history.empty or "val_score" not in history:
        return nothing
    own = history[history["id"].isin(whole["id"]) & history["val_score"].notna()]
    own = own.sort_values(["id", "update"])
    gains = own.groupby("id")["val_score"].apply(_gain).dropna()
    gains = gains.astype(float) * (1.0 if study.higher_is_better else -1.0)
    whole = whole.assign(gain=whole["id"].map(gains))
    whole = whole[whole["gain"].notna()]
    if whole.empty:
        return nothing
    still, arms = whole["gain"] > 0, whole["arm"].unique()
    return Rising(
        len(whole),
        int(still.sum()),
        share_over_arms(still.to_numpy(), whole["arm"].to_numpy()),
        weighted_arms(whole, "gain", {int(arm): 1 / len(arms) for arm in arms}),
    )


def _gain(scores: pd.Series) -> float:
    """The mean of the last validations minus that of as many before them."""
    if len(scores) < FEWEST:
        return float("nan")
    last = min(LAST, len(scores) // 2)
    values = scores.to_numpy(dtype=float)
    return float(values[-last:].mean() - values[-2 * last : -last].mean())
