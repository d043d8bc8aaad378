"""States and verdicts, with their evidence and the margin to the next class."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from reports.analysis.arms import outcome_words, summary, verdict_words, with_counted
from reports.analysis.ends import end_horizons, judged_by
from reports.analysis.loss_against_transport import loss_minus_transport
from reports.analysis.margins import close_ends, evidence
from reports.blocks import Cell, Fold, Prose, Section, Table
from reports.data.study import Study
from reports.formatting import VERDICT_SYMBOLS, count, decimals, interval, known, listing, number
from reports.statistics import mean_interval
from study.records import NETWORK

JUDGED = 0.9  # share of the judged lag from which lags are judged


class States:
    """One row per arm, and one per point.

    `apart`: decades between loss profile and transport from which a difference is reported.
    """

    title = "States and verdicts"
    needs = ("verdict",)

    def __init__(self, *, apart: float) -> None:
        if apart <= 0:
            raise ValueError(f"States: apart must be greater than 0, got {apart}")
        self.apart = apart

    def render(self, study: Study) -> Section:
        arms, points = summary(study), study.stored
        found = evidence(study).join(loss_minus_transport(study)["end"].rename("against"))
        blocks: list[object] = [Prose(self._sentence(study, points, found))]
        blocks += [Prose(text) for text in (judged_by(study),) if text]
        if found["against"].notna().any():
            blocks.append(Prose(self._against(found["against"].dropna())))
        blocks.append(self._by_arm(arms, points, found))
        layers = study.table("layers")
        horizons = end_horizons(study).reset_index(name="over_probes")
        layers = layers.astype({"layer": str}).merge(horizons, on=["id", "layer"], how="left")
        layers["horizon"] = layers["over_probes"].fillna(layers["horizon"].astype(float))
        if layers["layer"].nunique() > 2:  # the network and its only layer are the same
            blocks.append(
                Fold("Layer by layer", [self._by_layer(arms, layers[layers["layer"] != NETWORK])])
            )
        listed = study.for_listing(points)
        which = "All" if len(listed) == len(points) else f"Of {len(points):,}:"
        blocks.append(
            Fold(
                f"{which} {count(len(listed), 'network')}, with intervals over the probe examples",
                [self._by_point(study, arms, listed, found)],
            )
        )
        return Section(blocks)

    def _against(self, against: pd.Series) -> str:
        """A finding on the points where the loss gradient and transport differ by more than
        `apart`.
        """
        faster, slower = against[against < -self.apart], against[against > self.apart]
        text = (
            "At the last probe the gradient of the loss and that of a random direction, both"
            " relative to lag 1,"
            f" differ by more than {_decades(self.apart)} at the judged lag at "
        )
        if not len(faster) and not len(slower):
            return f"{text}no network."
        parts = []
        if len(faster):
            parts.append(
                f"at {len(faster)} the loss's falls off faster (median"
                f" {number(float(faster.median()), 1)} powers of ten): it asks little of early"
                " steps"
            )
        if len(slower):
            parts.append(
                f"at {len(slower)} slower ({number(float(slower.median()), 1, sign=True)}): it"
                " enters along a direction that carries, or by a way past the state, as from a"
                " readout that sees every step"
            )
        return (
            f"{text}{len(faster) + len(slower)} of {count(len(against), 'network')}:"
            f" {'; '.join(parts)}. The verdict follows the random direction."
        )

    def _sentence(self, study: Study, points: pd.DataFrame, evidence: pd.DataFrame) -> str:
        counts = points["verdict"].value_counts()
        sentence = listing(f"{name} {n}" for name, n in counts.items())
        silent = int((points["outcome"] == "silently diverged").sum())
        undefined = int((points["state"] == "undefined").sum())
        parts = [
            f"Verdicts of {count(len(points), 'network')}: {sentence}.",
            self._credit(points, evidence),
        ]
        parts += [close] if (close := close_ends(study)) else []
        if silent:
            parts.append(f"{count(silent, 'network')} diverged silently.")
        if undefined:
            parts.append(
                f"The end state of {undefined} is undefined (too many zero or non-finite examples)."
            )
        return " ".join(parts)

    def _credit(self, points: pd.DataFrame, evidence: pd.DataFrame) -> str:
        """At how many points credit is lost before the judged lag, at initialization and at the
        end.
        """
        judged = evidence[evidence["lag"].notna()]
        own = points.set_index("id").reindex(judged.index)
        if judged.empty:
            return ""
        # As D, which is the median over these lags: what carries has not lost credit before them.
        first = judged["lag"].astype(float).map(lambda lag: math.ceil(JUDGED * lag))
        reached = own["horizon_init"].astype(float), judged["horizon"].astype(float)
        (start, of_start), (end, of_end) = (
            (int((one < first).sum()), int(one.notna().sum())) for one in reached
        )
        lost = "The gradient is lost before the judged lags (below a thousandth is left)"
        if len(own) == 1 == of_start == of_end:
            return (
                f"{lost} at initialization: {'yes' if start else 'no'}; at the end:"
                f" {'yes' if end else 'no'}."
            )
        text = (
            f"{lost} in {start or 'none'} of {count(of_start, 'network')} at initialization and in"
            f" {end or 'none'}{f' of {of_end}' if of_end != of_start else ''} at the end."
        )
        without = [
            f"{len(own) - n} {when}"
            for n, when in ((of_start, "at initialization"), (of_end, "at the end"))
            if n < len(own)
        ]
        if without:
            text += (
                f" Without a horizon: {listing(without)}, where every gradient is exactly 0 or not"
                " finite a single step back."
            )
        return text

    def _by_layer(self, arms: pd.DataFrame, layers: pd.DataFrame) -> Table:
        label = dict(zip(arms["arm"], arms["label"], strict=True))
        rows = []
        for (arm, layer), own in layers.groupby(["arm", "layer"], sort=True, observed=True):
            verdicts = own["verdict"].value_counts()
            rows.append(
                [
                    label[arm],
                    str(layer),
                    listing(
                        f"{n} {VERDICT_SYMBOLS.get(name, '')} {name}"
                        for name, n in verdicts.items()
                    ),
                    str(len(own)),
                    _estimate(own["D_init"].astype(float)),
                    _estimate(own["D"].astype(float)),
                    _estimate(own["U"].astype(float)),
                    _of_lag(own),
                ]
            )
        columns = [
            "recipe",
            "layer",
            "verdicts",
            "n",
            "left at start",
            "left at end",
            "peak at end",
            "horizon",
        ]
        notes = (
            "Each layer on its own: its input is held constant, so it inherits no other layer's"
            " flow. Means over seeds with 95 % t interval."
        )
        return Table(columns, rows, "Verdicts by layer", notes, filtered=True)

    def _by_arm(self, arms: pd.DataFrame, points: pd.DataFrame, evidence: pd.DataFrame) -> Table:
        rows = []
        lags = evidence["lag"].dropna().unique() if len(evidence) else []
        one_lag = float(lags[0]) if len(lags) == 1 else None
        for _, arm in arms.iterrows():
            own = points[points["arm"] == arm["arm"]]
            if own.empty:
                rows.append([arm["label"], "no network yet", *[""] * 7])
                continue
            word, kind = verdict_words(arm)
            seen = evidence.reindex(own["id"])
            margin = (
                float(np.nanmin(seen["margin"].astype(float)))
                if seen["margin"].notna().any()
                else np.nan
            )
            opened = own["opened_at"].dropna()
            rows.append(
                [
                    arm["label"],
                    Cell(word, word[2:], f"{kind} free"),
                    _estimate(own["D_init"]),
                    _estimate(own["D"]),
                    _estimate(own["U"]),
                    _cell(margin, 1),
                    _of_lag(seen, one_lag),
                    (
                        Cell(f"{opened.median():,.0f} ({len(opened)})", float(opened.median()))
                        if len(opened)
                        else Cell("–", None)
                    ),
                    Cell(outcome_words(arm), None, "free"),
                ]
            )
        columns = [
            "recipe",
            "verdict",
            "left at start",
            "left at end",
            "peak at end",
            "margin",
            "horizon",
            "opened at",
            "outcome",
        ]
        notes = (
            "Left: remaining gradient at the judged lag, powers of ten; peak: its largest on"
            " the way; both mean over seeds with 95 % t interval. Margin: smallest distance of a"
            " seed's end state to another class, powers of ten. Horizon: median over the probes of"
            " the end state and over seeds, steps"
            + (
                f"; the judged lag is {number(one_lag, 0)}. "
                if one_lag
                else ", of the judged lag. "
            )
            + "Opened at: update of the first probe from which it carries, median over the seeds"
            " that opened (how many); they opened at some update since the probe before."
        )
        return Table(
            columns, rows, "Verdicts with their evidence, one row per recipe", notes, filtered=True
        )

    def _by_point(
        self, study: Study, arms: pd.DataFrame, points: pd.DataFrame, evidence: pd.DataFrame
    ) -> Table:
        label = dict(zip(arms["arm"], arms["label"], strict=True))
        counted = with_counted(study).set_index("id")["counted"]
        rows = []
        for _, point in points.iterrows():
            seen = evidence.loc[point["id"]] if point["id"] in evidence.index else None
            rows.append(
                [
                    label[point["arm"]],
                    str(point["seed"]),
                    Cell(point["verdict"] or "–", None, f"v-{point['verdict']}"),
                    point["outcome"] or "–",
                    f"{point['state_init'] or '–'} → {point['state'] or '–'}",
                    _cell(point["D_init"], 2),
                    _with_interval(point["D"], seen, "D"),
                    _with_interval(point["U"], seen, "U"),
                    _cell(float(seen["margin"]) if seen is not None else np.nan, 2),
                    _cell(float(seen["against"]) if seen is not None else np.nan, 1),
                    _cell(float(seen["horizon"]) if seen is not None else np.nan, 0),
                    _score_cell(counted.get(point["id"], point["score"])),
                    point["id"],
                ]
            )
        columns = [
            "recipe",
            "seed",
            "verdict",
            "outcome",
            "state",
            "left at start",
            "left at end",
            "peak at end",
            "margin",
            "loss against it",
            "horizon",
            "score",
            "id",
        ]
        notes = (
            "Loss against it: gradient of the loss less remaining gradient, powers of ten, last"
            " probe; below 0 the loss's gradient falls off faster."
        )
        return Table(
            columns,
            rows,
            "Every network; intervals: bootstrap over examples, 95 %, medians over the probes of"
            " the end state",
            notes,
            filtered=True,
        )


def _decades(decades: float) -> str:
    return "a factor of ten" if decades == 1 else f"{number(decades, 1)} powers of ten"


def _of_lag(rows: pd.DataFrame, one_lag: float | None = None) -> Cell:
    """Median horizon of these rows relative to the judged lag."""
    horizon, lag = (float(rows[name].astype(float).median()) for name in ("horizon", "lag"))
    if one_lag and known(horizon):
        return Cell(number(horizon, 0), horizon)
    return (
        Cell(f"{number(horizon, 0)} of {number(lag, 0)}", horizon)
        if known(horizon) and known(lag)
        else Cell("–", None)
    )


def _estimate(values: pd.Series) -> Cell:
    mean = mean_interval(values.tolist())
    return Cell(
        number(mean.value, 1) + (f" ± {number(mean.half, 1)}" if known(mean.half) else ""),
        mean.value if known(mean.value) else None,
    )


def _cell(value: float, digits: int) -> Cell:
    return Cell(number(value, digits), float(value)) if known(float(value)) else Cell("–", None)


def _score_cell(score: float) -> Cell:
    return _cell(score, decimals(score, least=3))


def _with_interval(value: float, seen: pd.Series | None, name: str) -> Cell:
    if not known(float(value)):
        return Cell("undefined", None)
    around = (
        f" {interval(float(seen[f'{name}_low']), float(seen[f'{name}_high']))}"
        if seen is not None and known(float(seen[f"{name}_low"]))
        else ""
    )
    return Cell(number(value) + around, float(value))
