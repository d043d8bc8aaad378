"""The end state of a run and its verdict: which probes they rest on, and what these say."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from study.health.profiles import Thresholds, state_of
from study.health.verdicts import opened_at, verdict

LAST = 3  # most probes whose median is the end state
LATE = 0.6  # share of the updates trained from which a probe belongs to the end

# Columns of a point that are those of its network in layers.parquet.
JUDGED = (
    "state_init",
    "state",
    "verdict",
    "judged_from",
    "judged_probes",
    "D_init",
    "D",
    "U_init",
    "U",
    "opened_at",
    "horizon_init",
    "horizon",
    "horizon_censored",
)

Rows = Sequence[Mapping[str, Any]]


def probes_at_end(rows: Rows, *, updates: int, solved_from: int | None) -> Rows:
    """The last of these probes, in order: those whose median is the end state, LAST at most.

    `updates`: those that the run trained. `solved_from`: the first of the validations in a row for
    which a run ended early as solved, None for any other run. No probe before it belongs to the
    end, or before the share LATE of the updates; the last probe always does.
    """
    start = round(LATE * updates) if solved_from is None else solved_from  # as numerics.stages
    return [*(row for row in rows[-LAST:-1] if row["update"] >= start), *rows[-1:]]


def last_state(rows: Rows, limits: Thresholds) -> dict[str, Any]:
    """The state at the end, from the median D and U of its probes.

    Undefined if most of them are. Interval bounds are medians, too.
    """
    median = {
        key: float(np.median([row[key] for row in rows]))
        for key in ("D", "D_low", "D_high", "U", "U_low", "U_high")
    }
    state, margin = state_of(median["D"], median["U"], limits)
    if sum(row["state"] == "undefined" for row in rows) * 2 > len(rows):
        state, margin = "undefined", math.nan
    return {**median, "state": state, "margin": margin}


def layers_rows(
    states: Rows, limits: Thresholds, *, diverged: bool, updates: int, solved_from: int | None
) -> list[dict[str, Any]]:
    """Rows of layers.parquet: first and last state and verdict, per layer and for the network.

    `states`: rows of states.parquet in order. `updates`, `solved_from`: see `probes_at_end`.
    """
    found = []
    for layer in dict.fromkeys(row["layer"] for row in states):
        rows = [row for row in states if row["layer"] == layer]
        if diverged:  # judged by its last finite probe
            finite = [row for row in rows if math.isfinite(row["D"]) and math.isfinite(row["U"])]
            known = finite or rows
            judged: Rows = known[-1:]
        else:
            known, judged = (rows, probes_at_end(rows, updates=updates, solved_from=solved_from))
        found.append(_layer_row(rows[0], known, judged, limits))
    return found


def _layer_row(
    first: Mapping[str, Any], known: Rows, judged: Rows, limits: Thresholds
) -> dict[str, Any]:
    last = last_state(judged, limits)
    word = verdict(first["state"], last["state"])
    return {
        "layer": first["layer"],
        "lag": first["lag"],
        "state_init": first["state"],
        "verdict": word,
        **{f"{name}_init": first[name] for name in ("D", "U", "horizon")},
        **last,
        "judged_from": judged[0]["update"],
        "judged_probes": len(judged),
        "opened_at": opened_at(known, len(judged)) if word == "opens" else None,
        "horizon": judged[-1]["horizon"],
        "horizon_censored": judged[-1]["horizon_censored"],
    }
