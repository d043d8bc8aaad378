"""Dynamics of the recurrence: spectra, exponents, Ω, saturation and time scales."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pandas as pd

from reports.analysis.dynamics import Reading, can_saturate, ends, judged_lags, reading, spectra
from reports.analysis.marks import level_mark
from reports.blocks import Cell, Figure, Heading, Prose, Rows, Section, Table
from reports.data.study import Study
from reports.figures.lyapunov import lyapunov_spectra
from reports.figures.marks import Mark
from reports.figures.theme import PanelGrid, draw
from reports.formatting import count, known, level, listing, number, percent

HOW = (
    "Each line holds all [exponents|Lyapunov exponent] of a network, the largest at the left. A"
    " line that begins above 0 has a direction in which small changes grow; one that begins at 0"
    " keeps a direction, and one that lies below 0 whole forgets everything in time. The steeper it"
    " falls, the fewer directions carry the gradient."
)


@dataclass(frozen=True)
class Shown:
    """A quantity as a column: how a point's layers and numbers become one value, how it is
    formatted, and what it means.
    """

    title: str
    quantity: str
    across: str
    write: Callable[[float], str]
    meaning: str


def _digits(digits: int) -> Callable[[float], str]:
    return lambda value: (
        ("∞" if value > 0 else "−∞")
        if math.isinf(value)
        else number(value, digits if abs(value) < 100 else 0)
    )


COLUMNS = (
    Shown(
        "radius of W_h",
        "spectral_radius",
        "max",
        _digits(2),
        "largest |eigenvalue| of the recurrent weights, over gates and layers",
    ),
    Shown(
        "radius of J",
        "step_radius",
        "max",
        _digits(2),
        "the same of single steps' Jacobians, where the states really are",
    ),
    Shown(
        "σ max",
        "log10_sigma_max",
        "max",
        _digits(1),
        "largest singular value of the Jacobian over the longest lag measured, powers of ten,"
        " largest layer",
    ),
    Shown(
        "condition",
        "log10_condition",
        "max",
        _digits(1),
        "its largest over its smallest singular value, powers of ten; ∞: a direction is lost"
        " within a step",
    ),
    Shown(
        "effective rank",
        "effective_rank",
        "min",
        _digits(1),
        "directions that get through it: exp of the entropy of its singular values, worst layer",
    ),
    Shown(
        "Ω",
        "omega",
        "max",
        _digits(2),
        "Pascanu's sum over steps of (‖GJ‖/‖G‖ − 1)², layer with the most; 0: every step keeps the"
        " gradient's norm",
    ),
    Shown(
        "mean lag",
        "mean_lag",
        "mean",
        _digits(1),
        "steps back from the loss that the weights' gradient comes from, weighted by norm, mean"
        " over layers",
    ),
    Shown(
        "depth",
        "log10_depth",
        "min",
        _digits(1),
        "gradient at the worst layer relative to the top one at the same step, longest lag"
        " measured, powers of ten",
    ),
    Shown(
        "saturated",
        "saturation",
        "max",
        percent,
        "share of |h| near 1, layer with the most; of cells whose states end there, as tanh does",
    ),
    Shown(
        "timescale",
        "unit_timescale.",
        "median",
        _digits(1),
        "steps a unit's keep gate remembers, −1 / mean ln f, median over units and layers",
    ),
)


PHRASES = {
    "chaotic": "is chaotic",
    "forgets": "forgets",
    "undecided": "cannot be called either",
    "no interval": "has no interval to judge by",
}
SAID = {
    "radius of W_h": "The spectral radius of the recurrent weights",
    "saturated": "The share of saturated states",
    "timescale": "The timescale of the keep gates, in steps,",
    "Ω": "Pascanu's Ω",
}


class Dynamics:
    """Shown only if a probe of the dynamics was switched on.

    `grid`: number of positions at which spectra are drawn; `floor`: nats per step below which no
    spectrum is drawn.
    """

    title = "Dynamics of the recurrence"
    needs = ()

    def __init__(self, *, grid: int, floor: float) -> None:
        if grid < 2 or floor >= 0:
            raise ValueError(
                f"Dynamics: grid must be at least 2 and floor below 0, got grid={grid},"
                f" floor={floor}"
            )
        self.grid, self.floor = grid, floor

    def render(self, study: Study) -> Section:
        measures = study.table("measures")
        if measures.empty:
            return Section([])
        flat = measures["quantity"].eq("saturation") & ~measures["id"].isin(can_saturate(study))
        measures = measures[~flat]
        columns = {one.title: (one, ends(measures, one.quantity, one.across)) for one in COLUMNS}
        if measures.loc[measures["quantity"] == "log10_depth", "layer"].nunique() == 1:
            del columns["depth"]  # nothing lies below the top layer
        columns = {title: (one, found) for title, (one, found) in columns.items() if len(found)}
        exponents = ends(measures, "lyapunov", "max")
        readings = self._readings(study, exponents) if len(exponents) else {}
        if not columns and not readings:
            return Section([])
        blocks: list[object] = [
            Prose(self._sentence(study, columns, readings)),
            self._table(study, columns, readings),
        ]
        return Section([*blocks, *self._figures(study, measures)])

    def _readings(self, study: Study, exponents: pd.DataFrame) -> dict[int, Reading]:
        """Readings of the exponents at the last probe, by arm."""
        lags, found = judged_lags(study), {}
        for arm, own in study.stored.groupby("arm"):
            exponents_of = exponents.reindex(own["id"])["end"].dropna()
            if len(exponents_of):
                found[arm] = reading(
                    exponents_of.tolist(), float(lags.reindex(exponents_of.index).max())
                )
        return found

    def _sentence(
        self,
        study: Study,
        columns: dict[str, tuple[Shown, pd.DataFrame]],
        readings: dict[int, Reading],
    ) -> str:
        parts = []
        if readings:
            parts.append(_read([one.word for one in readings.values()]))
        for title in ("radius of W_h", "saturated", "timescale", "Ω"):
            if title in columns:
                one, found = columns[title]
                found = found.dropna()
                if len(found):
                    parts.append(f"{SAID[title]} {_went(one, found, len(study.stored))}.")
        return " ".join(parts) + (
            f" Medians over {count(len(study.stored), 'network')}, first to last probe [lowest,"
            " highest at the last]."
            if len(columns)
            else ""
        )

    def _table(
        self,
        study: Study,
        columns: dict[str, tuple[Shown, pd.DataFrame]],
        readings: dict[int, Reading],
    ) -> Table:
        rows: Rows = []
        for arm in study.arms.itertuples(index=False):
            ids = study.stored.loc[study.stored["arm"] == arm.arm, "id"]
            cells: list[Cell | str] = [str(arm.label), str(len(ids))]
            if readings:
                cells += _exponent(readings.get(arm.arm))
            rows.append(
                [*cells, *(_ends(one, found.reindex(ids)) for one, found in columns.values())]
            )
        titles = ["recipe", "n", *(["largest exponent", "reading"] if readings else []), *columns]
        notes = "First → last probe, median over seeds. " + " ".join(
            f"{title}: {one.meaning}." for title, (one, _) in columns.items()
        )
        if readings:
            notes += (
                " Largest exponent: λ₁ in nats per step at the last probe, largest over layers,"
                " mean over seeds with 95 % t interval."
            )
        return Table(
            titles, rows, "Dynamics of the recurrence, one row per recipe", notes, filtered=True
        )

    def _figures(self, study: Study, measures: pd.DataFrame) -> list[object]:
        split = "depth" if "depth" in study.other_factors else None
        rows = spectra(measures, [*study.matrix_factors, *([split] if split else [])], self.grid)
        blocks: list[object] = []
        for value in study.levels(split) if split and len(rows) else [None]:
            own = rows[rows[split] == value] if value is not None else rows
            if len(own):
                blocks += [Heading(level("depth", value).capitalize())] if value is not None else []
                blocks.append(self._figure(study, own, value))
        return blocks

    def _figure(self, study: Study, rows: pd.DataFrame, depth: str | None) -> Figure:
        grid = PanelGrid(*_with_levels(study, 0), *_with_levels(study, 1))
        lags = judged_lags(study)
        forgets = -math.log(100) / float(lags.max()) if lags.nunique() == 1 else None
        width = max(10.0, 2.1 + 1.5 * len(grid.column_levels))

        def says(i: int, j: int, text: str) -> Mark:
            where = {grid.row_key: grid.row_levels[i], grid.column_key: grid.column_levels[j]}
            return level_mark(study, where | ({"depth": depth} if depth else {}), text)

        picture = draw(
            lambda _: lyapunov_spectra(
                rows, grid, forgets=forgets, floor=self.floor, width=width, says=says
            ),
            name=f"dynamics-{depth or 'all'}".replace(".", "-"),
        )
        finding = _largest(rows, grid)
        caption = (
            f"Median over networks (up to {int(rows['points'].max())} a panel). Above 0 a small"
            " change of the state grows, below it dies out; a line that leaves the panel below"
            f" goes under {number(self.floor, 0)} or has lost that direction within a step."
            " Exponents of a finite sequence under its own input, each layer's input held"
            " constant: the network's are those of its layers together."
        )
        table = _spectra_table(rows, study.matrix_factors)
        return Figure(picture, caption, f"Lyapunov spectra. {finding}", table, width, finding, HOW)


def _went(one: Shown, found: pd.DataFrame, total: int) -> str:
    """Medians at the first and the last probe, with the range at the last, which may be wide."""
    start, end, low, high = (
        one.write(float(value))
        for value in (
            found["start"].median(),
            found["end"].median(),
            found["end"].min(),
            found["end"].max(),
        )
    )
    text = f"went from {start} to {end}" if start != end else f"stayed at {start}"
    text += f" [{low}, {high}]" if low != high else ""
    return text + (f" at {count(len(found), 'network')}" if len(found) < total else "")


def _with_levels(study: Study, side: int) -> tuple[str, list[str]]:
    key = study.matrix_factors[side]
    return key, study.levels(key)


def _read(words: Sequence[str]) -> str:
    """What the recurrence does, by how many arms have each reading."""
    total = len(words)
    said = [f"{phrase} in {words.count(word)}" for word, phrase in PHRASES.items() if word in words]
    if len(said) == 1:
        arms = (
            "the only recipe"
            if total == 1
            else "both recipes"
            if total == 2
            else f"all {total} recipes"
        )
        does = f"{PHRASES[words[0]]} in {arms}"
    else:
        does = f"{listing(said)} of {total} recipes"
    return (
        f"By the largest Lyapunov exponent at the last probe, the recurrence {does}. It is called"
        " chaotic only where the 95 % interval over seeds lies above 0, and said to forget only"
        " where the interval lies below −ln(100)/K."
    )


def _largest(rows: pd.DataFrame, grid: PanelGrid) -> str:
    """The sentence on the largest exponent of each panel at the last probe."""
    last = rows[(rows["end"] == rows["end"].max()) & (rows["share"] == 0)]
    found = [
        f"{grid.row_names[i]} {grid.column_names[j]} {_digits(3)(float(panel['value'].iloc[0]))}"
        for i, j in grid
        if len(panel := grid.select(last, i, j))
    ]
    return (
        "Largest exponent at the last probe, nats per step:"
        f" {'; '.join(found[:6])}{'; …' if len(found) > 6 else ''}."
    )


def _spectra_table(rows: pd.DataFrame, keys: tuple[str, str]) -> Table:
    """Quantiles of each spectrum, first and last probe."""
    table_rows: Rows = []
    for (one, other, end), own in rows.groupby([*keys, "end"], sort=False):
        values = own.sort_values("share")["value"].tolist()
        cells: list[Cell | str] = [
            _number(values[round(at * (len(values) - 1))], 3) for at in (0, 0.25, 0.5, 0.75, 1)
        ]
        table_rows.append(
            [
                level(keys[0], one),
                level(keys[1], other),
                ("first", "last")[int(end)],
                *cells,
                str(int(own["points"].max())),
            ]
        )
    columns = [
        *keys,
        "probe",
        "largest",
        "upper quarter",
        "median",
        "lower quarter",
        "smallest",
        "networks",
    ]
    return Table(columns, table_rows, "Lyapunov spectra, nats per step")


def _exponent(found: Reading | None) -> list[Cell | str]:
    if found is None:
        return [Cell("–", None), "–"]
    value = found.exponent.value
    text = (
        number(value, 3)
        + (f" ± {number(found.exponent.half, 3)}" if known(found.exponent.half) else "")
        if known(value)
        else "−∞"
    )
    text += f" ({found.lost} at −∞)" if found.lost and known(value) else ""
    return [Cell(text, value if known(value) else None), found.word]


def _ends(one: Shown, found: pd.DataFrame) -> Cell:
    found = found.dropna()
    if found.empty:
        return Cell("–", None)
    start, end = float(found["start"].median()), float(found["end"].median())
    return Cell(f"{one.write(start)} → {one.write(end)}", end if known(end) else None)


def _number(value: float, digits: int) -> Cell:
    return Cell(_digits(digits)(value), value if known(value) else None)
