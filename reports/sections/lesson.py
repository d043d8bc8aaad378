"""The claims of a study as a lesson: each with its answer, its formula and its figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from reports.analysis.arms import with_counted
from reports.analysis.claim_ledger import all_claims
from reports.analysis.claim_words import label, side_values
from reports.analysis.comparison import match
from reports.analysis.judged_claim import JudgedClaim
from reports.analysis.marks import point_marks
from reports.blocks import Card, Cards, Cell, Figure, Rows, Section, Table
from reports.data.study import Study
from reports.figures.lesson import WIDTH, Line, lines_of_two_sides
from reports.figures.theme import colours, draw
from reports.findings.finding import NOT_DECIDED
from reports.formatting import known, levels, number, score_number
from study.records import NETWORK

BY_LAG = ("opens", "carries", "D", "D_init")  # measures of what arrives from earlier steps
CURVES = "learning"
HOW = {
    CURVES: (
        "Each line is a network: its validation score after each validation, while it trained."
        " Solid lines are the side that the claim says is better, dashed lines the other side; a"
        " red line was [lost]."
    ),
    "lag": (
        "Each line is a network at its last probe: how much of a gradient at the last step arrives"
        " so many steps earlier, in powers of ten relative to one step back. Solid lines are the"
        " side that the claim says is better, dashed lines the other side; thin lines are the same"
        " networks before training. Zeros and what is not finite are not drawn."
    ),
}


class Lesson:
    """Leads the page of a study whose claims have a formula (`formula`, `means`)."""

    title = "Claims and what was found"
    needs = ()

    def render(self, study: Study) -> Section:
        declared = study.declaration.get("claims", [])
        judged = all_claims(study).own.values()
        pairs = zip(declared, judged, strict=True)
        cards = [_card(study, claim, one) for claim, one in pairs if one.formula]
        return Section([Cards(cards)] if cards else [])


def _card(study: Study, claim: Mapping[str, Any], one: JudgedClaim) -> Card:
    return Card(
        one.statement, label(one), _found(one), one.formula, one.means, _figure(study, claim, one)
    )


def _found(one: JudgedClaim) -> str:
    """The numbers of both sides, or why there are none."""
    if not one.better or not known(one.difference.value):
        return f"{one.why[:1].upper()}{one.why[1:]}." if one.why else ""
    sides = " against ".join(
        f"{side_values(one, at)} with {levels(side)}"
        for at, side in enumerate((one.better, one.worse))
    )
    why = f" {one.why[0].upper()}{one.why[1:]}." if one.verdict == NOT_DECIDED and one.why else ""
    return f"{one.measure[0].upper()}{one.measure[1:]}: {sides}.{why}"


def _figure(study: Study, claim: Mapping[str, Any], one: JudgedClaim) -> Figure | None:
    """What the two sides did; None where a claim has none, or nothing was stored of them."""
    if not one.better or not one.worse:
        return None
    points = with_counted(study)
    sides = match(study, points, claim["better"], claim["worse"], claim.get("when") or {})
    both = [sides.of(sides.first), sides.of(sides.second)]
    by_lag = one.by in BY_LAG
    lines = [
        line
        for points_of, first in zip(both, (True, False), strict=True)
        for line in (_profiles if by_lag else _curves)(study, points_of, first, claim)
    ]
    if not lines:
        return None
    x, y = (
        ("steps back", "arriving (powers of ten)")
        if by_lag
        else ("update", f"validation {study.metric}")
    )
    names = (levels(one.better), levels(one.worse))
    lag = max((float(value) for value in both[0]["lag"].dropna()), default=None) if by_lag else None
    finding = f"{one.statement}: {label(one)}"
    return Figure(
        draw(lambda _: lines_of_two_sides(lines, names, x, y, lag), name=f"lesson-{one.by}"),
        f"Solid: {names[0]}; dashed: {names[1]}"
        + ("; thin: before training." if by_lag else "; red: lost."),
        f"{finding}. {_found(one)}",
        _table(study, both, one),
        WIDTH,
        "",
        HOW["lag" if by_lag else CURVES],
    )


def _colour(study: Study, point: Mapping[Any, Any], claim: Mapping[str, Any]) -> str:
    """The cell's colour where the claim compares cells, else ""."""
    compares = "cell" in claim["better"] or "cell" in claim["worse"]
    cells = study.factors.get("cell")
    return colours(cells)[str(point["cell"])] if compares and cells else ""


def _curves(
    study: Study, points: pd.DataFrame, first: bool, claim: Mapping[str, Any]
) -> list[Line]:
    """Validation scores of each network."""
    history = study.table("history")
    if history.empty:
        return []
    rows = history[history["val_score"].notna()]
    by_point = dict(iter(rows[rows["id"].isin(points["id"])].groupby("id", sort=False)))
    found = []
    for point, mark in zip(points.to_dict("records"), _marks(study, points), strict=True):
        own = by_point.get(point["id"])
        if own is not None:
            x, y = (own[name].to_numpy(dtype=float) for name in ("update", "val_score"))
            ink = _colour(study, point, claim)
            found.append(Line(x, y, first, mark, ink, lost=bool(point["lost"])))
    return found


def _profiles(
    study: Study, points: pd.DataFrame, first: bool, claim: Mapping[str, Any]
) -> list[Line]:
    """Transport by lag relative to one step back, of each network, at its last and first probe."""
    profile = study.table("profile")
    if profile.empty:
        return []
    rows = profile[
        (profile["probe"] == "transport") & (profile["layer"] == NETWORK) & (profile["lag"] >= 1)
    ]
    by_point = dict(iter(rows[rows["id"].isin(points["id"])].groupby("id", sort=False)))
    found = []
    for point, mark in zip(points.to_dict("records"), _marks(study, points), strict=True):
        own = by_point.get(point["id"])
        if own is None:
            continue
        ink, stages = _colour(study, point, claim), sorted(own["stage"].unique())
        for stage in dict.fromkeys((stages[-1], stages[0])):
            line = own[own["stage"] == stage].sort_values("lag")
            y = line["log10_mean"].to_numpy(dtype=float)
            start = stage != stages[-1]
            text = replace(mark, text=f"{mark.text}, before training") if start else mark
            x = line["lag"].to_numpy(dtype=float)
            found.append(Line(x, y - y[0], first, text, ink, start=start))
    return found


def _marks(study: Study, points: pd.DataFrame) -> Sequence[Any]:
    texts = [
        f"test {study.metric} {score_number(score, 3)}" for score in points["score"].astype(float)
    ]
    return point_marks(study, points, texts)


def _table(study: Study, both: Sequence[pd.DataFrame], one: JudgedClaim) -> Table:
    """The networks of both sides."""
    rows: Rows = [
        [
            str(point["id"]),
            side,
            str(point["seed"]),
            Cell(score_number(point["score"], 3), _sort(point["score"])),
            Cell(number(point["D"], 1), _sort(point["D"])),
            "lost" if point["lost"] else str(point["outcome"]),
        ]
        for points, side in zip(both, map(levels, (one.better, one.worse)), strict=True)
        for point in points.to_dict("records")
    ]
    heads = ["network", "side", "seed", f"test {study.metric}", "D at the end", "outcome"]
    return Table(heads, rows, f"Networks behind: {one.statement}")


def _sort(value: Any) -> float | None:
    return float(value) if known(value) and np.isfinite(value) else None
