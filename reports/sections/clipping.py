"""Clipping: how often each rule fired, and whether it was a guard or a limiter."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing

from reports.analysis.clip_limits import clip_limits
from reports.analysis.marks import level_mark
from reports.blocks import Cell, Figure, Heading, Prose, Rows, Section, Table
from reports.data.study import Study
from reports.figures.hues import hue_of
from reports.figures.marks import marked
from reports.figures.theme import (
    DASHES,
    INK,
    SOFT,
    draw,
    legend,
    panels,
    shared_x_label,
    update_ticks,
)
from reports.formatting import known, level, listing, number, percent, slug
from reports.statistics import Estimate, clamp, mean_interval
from reports.statistics.survival import trained_updates

HOW = (
    "Above: how long the gradient is before the rule sees it ([update] by update, log scale)."
    " Below: the share of updates that the rule changed ([clip rate]). A rule that fires on few"
    " updates is a guard; one that fires on nearly all of them shortens every gradient, and is no"
    " safety.{} How much it shortens is [shrink] in the table."
)
# What shortening nearly every gradient does; of other optimizers nothing is said.
PLAIN = (
    "With {}, whose steps are in proportion to the gradients, that is in effect another learning"
    " rate."
)
ADAPTIVE = (
    "With {}, which divides by the size of recent gradients, a rescaling that all gradients share"
    " nearly cancels out of the steps: it only changes how updates weigh against each other."
)
EFFECTS = {"sgd": PLAIN, "adam": ADAPTIVE, "rmsprop": ADAPTIVE}


def _effects(optimizers: pd.Series) -> str:
    """What it does to shorten nearly every gradient, with the optimizers that we know."""
    names = dict.fromkeys(str(name) for name in optimizers.dropna())
    by_effect: dict[str, list[str]] = {}
    for name in names:
        if name in EFFECTS:
            by_effect.setdefault(EFFECTS[name], []).append(name)
    return "".join(f" {text.format(listing(own))}" for text, own in by_effect.items())


class Clipping:
    """Clip rates over the run.

    `inert`, `guard`, `limiter`: clip rates at which the word for a rule changes; `phases`: name ->
    [from, to] in shares of the run; `turned`: mean cosine below which a rule is reported to turn
    the gradient; `bins`: number of bins over the run in the figure.
    """

    title = "Clipping"
    needs = ("clip_rate", "history.clip_scale")

    def __init__(
        self,
        *,
        inert: float,
        guard: float,
        limiter: float,
        phases: Mapping[str, Sequence[float]],
        turned: float,
        bins: int,
    ) -> None:
        if not 0 < inert < guard < limiter < 1:
            raise ValueError(
                f"Clipping: 0 < inert < guard < limiter < 1 must hold, got {inert}, {guard},"
                f" {limiter}"
            )
        if not phases or not all(
            len(span) == 2 and 0 <= span[0] < span[1] <= 1 for span in phases.values()
        ):
            raise ValueError(
                "Clipping: phases must be {name: [from, to]} in shares of the run, got"
                f" {phases!r}"
            )
        self.inert, self.guard, self.limiter, self.phases, self.turned, self.bins = (
            inert,
            guard,
            limiter,
            phases,
            turned,
            bins,
        )

    def render(self, study: Study) -> Section:
        points = study.stored
        telemetry = self._telemetry(study, points)
        phases = {name: self._phased(own) for name, own in telemetry.groupby("clip", sort=False)}
        fired = points[points["clip_rate"] > 0]
        blocks: list[object] = [
            Prose(
                f"{self._sentence(study, name, points[points['clip'] == name])}"
                f" {phases.get(name, '')}"
            )
            for name in self._rules(points)
        ]
        for task in study.by_task:
            own = fired if task is None else fired[fired["task"] == task]
            if len(own):
                blocks += [Heading(f"Task {task}")] if task else []
                blocks.append(self._figure(study, own, task))
        if len(telemetry):
            blocks.append(self._phase_table(telemetry))
        blocks.append(self._table(study, points))
        return Section(blocks)

    def _telemetry(self, study: Study, points: pd.DataFrame) -> pd.DataFrame:
        """One row per rule and phase: clip rate, mean shrink and cosine of clipped updates,
        updates.

        The clip rate is the mean over points, as for the whole run.
        """
        history = study.table("history")
        clip = points.set_index("id")["clip"]
        history = history.assign(
            clip=history["id"].map(clip),
            total=history["id"].map(trained_updates(points.set_index("id"))),
        )
        history = history[np.isfinite(history["grad_norm"].astype(float)) & history["clip"].notna()]
        at = history["update"].astype(float) / history["total"]
        rows = []
        for name in self._rules(points):
            for phase, (start, end) in self.phases.items():
                own = history[(history["clip"] == name) & (at >= start) & (at < end)]
                fired = own[own["clip_scale"] != 1]
                if len(own):
                    means = [
                        float(fired[column].astype(float).mean())
                        for column in ("clip_scale", "clip_cosine")
                    ]
                    rows.append((name, phase, float(clipped_share(own).mean()), *means, len(own)))
        frame = pd.DataFrame(rows, columns=["clip", "phase", "rate", "shrink", "cosine", "updates"])
        return frame[
            frame.groupby("clip")["rate"].transform("max") > 0
        ]  # leaves out rules that never fired

    def _phased(self, own: pd.DataFrame) -> str:
        """For example: limiter in the first tenth (97 %), guard in the last third (12 %)."""
        parts = [
            f"{self.kind(row.rate)} in the {row.phase} ({percent(row.rate)})"
            for row in own.itertuples()
        ]
        cosine = float(np.average(own["cosine"].fillna(1.0), weights=own["rate"] * own["updates"]))
        turns = (
            f" It turns the gradient where it fires (mean cosine {number(cosine)})."
            if cosine < self.turned
            else ""
        )
        return f"Phase by phase: {', '.join(parts)}.{turns}"

    def _phase_table(self, telemetry: pd.DataFrame) -> Table:
        rows: Rows = []
        for row in telemetry.itertuples():
            shrink, cosine = (
                number(value) if known(value) else "–" for value in (row.shrink, row.cosine)
            )
            rows.append(
                [
                    level("clip", row.clip),
                    row.phase,
                    Cell(percent(row.rate), row.rate),
                    self.kind(row.rate),
                    shrink,
                    cosine,
                    f"{row.updates:,}",
                ]
            )
        columns = [
            "rule",
            "phase",
            "clipped updates",
            "so it is",
            "mean shrink",
            "mean cosine",
            "updates",
        ]
        spans = "; ".join(
            f"{name}: {percent(start)} to {percent(end)} of the updates that a network made"
            for name, (start, end) in self.phases.items()
        )
        notes = (
            f"{spans}. Shrink (norm after over before) and cosine between gradient before and"
            " after: means over clipped updates; cosine 1 keeps the direction."
        )
        return Table(columns, rows, "Clipping by phase of the run", notes)

    def _rules(self, points: pd.DataFrame) -> list[str]:
        return list(dict.fromkeys(name for name in points["clip"] if name is not None))

    def kind(self, rate: float) -> str:
        """One word for a rule that fires on this share of updates."""
        return (
            "inert"
            if rate < self.inert
            else "guard"
            if rate <= self.guard
            else "limiter"
            if rate > self.limiter
            else "frequent"
        )

    def word(self, rate: float) -> str:
        """A description of a rule that fires on this share of updates."""
        if rate < self.inert:
            return "inert: it changes nearly nothing"
        if rate <= self.guard:
            return "a guard, which leaves most updates as they are"
        if rate > self.limiter:
            return "a limiter of nearly every gradient, not a guard"
        return "between a guard and a limiter: it shortens many ordinary gradients"

    def _sentence(self, study: Study, name: str, own: pd.DataFrame) -> str:
        rates = own["clip_rate"].dropna()
        if rates.empty:
            return f"clip={name}: no update to judge."
        if (rates == 0).all():
            return f"clip={name} never fired (n = {len(rates)} networks)."
        mean = float(rates.mean())
        kinds = rates.map(lambda rate: self.kind(float(rate))).value_counts()
        agree = (
            ""
            if len(kinds) == 1
            else f" By network: {listing(f'{n} {kind}' for kind, n in kinds.items())}."
        )
        return (
            f"clip={name} fired on {percent(mean)} of updates (mean of {len(rates)} networks, from"
            f" {percent(float(rates.min()))} to {percent(float(rates.max()))}): here it is"
            f" {self.word(mean)}.{agree}"
            + (_effects(own["optimizer"]) if mean > self.limiter else "")
        )

    def _figure(self, study: Study, fired: pd.DataFrame, task: str | None) -> Figure:
        """The figure of one task.

        Runs of different lengths in one panel would show a step where the shorter ones end.
        """
        panel, ink_key = study.panel_factors
        panel, ink_key = (panel, ink_key) if panel != "clip" else (ink_key, panel)
        history = study.table("history")
        history = history[history["id"].isin(fired["id"]) & history["grad_norm"].notna()]
        binned = self._binned(history, [panel, ink_key])
        others = [name for name in study.levels(ink_key) if (fired[ink_key] == name).any()]
        limits = clip_limits(study, fired)
        width = max(10.0, 1.5 + 1.5 * len(study.levels(panel)))
        picture = draw(
            lambda rasterized: rates(study, binned, panel, ink_key, others, limits, width),
            name=f"clipping-{slug(task)}" if task else "clipping",
        )
        at = history["update"].astype(float) / history["id"].map(
            trained_updates(fired.set_index("id"))
        )
        early, late = (
            clamp(mean_interval(clipped_share(history[part]).tolist()), 0.0, 1.0)
            for part in (at < 1 / 3, at >= 2 / 3)
        )
        finding = (
            f"Where a rule fired at all, it did so on {_share(early)} of the updates in the first"
            f" third of its run and on {_share(late)} in the last (n = {early.n} networks; 95 % t"
            " interval over networks)."
        )
        caption = (
            "Upper row: median norm of all gradients before clipping (log scale); lower row: share"
            f" of updates that clipping changed. Panel: {panel}; line: {ink_key}; {len(fired)}"
            f" networks whose rule fired, in {self.bins} bins over the run, averaged over"
            " everything else; no interval is drawn."
            + (
                f" Dashed: the norm that is clipped to, {listing(map(_norm, limits))}."
                if limits
                else ""
            )
        )
        # Bins would weigh the networks that live longest most.
        norms = history.groupby("id")["grad_norm"].median()
        table: Rows = [
            [
                level(panel, a),
                level(ink_key, b),
                Cell(percent(own["clip_rate"].mean()), own["clip_rate"].mean()),
                number(float(own["id"].map(norms).median())),
            ]
            for (a, b), own in fired.groupby([panel, ink_key], sort=False)
        ]
        return Figure(
            picture,
            caption,
            f"Clipping over the run. {finding}",
            Table(
                [panel, ink_key, "clipped updates", "median norm before"],
                table,
                "Over the whole run: mean and median over networks",
            ),
            width,
            finding,
            HOW.format(_effects(fired["optimizer"])),
        )

    def _binned(self, history: pd.DataFrame, by: list[str]) -> pd.DataFrame:
        last = max(1.0, float(history["update"].max()))
        frame = history[[*by, "grad_norm", "clip_scale"]].assign(
            bin=np.minimum(
                (history["update"].astype(float) / (last + 1) * self.bins).astype(int),
                self.bins - 1,
            ),
            clipped=(history["clip_scale"] != 1).astype(float),
        )
        frame = frame[np.isfinite(frame["grad_norm"].astype(float))]
        out = (
            frame.groupby([*by, "bin"], sort=True)
            .agg(norm=("grad_norm", "median"), clipped=("clipped", "mean"))
            .reset_index()
        )
        return out.assign(update=(out["bin"] + 0.5) * (last + 1) / self.bins, last=last + 1)

    def _table(self, study: Study, points: pd.DataFrame) -> Table:
        keys = list(
            dict.fromkeys(
                [
                    "clip",
                    *[key for key in (study.matrix_factors[0], "depth") if key in study.factors],
                ]
            )
        )
        rows: Rows = []
        for names, own in points.groupby(keys, sort=False, dropna=False):
            rate = own["clip_rate"]
            rows.append(
                [
                    *(level(key, name) for key, name in zip(keys, names, strict=True)),
                    str(len(own)),
                    Cell(
                        percent(rate.mean()),
                        float(rate.mean()) if known(float(rate.mean())) else None,
                    ),
                    _range(rate),
                    number(float(own["shrink"].mean())) if own["shrink"].notna().any() else "–",
                    _norm_cell(own["max_grad_norm"].median()),
                    _norm_cell(own["max_grad_norm"].max()),
                ]
            )
        columns = [
            *keys,
            "networks",
            "clipped updates",
            "range over networks",
            "mean shrink",
            "norm, median",
            "norm, worst",
        ]
        limits = (
            f"Under {percent(self.inert)} of updates a rule is inert, up to {percent(self.guard)} a"
            f" guard, up to {percent(self.limiter)} frequent, above a limiter. "
        )
        return Table(
            columns,
            rows,
            "Clip rate, shrink and largest gradient norm",
            limits
            + "Shrink: norm after over norm before, mean over clipped updates. Norm: largest finite"
            " gradient norm of a network before clipping.",
        )


def clipped_share(history: pd.DataFrame) -> pd.Series:
    """Share of updates that were clipped, by point."""
    return (history["clip_scale"] != 1).groupby(history["id"]).mean()


def _share(estimate: Estimate) -> str:
    """83 % [79 %, 87 %], or the value alone if both ends round to it."""
    value, low, high = (
        percent(min(1.0, max(0.0, share)))
        for share in (estimate.value, estimate.low, estimate.high)
    )
    return value if not known(estimate.low) or value == low == high else f"{value} [{low}, {high}]"


def _norm(value: float) -> str:
    if not known(float(value)):
        return "n/a"
    return (
        f"{value:.1e}".replace("e+0", "e")
        if value >= 1e5
        else f"{value:,.0f}"
        if value >= 100
        else number(value, 1)
    )


def _norm_cell(value: float) -> Cell:
    return Cell(_norm(value), float(value) if known(float(value)) else None)


def _range(rate: pd.Series) -> str:
    low, high = percent(rate.min()), percent(rate.max())
    return low if low == high else f"{low} to {high}"


def rates(
    study: Study,
    binned: pd.DataFrame,
    panel: str,
    ink_key: str,
    others: Sequence[str],
    limits: Sequence[float],
    width: float,
) -> Drawing:
    names = [name for name in study.levels(panel) if (binned[panel] == name).any()]
    figure, axes = panels(
        2,
        len(names),
        width=width,
        height=3.9,
        left=0.78,
        right=0.15,
        top=0.56,
        bottom=0.48,
        gap=(0.16, 0.16),
    )
    last = float(np.ceil(binned["last"].max()))
    norms = binned["norm"].to_numpy(dtype=float)
    norms = np.array([*norms[norms > 0], *limits])
    span = (float(norms.min()) / 1.3, float(norms.max()) * 1.3) if len(norms) else (0.1, 10.0)
    dash = dict(zip(study.levels(ink_key), DASHES * 9, strict=False))
    for j, name in enumerate(names):
        upper, lower = axes[0, j], axes[1, j]
        for other, own in binned[binned[panel] == name].groupby(ink_key, sort=False):
            where = {panel: name, ink_key: str(other)}
            colour = hue_of(study.factors, where)
            style = {"color": colour, "linestyle": dash[str(other)], "linewidth": 1.5}
            norm = upper.plot(own["update"], own["norm"], **style)
            text = f"gradient norm {_norm(float(own['norm'].median()))}, median over the run"
            marked(norm[0], level_mark(study, where, text))
            share = lower.plot(own["update"], own["clipped"], **style)
            text = f"{percent(float(own['clipped'].mean()))} of the updates clipped"
            marked(share[0], level_mark(study, where, text))
        for limit in limits:
            upper.axhline(limit, color=SOFT, linewidth=0.9, dashes=(3, 2), zorder=1)
        upper.set_title(level(panel, name))
        _set_axes(upper, lower, span, last, first=j == 0)
    shared_x_label(figure, "update", left=0.78, right=0.15)
    keys = [
        (level(ink_key, name), {"color": INK, "linestyle": dash[name], "linewidth": 1.8})
        for name in others
    ]
    legend(figure, keys, left=0.78)
    return figure


def _set_axes(
    upper: Axes, lower: Axes, span: tuple[float, float], last: float, *, first: bool
) -> None:
    """Scales, limits and ticks of a column of panels; labels on the first only."""
    upper.set_yscale("log")
    upper.set(ylim=span)
    ticks = _log_ticks(*span)
    upper.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    upper.minorticks_off()
    lower.set(ylim=(-0.03, 1.03))
    for axis in (upper, lower):
        axis.set_xlim(0, last)
    update_ticks(lower, last)
    lower.set_yticks([0, 0.5, 1], ["0 %", "50 %", "100 %"])
    upper.tick_params(labelbottom=False, labelleft=first)
    lower.tick_params(labelleft=first)
    if first:
        upper.set_ylabel("gradient norm")
        lower.set_ylabel("clipped updates")


def _log_ticks(low: float, high: float) -> list[float]:
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    fine = [step * 10.0**d for d in decades for step in (1, 2, 5) if low <= step * 10.0**d <= high]
    coarse = [10.0**d for d in decades if low <= 10.0**d <= high]
    return (
        fine
        if len(fine) <= 5
        else coarse[:: max(1, len(coarse) // 4)]
        if len(coarse) > 1
        else fine[::2]
    )
