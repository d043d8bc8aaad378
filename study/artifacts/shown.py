"""What a study's run shows beside the page: tables and parallel coordinates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from study.records import NETWORK
from study.store import Store

LAGS = 40  # of a profile, evenly spread on a logarithmic axis
SPREAD = 0.1  # of the lines at a level by their scores: else they cover one another
POINTS = 2000  # whose profiles are read, at most


def points_shown(path: Path, most: int) -> pd.DataFrame:
    """The first `most` rows (W&B shows no more of a table), without columns that hold nothing."""
    frame = pd.read_parquet(path).head(most).dropna(axis=1, how="all")
    return _plain(frame)


def profile_shown(path: Path, store: Store, factors: Sequence[str], most: int) -> pd.DataFrame:
    """Gradient norms by lag of each arm, at the first and the last probe of its points.

    A row has the arm's levels, probe, stage (first or last), update, lag and log10_mean: the median
    over seeds of the network's norms. Empty without a profile. `path`: of points.parquet.
    """
    points = pd.read_parquet(path).head(POINTS)
    frame = store.table("profile", list(points["id"]))
    frame = frame[frame["layer"] == NETWORK].reset_index(drop=True)
    if frame.empty:
        return frame
    stages = frame.groupby(["id", "probe"])["update"]
    ends = {"first": stages.transform("min"), "last": stages.transform("max")}
    lags = np.unique(np.geomspace(1, max(int(frame["lag"].max()), 1), LAGS).round())
    shown = frame["lag"].isin([0, *lags])
    parts = [
        frame[shown & (frame["update"] == end)].assign(stage=name) for name, end in ends.items()
    ]
    levels = [factor for factor in factors if factor in points]
    rows = pd.concat(parts).merge(points[["id", *levels]], on="id")
    keys = [*levels, "probe", "stage", "update", "lag"]
    found = rows.groupby(keys, dropna=False, sort=False)["log10_mean"].median().reset_index()
    return _plain(found.head(most))


def parallel_coordinates(path: Path, factors: Sequence[str]) -> np.ndarray | None:
    """A picture with one line per point across its levels to its score; None with nothing to draw.

    [height, width, 3] of bytes. W&B has no such chart for tables, and draws its own only over runs.
    """
    from matplotlib import colormaps
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    points = pd.read_parquet(path)
    varied = [name for name in factors if name in points and points[name].nunique() > 1]
    points = points[np.isfinite(pd.to_numeric(points.get("score"), errors="coerce"))]
    if not varied or points.empty:
        return None
    low, high = float(points["score"].min()), float(points["score"].max())
    place = ((points["score"].astype(float) - low) / (high - low or 1.0)).to_numpy()
    columns, figure = [], Figure(figsize=(1.6 * (len(varied) + 1) + 1, 4), layout="constrained")
    axis = figure.subplots()
    for at, name in enumerate(varied):
        levels = sorted(points[name].dropna().unique(), key=_order)
        heights = {level: step / (len(levels) - 1 or 1) for step, level in enumerate(levels)}
        at_levels = points[name].map(heights).to_numpy(dtype=float, na_value=np.nan)
        columns.append(at_levels + SPREAD * (place - 0.5))
        for level, height in heights.items():
            axis.text(at - 0.03, height, f"{level}", ha="right", va="center", fontsize=8)
    for end, score in ((0.0, low), (1.0, high)):
        axis.text(len(varied) + 0.03, end, f"{score:.3g}", va="center", fontsize=8)
    lines = np.column_stack([*columns, place])
    for line in lines[np.argsort(place)]:
        axis.plot(line, color=colormaps["viridis"](line[-1]), alpha=0.6, linewidth=1)
    axis.set_xticks(range(len(varied) + 1), [*varied, "score"])
    axis.set_yticks([])
    axis.set_xlim(-0.5, len(varied) + 0.4)
    axis.grid(axis="x")
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3]


def factors_of(study: Mapping[str, Any]) -> list[str]:
    """The factors that a study declares, as the points table names them."""
    return list((study.get("declaration") or {}).get("factors") or ())


def _order(level: Any) -> tuple[bool, Any]:
    """Numbers by size, then words."""
    number = isinstance(level, int | float | np.number)
    return (not number, level if number else str(level))


def _plain(frame: pd.DataFrame) -> pd.DataFrame:
    """Values as wandb takes them: Python's own, None for what is missing."""
    return frame.astype(object).where(frame.notna(), None)
