"""Profiles by lag: medians over points, with shares of examples that are zero or non-finite."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

import numpy as np
import pandas as pd

from study.records import NETWORK

VALUES = ["log10_mean", "log10_p10", "log10_p90"]
SPREAD = {"lowest": "min", "highest": "max"}  # over points
COUNTS = ["n", "n_zero", "n_nonfinite"]
ALL_STATES = "s"  # in column `state`: those of a layer that has several, together


def transport(profile: pd.DataFrame) -> pd.DataFrame:
    """Transport of the network relative to lag 1, median over the seeds of each arm.

    Columns arm, update, lag (from 1), value (decades), zero and bad (shares of examples), points.
    At the updates where every seed was probed that had not ended before: single ones are probed in
    between, before they end early.
    """
    return _transport(profile, _probed_together, ["arm", "update", "lag"])


def transport_at_the_end(profile: pd.DataFrame) -> pd.DataFrame:
    """The same at the last probe of every point, whenever that was: columns without update."""

    def last(rows: pd.DataFrame) -> pd.DataFrame:
        return rows[rows["update"] == rows.groupby("id")["update"].transform("max")]

    return _transport(profile, last, ["arm", "lag"])


def deciding(profile: pd.DataFrame, keys: Sequence[str]) -> pd.DataFrame:
    """Transport of the network relative to lag 1, by which verdicts are decided: median over the
    points that share `keys`, at the first and the last probe of each.

    Columns keys, last (bool), lag, value (decades).
    """

    def at(end: str) -> Callable[[pd.DataFrame], pd.DataFrame]:
        return lambda rows: rows[rows["update"] == rows.groupby("id")["update"].transform(end)]

    found = [
        _transport(profile, at(end), [*keys, "lag"]).assign(last=end == "max")
        for end in ("min", "max")
    ]
    return pd.concat(found, ignore_index=True)


def _transport(
    profile: pd.DataFrame, chosen: Callable[[pd.DataFrame], pd.DataFrame], keys: list[str]
) -> pd.DataFrame:
    rows = profile[
        (profile["probe"] == "transport") & (profile["layer"] == NETWORK) & (profile["lag"] >= 1)
    ]
    if rows.empty:
        return pd.DataFrame(columns=[*keys, "value", "zero", "bad", "points"])
    rows = chosen(rows)
    first = rows.loc[rows["lag"] == 1, ["id", "stage", "log10_mean"]].rename(
        columns={"log10_mean": "at_one"}
    )
    rows = rows.merge(first, on=["id", "stage"], how="left")
    rows["value"] = _zeros_lowest(rows, rows["log10_mean"] - rows["at_one"])
    by = rows.groupby(keys, sort=True)
    out = by.agg(
        value=("value", "median"),
        points=("id", "nunique"),
        **{name: (name, "sum") for name in COUNTS},
    ).reset_index()
    return _shares(out)


def _probed_together(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows at updates where every point of the arm was probed that had not ended before."""
    probes = rows.loc[rows["lag"] == 1, ["arm", "id", "update"]]
    probed = probes.groupby(["arm", "update"], as_index=False).size()
    ends = probes.groupby(["arm", "id"], as_index=False)["update"].max()
    there = probed.merge(ends[["arm", "update"]].rename(columns={"update": "end"}), on="arm")
    there = there[there["end"] >= there["update"]].groupby(["arm", "update"]).size()
    together = probed.set_index(["arm", "update"])["size"] == there
    shared = together[together].reset_index()[["arm", "update"]]
    return rows.merge(shared, on=["arm", "update"])


def losses(
    profile: pd.DataFrame, by: Sequence[str], ended_early: Collection[str] = ()
) -> pd.DataFrame:
    """Gradient of the loss at all states of a layer, by lag and layer, median over the points of
    each combination of `by`: an output that nothing feeds back has no gradient of later losses.

    The last probe of the points `ended_early`, by id, has the stage of the others' last one.
    Columns by…, above (layers between this one and the loss: 0 is the top one), stage, update, lag,
    the VALUES, lowest and highest log10_mean of a point (−∞: exactly 0), zero, bad, points.
    """
    rows = profile[(profile["probe"] == "loss") & (profile["layer"] != NETWORK)]
    joint = rows["state"].eq(ALL_STATES)  # only of layers that have several
    rows = rows[joint | ~joint.groupby([rows["id"], rows["layer"]]).transform("any")].copy()
    keys = [*by, "above", "stage", "lag"]
    if rows.empty:
        return pd.DataFrame(columns=[*keys, "update", *VALUES, *SPREAD, "zero", "bad", "points"])
    last = rows["stage"] == rows.groupby("id")["stage"].transform("max")
    rows.loc[last & rows["id"].isin(list(ended_early)), "stage"] = rows["stage"].max()
    layer = rows["layer"].astype(str).astype(int)
    rows["above"] = layer.groupby(rows["id"]).transform("max") - layer
    for name in VALUES:
        rows[name] = _zeros_lowest(rows, rows[name])
    wanted = {"update": ("update", "median"), "points": ("id", "nunique")}
    out = (
        rows.groupby(keys, sort=True)
        .agg(
            **wanted,
            **{name: (name, "median") for name in VALUES},
            **{name: ("log10_mean", how) for name, how in SPREAD.items()},
            **{name: (name, "sum") for name in COUNTS},
        )
        .reset_index()
    )
    return _shares(out)


def _zeros_lowest(rows: pd.DataFrame, values: pd.Series) -> pd.Series:
    """Values, with −∞ where most examples are exactly zero.

    In a median over points these lie below all others.
    """
    return values.where(rows["n_zero"] <= 0.5 * rows["n"], -np.inf)


def _shares(rows: pd.DataFrame) -> pd.DataFrame:
    examples = np.maximum(rows["n"].to_numpy(dtype=float), 1)
    shared = rows.assign(zero=rows["n_zero"] / examples, bad=rows["n_nonfinite"] / examples)
    floats = shared.select_dtypes("number").columns
    return shared.assign(
        **{
            name: shared[name].replace([np.inf, -np.inf], np.nan)
            for name in floats
            if name in (*VALUES, "value")
        }
    )


def validation(history: pd.DataFrame, by: Sequence[str], column: str) -> pd.DataFrame:
    """Median of a validation column over points: columns by…, update, value, points."""
    rows = history[np.isfinite(history[column].to_numpy(dtype=float))]
    return (
        rows.groupby([*by, "update"], sort=True)
        .agg(value=(column, "median"), points=("id", "nunique"))
        .reset_index()
    )
