"""Single examples: saliency, attention and gates step by step, if their probes were switched on."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from reports.analysis.marks import arms_with
from reports.analysis.traces import by_point, ends, gates, half_lag, relative, spread, with_input
from reports.blocks import Cell, Figure, Heading, Prose, Rows, Section, Table
from reports.data.study import Study
from reports.figures.examples import gate_lines, strips
from reports.figures.marks import Mark
from reports.figures.theme import draw
from reports.formatting import count, known, level, levels, listing, number, slug

SALIENCY = (
    "A strip is one recipe, a column one [example]: always the same one, so that strips can be"
    " compared. The colour at a step says how much the loss at the end would change with the input"
    " there ([saliency]): pale as much as where it looks most, dark by powers of ten less. A"
    " strip that is pale at its right end alone looks at the last steps only; one that is pale"
    " below the peaks of the grey line, where something happens in the input, looks where it"
    " should."
)
ATTENTION = (
    "As above, but the colour says how much a step counts in the readout ([attention]), against all"
    " steps alike: pale as much as the mean step, red more, dark less. A strip of one pale colour"
    " is a readout that takes the mean."
)
GATES = (
    "A panel is one cell on one [example]; a line is a [gate], its mean over the units of the top"
    " layer, between 0 (shut) and 1 (open); the band holds the units between the quantiles. Where"
    " the band is wide, units do different things. Dashed is the first [probe]: what training has"
    " changed lies between a dashed line and its solid one. A gate that moves with the input is"
    " used; a flat one is a constant."
)
WIDTH = 10.0
PROBES = ("first probe", "last probe")
Labels = Mapping[str, str]


class Examples:
    """Shown only if something was measured.

    `low`: decades of saliency at which the colour scale ends; `rows`: most strips in a figure,
    above which factors are pooled.
    """

    title = "What single examples show"
    needs = ()

    def __init__(self, *, low: float, rows: int) -> None:
        if low >= 0 or rows < 1:
            raise ValueError(
                f"Examples: low must be below 0 and rows at least 1, got low={low}, rows={rows}"
            )
        self.low, self.rows = low, rows

    def render(self, study: Study) -> Section:
        traces = study.table("traces")
        if traces.empty:
            return Section([])
        # Examples belong to one task of one length; if these vary, each gets its own figures.
        splits = [key for key in study.factors if key == "task" or key.startswith("task.")]
        blocks: list[object] = []
        for part in study.combinations(splits):
            own = (
                traces[np.all([traces[key] == name for key, name in part.items()], axis=0)]
                if part
                else traces
            )
            if len(own):
                sentence = levels(part)
                blocks += [Heading(sentence[0].upper() + sentence[1:])] if part else []
                blocks += self._part(study, own, part)
        return Section([Prose(_lead(traces)), *blocks])

    def _part(self, study: Study, traces: pd.DataFrame, part: Labels) -> list[Figure]:
        every, figures = ends(traces), []
        inputs = every[every["quantity"] == "input"]
        for quantity, make in (("saliency", self._saliency), ("attention", self._attention)):
            rows = every[every["quantity"] == quantity]
            if len(rows):
                figures.append(make(study, rows, inputs, part))
        rows = every[every["quantity"].str.startswith("gate.")]
        return [*figures, _gates(study, rows, part)] if len(rows) else figures

    def _saliency(
        self, study: Study, rows: pd.DataFrame, inputs: pd.DataFrame, part: Labels
    ) -> Figure:
        half, over, alike = (
            by_point(rows, half_lag),
            by_point(rows, spread),
            with_input(rows, inputs),
        )
        total = by_point(
            rows, lambda values: float(np.log10(values.sum())) if values.sum() > 0 else -math.inf
        )
        columns = [
            ("half within the last … steps", half, 0),
            ("spread over … steps", over, 1),
            ("rank correlation with the input", alike, 2),
            ("its sum, powers of ten", total, 1),
        ]
        steps, keys = int(rows["step"].max()) + 1, _row_keys(study, rows, part, self.rows)
        finding = (
            "At the last probe half of the saliency lies within the last"
            f" {_extremes(study, rows, keys, half, 0)} of {steps} steps, and it spreads over"
            f" {_extremes(study, rows, keys, over, 1)} steps (exp of its entropy)."
        )
        caption = (
            "Of the loss at the last valid step, relative to where the example's saliency is"
            f" largest; no colour goes below {number(self.low, 0)} powers of ten."
        )
        title = "‖∂loss/∂x_t‖ relative to its largest (powers of ten)"
        return self._strips(
            study,
            rows,
            inputs,
            part,
            "saliency",
            relative_to="max",
            span=(self.low, 2.0),
            words=(title, finding, caption, SALIENCY),
            columns=columns,
        )

    def _attention(
        self, study: Study, rows: pd.DataFrame, inputs: pd.DataFrame, part: Labels
    ) -> Figure:
        over, alike = by_point(rows, spread), with_input(rows, inputs)
        columns = [("spread over … steps", over, 1), ("rank correlation with the input", alike, 2)]
        steps = int(rows["step"].max()) + 1
        finding = (
            f"Attention spreads over so many of {steps} steps (exp of its entropy), first → last"
            f" probe: {_by_first(study, over, 1)}."
        )
        caption = "Relative to the mean step, which gets one part in as many as there are steps."
        words = ("attention relative to the mean step (powers of ten)", finding, caption, ATTENTION)
        return self._strips(
            study,
            rows,
            inputs,
            part,
            "attention",
            relative_to="mean",
            span=(-2.0, 2.0),
            words=words,
            columns=columns,
        )

    def _strips(
        self,
        study: Study,
        rows: pd.DataFrame,
        inputs: pd.DataFrame,
        part: Labels,
        name: str,
        *,
        relative_to: str,
        span: tuple[float, float],
        words: tuple[str, str, str, str],
        columns: Sequence[tuple[str, pd.DataFrame, int]],
    ) -> Figure:
        title, finding, caption, how = words
        keys = _row_keys(study, rows, part, self.rows)
        found = relative(rows, keys, relative_to)
        combinations = [one for one in study.combinations(keys) if len(_only(found, one))][
            : self.rows
        ]
        lengths = (found.groupby("example")["step"].max() + 1).tolist()
        values = _grids(found, combinations, lengths)
        known_inputs = [_input(inputs, example) for example in range(len(lengths))]
        names = [levels(one) for one in combinations]
        shown = PROBES[: 1 + int(found["end"].max())]
        picture = draw(
            lambda _: strips(
                values,
                lengths,
                known_inputs,
                names,
                shown,
                low=span[0],
                high=span[1],
                title=title,
                width=WIDTH,
                shows=Mark(name, arms_with(study, part)),
            ),
            name="-".join([name, *map(slug, part.values())]),
        )
        pooled = [key for key in study.factors if key not in keys and key not in part]
        caption += (
            f" Median over {listing([*pooled, 'seeds'])} (up to {int(found['points'].max())}"
            " networks per strip). Grey: distance of the input from its mean over the example."
        )
        table = _table(rows, combinations, columns, name)
        where = f" at {levels(part)}" if part else ""
        return Figure(
            picture,
            caption,
            f"{name.capitalize()} of single examples{where}. {finding}",
            table,
            WIDTH,
            finding,
            how,
        )


def _lead(traces: pd.DataFrame) -> str:
    examples, points = int(traces["example"].max()) + 1, int(traces["id"].nunique())
    kinds = {
        "saliency": "where the loss looks",
        "attention": "what the readout attends to",
        "gate.": "what the gates do",
    }
    there = traces["quantity"].drop_duplicates()
    sentence = listing(words for name, words in kinds.items() if there.str.startswith(name).any())
    what = f"{sentence[0].upper()}{sentence[1:]}"
    where = f"on {count(examples, 'fixed example')} of the probe batch ({count(points, 'network')})"
    return f"{what}, step by step, {where}. Examples illustrate; they are too few to test anything."


def _row_keys(study: Study, rows: pd.DataFrame, part: Labels, most: int) -> list[str]:
    """Factors whose combinations get a strip each: all, or the first two if there would be too
    many.
    """
    keys = [key for key in study.factors if key not in part]
    if rows["arm"].nunique() > most:
        keys = [key for key in study.matrix_factors if key not in part]
    return keys or [study.matrix_factors[0]]


def _only(rows: pd.DataFrame, labels: Labels) -> pd.DataFrame:
    return rows[np.all([rows[key] == name for key, name in labels.items()], axis=0)]


def _input(inputs: pd.DataFrame, example: int) -> np.ndarray | None:
    """The input of an example: the first point's, since all points have the same."""
    own = inputs[inputs["example"] == example]
    if own.empty:
        return None
    own = own[own["id"] == own["id"].iloc[0]].sort_values("step")
    return own["value"].to_numpy(dtype=float)


def _extremes(
    study: Study, rows: pd.DataFrame, keys: Sequence[str], found: pd.DataFrame, digits: int
) -> str:
    """2 (rnn · normal) to 31 (gru · orthogonal): lowest and highest median, last probe."""
    points = rows.drop_duplicates("id").set_index("id")
    last = found["end"].where(found["end"].notna(), found["start"])
    medians = [
        (float(last.reindex(_only(points, one).index).median()), levels(one))
        for one in study.combinations(keys)
    ]
    medians = sorted((value, name) for value, name in medians if known(value))
    if not medians:
        return "an unknown number"
    (least, first), (most, second) = medians[0], medians[-1]
    return (
        f"{number(least, digits)} ({first}) to {number(most, digits)} ({second})"
        if len(medians) > 1
        else number(least, digits)
    )


def _by_first(study: Study, found: pd.DataFrame, digits: int) -> str:
    """rnn 2 → 3 and gru 3 → 41: medians over points, by the first factor."""
    key, points = study.matrix_factors[0], study.stored.set_index("id")
    parts = []
    for name in study.levels(key):
        own = found[found.index.map(points[key]) == name]
        if len(own):
            parts.append(
                f"{level(key, name)} {_pair(own['start'].median(), own['end'].median(), digits)}"
            )
    return listing(parts)


def _pair(start: float, end: float, digits: int) -> str:
    return (
        number(start, digits)
        if pd.isna(end)
        else f"{number(start, digits)} → {number(end, digits)}"
    )


def _table(
    rows: pd.DataFrame,
    combinations: Sequence[Labels],
    columns: Sequence[tuple[str, pd.DataFrame, int]],
    name: str,
) -> Table:
    points = rows.drop_duplicates("id").set_index("id")
    shown: Rows = []
    for one in combinations:
        ids = _only(points, one).index
        cells: list[Cell | str] = [levels(one), str(len(ids))]
        for _, found, digits in columns:
            own = found.reindex(ids)
            start, end = float(own["start"].median()), float(own["end"].median())
            value = end if known(end) else start
            cells.append(Cell(_pair(start, end, digits), value if known(value) else None))
        shown.append(cells)
    notes = "First → last probe, median over the examples of a network, then over networks."
    return Table(
        ["recipe", "networks", *(title for title, _, _ in columns)],
        shown,
        f"{name.capitalize()} of single examples",
        notes,
        filtered=True,
    )


def _grids(
    found: pd.DataFrame, combinations: Sequence[Labels], lengths: Sequence[int]
) -> dict[tuple[int, int], np.ndarray]:
    """Values [combinations, steps] by example and end; NaN where there is none."""
    grids = {}
    for example, length in enumerate(lengths):
        for end in sorted(found["end"].unique()):
            grid = np.full((len(combinations), length), np.nan)
            for row, one in enumerate(combinations):
                own = _only(found, one)
                own = own[(own["end"] == end) & (own["example"] == example)]
                grid[row, own["step"].to_numpy(dtype=int)] = own["value"].to_numpy(dtype=float)
            grids[example, int(end)] = grid
    return grids


def _gates(study: Study, rows: pd.DataFrame, part: Labels) -> Figure:
    cell_of = study.stored.set_index("id")["cell"]
    rows = rows.drop(columns=[name for name in ("cell",) if name in rows]).assign(
        cell=rows["id"].map(cell_of)
    )
    found = gates(rows, ["cell"])
    cells = [name for name in study.levels("cell") if (found["cell"] == name).any()] or sorted(
        found["cell"].unique()
    )
    lengths = (found.groupby("example")["step"].max() + 1).tolist()
    names = sorted(found["gate"].unique())
    lines: dict[
        tuple[int, int], dict[tuple[str, int], tuple[np.ndarray, np.ndarray, np.ndarray]]
    ] = {}
    for keyed, own in found.groupby(["cell", "example", "gate", "end"], sort=True):
        cell, example, gate, end = keyed
        own = own.sort_values("step")
        mean, low, high = (own[name].to_numpy(dtype=float) for name in ("mean", "low", "high"))
        panel = lines.setdefault((cells.index(cell), int(example)), {})
        panel[str(gate), int(end)] = (mean, low, high)
    picture = draw(
        lambda _: gate_lines(
            lines,
            [level("cell", name) for name in cells],
            lengths,
            names,
            width=WIDTH,
            shows=[Mark(level("cell", name), arms_with(study, {"cell": name})) for name in cells],
        ),
        name="-".join(["gates", *map(slug, part.values())]),
    )
    table, means = _gate_table(found, cells, names)
    finding = f"Mean gate over steps and units, first → last probe: {means}."
    pooled = [*(key for key in study.factors if key != "cell" and key not in part), "seeds"]
    caption = (
        f"Top layer; median over {listing(pooled)} (up to {int(found['points'].max())} networks"
        " per panel). Cells without gates have no panel."
    )
    where = f" at {levels(part)}" if part else ""
    alt = f"Gates of single examples{where}. {finding}"
    return Figure(picture, caption, alt, table, WIDTH, finding, GATES)


def _gate_table(
    found: pd.DataFrame, cells: Sequence[str], names: Sequence[str]
) -> tuple[Table, str]:
    """Mean and span of each gate by cell, and the means in words."""
    over = (
        found.groupby(["cell", "gate", "end"], sort=True)["mean"]
        .agg(["mean", "min", "max"])
        .unstack("end")
    )
    shown: Rows = []
    means: dict[str, list[str]] = {}
    for cell in cells:
        for gate in names:
            if (cell, gate) not in over.index:
                continue
            row = over.loc[(cell, gate)]
            start, end = float(row["mean"].get(0, math.nan)), float(row["mean"].get(1, math.nan))
            last = 1 if ("mean", 1) in row.index and known(end) else 0
            shown.append(
                [
                    level("cell", cell),
                    gate,
                    Cell(_pair(start, end, 2), end if known(end) else start),
                    f"{number(row['min'][last])} to {number(row['max'][last])}",
                    str(int(found.loc[found["cell"] == cell, "points"].max())),
                ]
            )
            means.setdefault(cell, []).append(f"{gate} {_pair(start, end, 2)}")
    table = Table(
        ["cell", "gate", "mean", "over the steps", "networks"],
        shown,
        "Gates of single examples, top layer, mean over units; over the steps: at the last probe",
    )
    words = (f"{level('cell', cell)} {listing(gates)}" for cell, gates in means.items())
    return table, "; ".join(words)
