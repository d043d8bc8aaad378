"""Where the training of points ended, and from which probes their end states come."""

from __future__ import annotations

import numpy as np
import pandas as pd

from reports.data.study import Study
from reports.formatting import count, listing
from reports.statistics.survival import planned_updates
from study.health.end_state import LAST
from study.records import NETWORK


def different_stopping_points(points: pd.DataFrame) -> str:
    """That scores belong to different numbers of updates, since some points ended once they had
    solved their task; "" if none did.

    Columns ended_early, updates_done and updates.
    """
    early = points["ended_early"].eq("solved")
    made, planned = points.loc[early, "updates_done"], planned_updates(points)[~early]
    if not early.any() or (planned.empty and made.nunique() == 1):
        return ""
    are = "was" if early.sum() == 1 else "were"
    text = (
        f"{early.sum()} of {count(len(points), 'network')} {are} trained no further once the task"
        f" was solved, after {_span(made)} updates"
    )
    text += f", the others for up to {int(planned.max()):,}" if len(planned) else ""
    return f"{text}: a difference in score may be one of training time."


def judged_by(study: Study) -> str:
    """From which probes the end states and verdicts of the stored points come."""
    points = study.stored[study.stored["verdict"].notna()].set_index("id")
    judged = judged_probes(study, points)
    judged = judged[judged["layer"] == NETWORK]
    if judged.empty:
        return ""
    whole, early, diverged = (
        judged[judged["id"].isin(points.index[which])]
        for which in (
            points["status"].eq("done") & points["ended_early"].ne("solved"),
            points["ended_early"].eq("solved"),
            points["status"].eq("diverged"),
        )
    )
    parts = []
    if len(whole):
        parts.append(_shares(whole))
    if len(early):
        parts.append(_streaks(early))
    if len(diverged):
        parts.append(f"of {_points(diverged)} that diverged, the last finite one")
    which = f" of the {len(study.sampled):,} sampled networks" if study.sampling_note else ""
    text = f"End states{which} are medians over the last probes: {'; '.join(parts)}."
    return text + _again(study, points)


def end_horizons(study: Study) -> pd.Series:
    """The horizon at the end by (id, layer), over the probes that the end state rests on.

    Their median, as D and U are; NaN where most of them have none. (The stored horizon is that of
    the last probe alone, which may be of another class.)
    """
    points = study.stored[study.stored["verdict"].notna()].set_index("id")
    judged = judged_probes(study, points)
    horizon = judged["horizon"].astype(float)
    by = horizon.groupby([judged["id"], judged["layer"].astype(str)])
    return by.median().where(by.count() * 2 >= by.size())


def judged_probes(study: Study, points: pd.DataFrame) -> pd.DataFrame:
    """Rows of the table `states` from judged probes, with updates_done; `points`: by id."""
    states = study.table("states")
    states = states[states["id"].isin(points.index)]
    states = states.sort_values(["id", "layer", "update"], kind="stable")
    states = states[["id", "layer", "update", "D", "U", "horizon"]]
    states = states.join(points[["judged_from", "updates_done", "status"]], on="id")
    own = ["id", "layer"]
    diverged = states["status"].eq("diverged")
    finite = np.isfinite(states[["D", "U"]].astype(float)).all(axis=1)
    # Older stores do not say from which update on: there the last ones counted.
    late = states["judged_from"].isna() | (states["update"] >= states["judged_from"])
    last = states[~diverged & late].groupby(own, observed=True).tail(LAST)
    kept = pd.concat([last, states[diverged & finite].groupby(own, observed=True).tail(1)])
    return kept.dropna(subset=["updates_done"])


def _points(judged: pd.DataFrame) -> str:
    n = judged["id"].nunique()
    return f"the {count(n, 'network')}" if n > 1 else "the network"


def _shares(judged: pd.DataFrame) -> str:
    """Of points that made all their updates: the shares at which they were probed."""
    share = (100 * judged["update"] / judged["updates_done"].clip(lower=1)).round().astype(int)
    sets = share.groupby(judged["id"]).agg(tuple).unique()
    probes = judged.groupby("id").size()
    at = (
        listing(str(one) for one in sets[0])
        if len(sets) == 1
        else f"{share.min()} to {share.max()}"
    )
    return (
        f"of {_points(judged)} that made all updates, the last {_number(probes)}, at {at} % of the"
        " updates"
    )


def _streaks(judged: pd.DataFrame) -> str:
    """Of points that ended early as solved: how many probes, and how far before the end."""
    by = judged.groupby("id")
    probes, before = by.size(), by["updates_done"].first() - by["update"].first()
    when = f"in the last {int(before.max()):,} updates" if before.max() else "at their end"
    return f"of {_points(judged)} that ended early as solved, the last {_number(probes)}, {when}"


def _number(probes: pd.Series) -> str:
    return "one" if probes.max() == 1 else _span(probes)


def _span(values: pd.Series) -> str:
    low, high = int(values.min()), int(values.max())
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def _again(study: Study, points: pd.DataFrame) -> str:
    """How many points are judged otherwise than the version that stored them did."""
    again = [id for id in study.judged_again if id in set(study.grid["id"])]
    if not again:
        return ""
    lost = sum(id not in points.index for id in again)
    text = (
        f" The version that stored {count(len(again), 'network')} also counted probes from before"
        " the end: here they are judged again, while the stored table of networks has the earlier"
        " end states"
    )
    return f"{text}; {lost} cannot be judged without their probes." if lost else f"{text}."
