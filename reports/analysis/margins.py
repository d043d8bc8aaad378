"""What verdicts hang on: how far states lie from another class, and which probes are the end."""

from __future__ import annotations

import pandas as pd

from reports.analysis.ends import end_horizons
from reports.data.study import Study
from reports.formatting import count
from study.records import NETWORK

EVIDENCE = ["lag", "margin", "D_low", "D_high", "U_low", "U_high"]
CLOSE = 0.5  # decades
# Networks of one seed that agree in these and in D and U at initialization are one network.
SAME_START = ["task", "cell", "initializer", "depth", "hidden", "seed"]


def evidence(study: Study) -> pd.DataFrame:
    """EVIDENCE for the end state of the network and its horizon, by point id.

    Medians over the judged probes, as D and U are. Older stores have the last probe only.
    """
    made: pd.DataFrame = study.cached("evidence", lambda: _evidence(study))
    return made


def _evidence(study: Study) -> pd.DataFrame:
    layers = study.table("layers")
    kept = layers[layers["layer"] == NETWORK].set_index("id")[EVIDENCE]
    last = _of_network(study).groupby("id").tail(1).set_index("id")[EVIDENCE]
    found = pd.concat(
        [part for part in (kept, last[~last.index.isin(kept.index)]) if len(part)] or [last]
    )
    horizons = end_horizons(study)
    of_network = horizons[horizons.index.get_level_values(1) == NETWORK]
    return found.join(of_network.droplevel(1).rename("horizon"))


def close_ends(study: Study) -> str:
    """How many verdicts depend on where a limit lies, or on which probe is read; "" if none."""
    return " ".join(text for text in (_close(study), _other_at_last(study)) if text)


def _close(study: Study) -> str:
    points = study.stored.set_index("id")
    end = evidence(study)["margin"].astype(float).dropna()
    begin = _of_network(study).groupby("id").head(1).set_index("id")["margin"].astype(float)
    near = points.loc[points.index.isin(begin.index[begin < CLOSE])]
    ends = int((end < CLOSE).sum())
    if not len(near) and not ends:
        return ""
    parts = []
    if len(near):
        parts.append(
            f"{len(near)} of {count(int(begin.notna().sum()), 'network')}{initial_networks(near)}"
            f" {'starts' if len(near) == 1 else 'start'}"
        )
    if ends:
        of = f" of {count(len(end), 'network')}" if not parts else ""
        parts.append(f"{ends}{of} {'ends' if ends == 1 else 'end'}")
    text = (
        f"{' and '.join(parts)} less than half a power of ten from another class: there the verdict"
        " depends on where the limit lies."
    )
    opened = points[points["verdict"].eq("opens")]
    hang = opened[opened.index.isin(near.index)]
    if len(hang):
        which = (
            f"{len(hang)} of the {len(opened)} that opened"
            if len(hang) < len(opened)
            else f"All {len(hang)} that opened"
            if len(hang) > 1
            else "The one that opened"
        )
        start = "starts" if len(hang) == 1 else "start"
        text += f" {which}{initial_networks(hang)} {start} as close as that."
    return text


def initial_networks(points: pd.DataFrame) -> str:
    """How many networks these points start from, if arms share them; else \"\"."""
    numbers = points[["D_init", "U_init"]].astype(float).round(6)
    n = len(pd.concat([points[SAME_START], numbers], axis=1).drop_duplicates())
    return f" ({count(n, 'initial network')})" if n < len(points) else ""


def _other_at_last(study: Study) -> str:
    """How many points are of another class at their last probe than the judged ones say."""
    points = study.stored[study.stored["status"].eq("done")].set_index("id")
    last = _of_network(study).groupby("id").tail(1).set_index("id")["state"].astype(object)
    end = points["state"].reindex(last.index).dropna()
    other = int((last.reindex(end.index) != end).sum())
    are = "network is" if other == 1 else "networks are"
    return (
        f"{other} {are} of another class at the very last probe than the median of the last probes"
        " says, which is the end state."
        if other
        else ""
    )


def _of_network(study: Study) -> pd.DataFrame:
    """Rows of the table `states` on whole networks, in the order of the probes."""
    states = study.table("states")
    return states[states["layer"] == NETWORK].sort_values("stage", kind="stable")
