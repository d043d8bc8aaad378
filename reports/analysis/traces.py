"""Traces of single examples: saliency, attention and gates by step, as medians over points."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from reports.statistics import spearman


def ends(traces: pd.DataFrame) -> pd.DataFrame:
    """Rows of each point's first and last probe, with `end` 0 or 1; a single probe is the first."""
    keys = traces.groupby(["id", "quantity"], sort=False)["stage"]
    first, last = keys.transform("min"), keys.transform("max")
    rows = traces.assign(end=np.where(traces["stage"] == last, 1, 0))
    rows.loc[first == last, "end"] = 0
    return rows[(rows["stage"] == first) | (rows["stage"] == last)]


def relative(rows: pd.DataFrame, by: Sequence[str], to: str) -> pd.DataFrame:
    """log10 of values relative to their example's largest (`to` = max) or mean, median over points.

    Columns by…, end, example, step, value, points. −∞ is exactly 0 and NaN not finite, for most
    points.
    """
    groups = rows.groupby(["id", "end", "example"], sort=False)["value"]
    values, scale = rows["value"].to_numpy(dtype=float), groups.transform(to).to_numpy(dtype=float)
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log10(values) - np.log10(scale)
    rows = rows.assign(log=np.where(np.isfinite(scale) & (scale > 0), logs, np.nan))
    found = rows.groupby([*by, "end", "example", "step"], sort=True).agg(
        value=("log", "median"), points=("id", "nunique")
    )
    return found.reset_index()


def half_lag(values: Sequence[float]) -> float:
    """Number of last steps that hold half of the sum; NaN if the sum is 0 or not finite."""
    back = np.cumsum(np.asarray(values, dtype=float)[::-1])
    if not len(back) or not math.isfinite(back[-1]) or back[-1] <= 0:
        return math.nan
    return float(np.searchsorted(back, back[-1] / 2) + 1)


def spread(values: Sequence[float]) -> float:
    """Effective number of steps of a distribution: exp of its entropy."""
    share = np.asarray(values, dtype=float)
    share = share[share > 0] / share[share > 0].sum()
    return float(np.exp(-(share * np.log(share)).sum())) if len(share) else math.nan


def by_point(rows: pd.DataFrame, what) -> pd.DataFrame:
    """`start` and `end` of what(values by step), by point id: medians over the examples."""
    ordered = rows.sort_values(["id", "end", "example", "step"], kind="stable")
    found = ordered.groupby(["id", "end", "example"], sort=False)["value"].agg(
        lambda values_of: what(values_of.to_numpy(dtype=float))
    )
    return _both_ends(found)


def _both_ends(by_example: pd.Series) -> pd.DataFrame:
    """Medians over examples of values by id, end and example: columns start and end, by id."""
    return (
        by_example.groupby(level=["id", "end"])
        .median()
        .unstack("end")
        .reindex(columns=[0, 1])
        .rename(columns={0: "start", 1: "end"})
    )


def with_input(rows: pd.DataFrame, inputs: pd.DataFrame) -> pd.DataFrame:
    """As by_point: rank correlation over steps with the input's distance from its mean."""
    known = inputs.drop_duplicates(["id", "example", "step"])[
        ["id", "example", "step", "value"]
    ].rename(columns={"value": "input"})
    both = rows.merge(known, on=["id", "example", "step"])
    if both.empty:
        return pd.DataFrame(columns=["start", "end"])
    found = both.groupby(["id", "end", "example"], sort=False)[["value", "input"]].apply(
        lambda values_of: spearman(values_of["value"].to_numpy(), values_of["input"].to_numpy())
    )
    return _both_ends(found)


def gates(rows: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """Gates of the top layer, median over points.

    Columns by…, gate, end, example, step, mean, low and high (outermost quantiles), points. Traces
    have quantity gate.NAME.mean or gate.NAME.pQQ.
    """
    parts = rows["quantity"].astype(str).str.extract(r"^gate\.(?P<gate>.+)\.(?P<what>[^.]+)$")
    layer = rows["layer"].astype(float)
    own = rows.assign(gate=parts["gate"], what=parts["what"])[
        layer == layer.groupby(rows["id"]).transform("max")
    ]
    shares = sorted(
        {what for what in own["what"] if what != "mean"}, key=lambda what: float(what[1:])
    )
    names = {"mean": "mean", **({shares[0]: "low", shares[-1]: "high"} if len(shares) > 1 else {})}
    own = own[own["what"].isin(names)].assign(what=lambda frame: frame["what"].map(names))
    keys = [*by, "gate", "end", "example", "step"]
    wide = (
        own.groupby([*keys, "what"], sort=True)["value"]
        .median()
        .unstack("what")
        .reindex(columns=["mean", "low", "high"])
    )
    return wide.join(own.groupby(keys, sort=True)["id"].nunique().rename("points")).reset_index()
