"""Claims: each statement of the study with the numbers that support or refute it."""

from __future__ import annotations

import numpy as np

from reports.blocks import Cell, Prose, Rows, Section, Table
from reports.claims import Judged, judge
from reports.data import Study
from reports.words import interval, levels, number, percent

SIGNS = {"supported": "✓", "refuted": "✕", "inconclusive": "?"}


class Claims:
    """One sentence a claim, then the table behind them; no section where a study declares none (study.claims)."""

    title = "Claims"
    needs = ("outcome",)

    def render(self, study: Study) -> Section:
        claims = [judge(study, claim) for claim in study.declaration.get("claims", [])]
        if not claims:
            return Section([])
        counts = {word: sum(one.verdict == word for one in claims) for word in SIGNS}
        said = ", ".join(f"{n} {word}" for word, n in counts.items() if n)
        return Section([Prose(f"Of {len(claims)} declared claims: {said}."), *[Prose(sentence(one)) for one in claims], self._table(claims)])

    def _table(self, claims: list[Judged]) -> Table:
        rows: Rows = [
            [
                one.statement,
                Cell(f"{SIGNS[one.verdict]} {one.verdict}", one.verdict),
                one.measure.text,
                f"{levels(one.better)}: {_side(one, 0)}",
                f"{levels(one.worse)}: {_side(one, 1)}",
                Cell(f"{number(one.difference.value, sign=True)} {interval(one.difference.low, one.difference.high)}", one.difference.value),
                number(one.least),
            ]
            for one in claims
        ]
        columns = ["claim", "found", "by", "said to be better", "said to be worse", "difference", "least that matters"]
        notes = (
            "Difference: positive speaks for the claim; 95 % interval, Welch's t over points for means, Newcombe's for shares. Supported: the interval "
            "lies above 0 and the difference is at least what matters; refuted: the whole interval lies below what matters; else inconclusive. "
            "Claims are declared in the study's YAML and were not picked by looking; several claims are not corrected for one another."
        )
        return Table(columns, rows, "Claims and what was found", notes)


def sentence(one: Judged) -> str:
    """Clipping mends explosion: supported. 0 of 3 points with clip norm were lost, 3 of 3 with clip none …"""
    found = f"{one.statement.rstrip('.')}: {one.verdict}."
    empty = [levels(side) for side, values in zip((one.better, one.worse), one.values, strict=True) if not len(values)]
    if empty:
        return f"{found} There is no point yet on {' nor on '.join(empty)}."
    sides = f"{one.measure.text[0].upper()}{one.measure.text[1:]}: {_side(one, 0)} with {levels(one.better)}, {_side(one, 1)} with {levels(one.worse)}"
    return f"{found} {sides} (difference {number(abs(one.difference.value))}, interval {_positive(one)})."


def _positive(one: Judged) -> str:
    """The interval of the difference in the direction in which the sentence states it."""
    low, high = one.difference.low, one.difference.high
    return interval(low, high) if one.difference.value >= 0 else interval(-high, -low)


def _side(one: Judged, which: int) -> str:
    values = np.asarray(one.values[which], dtype=float)
    if not len(values):
        return "no point"
    if one.measure.share:
        return f"{int(values.sum())} of {len(values)} ({percent(float(values.mean()))})"
    spread = f" ± {number(float(values.std(ddof=1)))} sd" if len(values) > 1 else ""
    return f"{number(float(values.mean()))}{spread} (n = {len(values)})"
