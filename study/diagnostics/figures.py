"""Figures of gradient health for a network of one's own.

No pyplot: a figure belongs to whoever asked for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from study.health.profiles import Thresholds
from study.records import NETWORK

if TYPE_CHECKING:
    from study.diagnostics.gradient_profile import Health
    from study.diagnostics.watch import Watched

STYLE = {
    "font.size": 9,
    "axes.titlesize": 10,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
}
DECADES = "decades"


def health_figure(of: Health) -> Figure:
    """Left: gradient of the loss at h by layer.

    Right: transport relative to lag 1, with the classes and K.
    """
    with _style():
        figure = Figure(figsize=(9.5, 3.6), layout="constrained")
        left, right = figure.subplots(1, 2)
        layers = [layer for layer in of.profile["layer"].unique() if layer != NETWORK]
        colours = dict(zip(layers, _colours(len(layers)), strict=True))
        for layer, colour in colours.items():
            rows = of.profile[(of.profile["layer"] == layer) & (of.profile["state"] == "h")]
            left.fill_between(
                rows["lag"],
                rows["log10_p10"],
                rows["log10_p90"],
                color=colour,
                alpha=0.15,
                linewidth=0,
            )
            sns.lineplot(
                x=rows["lag"],
                y=rows["log10_mean"],
                ax=left,
                color=colour,
                label=f"layer {layer}",
                estimator=None,
            )
        left.set(
            title="Gradient of the loss at h",
            xlabel="lag, steps before the anchor",
            ylabel=f"relative to the anchor, {DECADES}",
        )
        _classes(right, of.thresholds)
        for layer, colour in {NETWORK: ".6", **colours}.items():
            rows = _from_lag_one(of.transport[of.transport["layer"] == layer])
            name, width = (NETWORK, 3.5) if layer == NETWORK else (f"layer {layer}", 1.2)
            sns.lineplot(
                x=rows["lag"],
                y=rows["log10_mean"],
                ax=right,
                color=colour,
                label=name,
                linewidth=width,
                estimator=None,
            )
        right.axvline(of.lag, color=".5", linewidth=0.8, linestyle=":")
        right.set(
            title=f"Transport: {of.state} (D {of.D:+.2f}, U {of.U:+.2f} at lag {of.lag})",
            xlabel="lag",
            ylabel=f"relative to lag 1, {DECADES}",
        )
        _notes(figure, of.notes)
    return figure


def watched_figure(of: Watched) -> Figure:
    """Norms by backward pass; then, for each recurrent layer watched, D by backward pass and
    transport from first to last.
    """
    names = list(dict.fromkeys(of.states["module"])) if len(of.states) else []
    with _style():
        figure = Figure(figsize=(11, 3.4 * max(1, len(names))), layout="constrained")
        axes = figure.subplots(max(1, len(names)), 3, squeeze=False)
        norms = of.norms
        positive = norms["norm"].where(np.isfinite(norms["norm"]) & (norms["norm"] > 0))
        sns.lineplot(
            x=norms["backward"], y=positive, ax=axes[0, 0], color=_colours(1)[0], estimator=None
        )
        if positive.notna().any():
            axes[0, 0].set_yscale("log")
        bad = norms.loc[norms["nonfinite"].notna(), "backward"]
        for at in bad:
            axes[0, 0].axvline(at, color="C3", linewidth=0.8)
        axes[0, 0].set(
            title=f"Gradient norm before clipping{f' ({len(bad)} not finite)' if len(bad) else ''}",
            xlabel="backward pass",
            ylabel="norm",
        )
        for row in axes[1:, 0]:
            row.set_axis_off()
        for name, (_, health, travel) in zip(names, axes, strict=False):
            _module(health, travel, of, name)
        for axis in axes[0, 1:] if not names else ():
            axis.set_axis_off()
        _notes(figure, of.notes)
    return figure


def _module(health: Axes, travel: Axes, of: Watched, name: str) -> None:
    states = of.states[(of.states["module"] == name) & (of.states["layer"] == NETWORK)]
    _classes(health, of.thresholds)
    sns.lineplot(
        x=states["backward"],
        y=states["D"],
        ax=health,
        color=_colours(1)[0],
        marker="o",
        label="D",
        estimator=None,
    )
    sns.lineplot(
        x=states["backward"],
        y=states["U"],
        ax=health,
        color="C3",
        marker="^",
        label="U",
        estimator=None,
    )
    health.set(
        title=f"{name}: {of.verdicts.get(name, 'undefined')}",
        xlabel="backward pass",
        ylabel=DECADES,
    )
    profiles = of.profiles
    rows = profiles[
        (profiles["module"] == name)
        & (profiles["probe"] == "transport")
        & (profiles["layer"] == NETWORK)
    ]
    _classes(travel, of.thresholds)
    taken = list(rows.groupby(["backward", "call"], sort=True))
    shown = [
        taken[at]
        for at in sorted({round(i) for i in np.linspace(0, len(taken) - 1, min(len(taken), 6))})
    ]
    for ((backward, _), one), colour in zip(
        shown, sns.color_palette("flare", len(shown)), strict=True
    ):
        one = _from_lag_one(one)
        sns.lineplot(
            x=one["lag"],
            y=one["log10_mean"],
            ax=travel,
            color=colour,
            label=f"{backward:,}",
            estimator=None,
        )
    travel.set(
        title=f"{name}: transport by backward pass",
        xlabel="lag",
        ylabel=f"relative to lag 1, {DECADES}",
    )


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
