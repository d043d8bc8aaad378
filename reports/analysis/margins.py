"""How far the end state of each network lies from another class: what its verdict hangs on."""

from __future__ import annotations

import pandas as pd

from reports.data.study import Study
from reports.formatting import count
from study.records import NETWORK

EVIDENCE = ["lag", "margin", "D_low", "D_high", "U_low", "U_high"]
CLOSE = 0.5  # decades


def evidence(study: Study) -> pd.DataFrame:
    """EVIDENCE for the end state of the network, by point id, as the verdict rests on it.

    Medians over the judged probes, as D and U are. Older stores have the last probe only.
    """
    layers, states = study.table("layers"), study.table("states")
    kept = layers[layers["layer"] == NETWORK].set_index("id")[EVIDENCE]
    last = (
        states[states["layer"] == NETWORK]
        .sort_values("stage", kind="stable")
        .groupby("id")
        .tail(1)
        .set_index("id")[EVIDENCE]
    )
    return pd.concat(
        [part for part in (kept, last[~last.index.isin(kept.index)]) if len(part)] or [last]
    )


def close_ends(study: Study) -> str:
    """How many verdicts depend on where a limit lies; "" if none does."""
    margins = evidence(study)["margin"].astype(float).dropna()
    close = int((margins < CLOSE).sum())
    return (
        f"{close} of {count(len(margins), 'point')} {'ends' if close == 1 else 'end'} less than"
        " half a decade from another class: there the verdict depends on where the limit lies."
        if close
        else ""
    )
