"""Figures of gradient health for networks outside a study, from frames.

No pyplot, so that figures belong to the caller.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from study.health.profiles import Thresholds
from study.records import NETWORK

STYLE = {
    "font.size": 9,
    "axes.titlesize": 10,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
}
DECADES = "decades"
PASSES = 6  # backward passes whose transport is drawn


def health_figure(
    profile: pd.DataFrame,
    transport: pd.DataFrame,
    states: pd.DataFrame,
    *,
    thresholds: Thresholds,
    notes: Sequence[str],
) -> Figure:
    """Left: gradient of the loss at h by layer; right: transport with the classes and K.

    Frames are those of gradient_profile.Health.
    """
    with _style():
        figure = Figure(figsize=(9.5, 3.6), layout="constrained")
        left, right = figure.subplots(1, 2)
        layers = [layer for layer in profile["layer"].unique() if layer != NETWORK]
        colours = dict(zip(layers, _colours(len(layers)), strict=True))
        _loss_profile(left, profile, colours)
        _transport(right, transport, states[states["layer"] == NETWORK].iloc[0], colours)
        _classes(right, thresholds)
        _notes(figure, notes)
    return figure


def _loss_profile(axis: Axes, profile: pd.DataFrame, colours: Mapping[str, Any]) -> None:
    for layer, colour in colours.items():
        rows = profile[(profile["layer"] == layer) & (profile["state"] == "h")]
        axis.fill_between(
            rows["lag"], rows["log10_p10"], rows["log10_p90"], color=colour, alpha=0.15, linewidth=0
        )
        sns.lineplot(
            x=rows["lag"],
            y=rows["log10_mean"],
            ax=axis,
            color=colour,
            label=f"layer {layer}",
            estimator=None,
        )
    axis.set(
        title="Gradient of the loss at h",
        xlabel="lag, steps before the anchor",
        ylabel=f"relative to the anchor, {DECADES}",
    )


def _transport(
    axis: Axes, transport: pd.DataFrame, network: pd.Series, colours: Mapping[str, Any]
) -> None:
    for layer, colour in {NETWORK: ".6", **colours}.items():
        rows = _from_lag_one(transport[transport["layer"] == layer])
        name, width = (NETWORK, 3.5) if layer == NETWORK else (f"layer {layer}", 1.2)
        sns.lineplot(
            x=rows["lag"],
            y=rows["log10_mean"],
            ax=axis,
            color=colour,
            label=name,
            linewidth=width,
            estimator=None,
        )
    axis.axvline(network["lag"], color=".5", linewidth=0.8, linestyle=":")
    axis.set(
        title=(
            f"Transport: {network['state']} (D {network['D']:+.2f}, U {network['U']:+.2f} at lag"
            f" {network['lag']})"
        ),
        xlabel="lag",
        ylabel=f"relative to lag 1, {DECADES}",
    )


def watch_figure(
    norms: pd.DataFrame,
    states: pd.DataFrame,
    profiles: pd.DataFrame,
    *,
    verdicts: Mapping[str, str],
    thresholds: Thresholds,
    notes: Sequence[str],
) -> Figure:
    """Norms by backward pass; for each recurrent layer, D and U and transport by backward pass.

    Frames are those of watch.Watched.
    """
    names = list(dict.fromkeys(states["module"])) if len(states) else []
    with _style():
        figure = Figure(figsize=(11, 3.4 * max(1, len(names))), layout="constrained")
        axes = figure.subplots(max(1, len(names)), 3, squeeze=False)
        _norms(axes[0, 0], norms)
        for row in axes[1:, 0]:
            row.set_axis_off()
        for name, (_, left, right) in zip(names, axes, strict=False):
            network = (states["module"] == name) & (states["layer"] == NETWORK)
            _states(left, states[network], f"{name}: {verdicts.get(name, 'undefined')}")
            _classes(left, thresholds)
            transport = profiles[
                (profiles["module"] == name)
                & (profiles["probe"] == "transport")
                & (profiles["layer"] == NETWORK)
            ]
            _transport_over_time(right, transport, f"{name}: transport by backward pass")
            _classes(right, thresholds)
        for axis in axes[0, 1:] if not names else ():
            axis.set_axis_off()
        _notes(figure, notes)
    return figure


def _norms(axis: Axes, norms: pd.DataFrame) -> None:
    positive = norms["norm"].where(np.isfinite(norms["norm"]) & (norms["norm"] > 0))
    sns.lineplot(x=norms["backward"], y=positive, ax=axis, color=_colours(1)[0], estimator=None)
    if positive.notna().any():
        axis.set_yscale("log")
    bad = norms.loc[norms["nonfinite"].notna(), "backward"]
    for at in bad:
        axis.axvline(at, color="C3", linewidth=0.8)
    axis.set(
        title=f"Gradient norm before clipping{f' ({len(bad)} not finite)' if len(bad) else ''}",
        xlabel="backward pass",
        ylabel="norm",
    )


def _states(axis: Axes, states: pd.DataFrame, title: str) -> None:
    for name, colour, marker in (("D", _colours(1)[0], "o"), ("U", "C3", "^")):
        sns.lineplot(
            x=states["backward"],
            y=states[name],
            ax=axis,
            color=colour,
            marker=marker,
            label=name,
            estimator=None,
        )
    axis.set(title=title, xlabel="backward pass", ylabel=DECADES)


def _transport_over_time(axis: Axes, transport: pd.DataFrame, title: str) -> None:
    """At most PASSES backward passes, evenly spread."""
    measured = list(transport.groupby(["backward", "call"], sort=True))
    count = min(len(measured), PASSES)
    shown = sorted({round(index) for index in np.linspace(0, len(measured) - 1, count)})
    colours = sns.color_palette("flare", len(shown))
    for ((backward, _), rows), colour in zip((measured[at] for at in shown), colours, strict=True):
        rows = _from_lag_one(rows)
        sns.lineplot(
            x=rows["lag"],
            y=rows["log10_mean"],
            ax=axis,
            color=colour,
            label=f"{backward:,}",
            estimator=None,
        )
    axis.set(title=title, xlabel="lag", ylabel=f"relative to lag 1, {DECADES}")


def _from_lag_one(rows: pd.DataFrame) -> pd.DataFrame:
    rows = rows[rows["lag"] >= 1]
    return rows.assign(log10_mean=rows["log10_mean"] - rows["log10_mean"].iloc[0])


def _classes(axis: Axes, limits: Thresholds) -> None:
    for at, name in (
        (limits.exploding, "exploding above (U)"),
        (limits.fading, "fading below (D)"),
        (limits.vanishing, "vanishing below (D)"),
    ):
        axis.axhline(at, color=".7", linewidth=0.8, zorder=0)
        axis.annotate(
            name,
            (0.99, at),
            xycoords=("axes fraction", "data"),
            ha="right",
            va="bottom",
            color=".45",
            fontsize=7,
        )


def _colours(count: int) -> Sequence[Any]:
    return sns.color_palette("colorblind", count)


def _notes(figure: Figure, notes: Sequence[str]) -> None:
    if notes:
        figure.supxlabel("\n".join(notes), fontsize=7, color=".35", wrap=True)


def _style() -> Any:
    return mpl.rc_context({**sns.axes_style("ticks"), **STYLE})  # type: ignore[dict-item]
