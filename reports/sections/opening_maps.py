"""Credit-opening maps: transport by lag and update, one map per arm."""

from __future__ import annotations

import numpy as np
import pandas as pd

from reports.analysis.arms import short_words, summary
from reports.blocks import Cell, Figure, Prose, Section, Table
from reports.data.profiles import transport, validation
from reports.data.study import Study
from reports.figures.opening_maps import Map, opening_maps
from reports.figures.theme import draw
from reports.formatting import count, known, level, levels, listing, number, percent, shorten

HOW = (
    "One map is one [arm]. Go from left to right along training ([update], on a log scale) and from"
    " the bottom to the top back in time ([lag]). The colour is [transport]: pale means that as"
    " much [credit] arrives as one step back, dark that it is lost on the way, red that it is"
    " amplified. A map that is dark above and turns pale to the right is a network that opens;"
    " compare where the validation loss (line) falls: often the way opens while the loss is still"
    " flat. A map that turns dark closes. Grey and magenta are exact zeros and values that are not"
    " finite."
)


Labels = dict[str, str]


class OpeningMaps:
    """`low`, `high`: ends of the colour scale in decades; `across`: most columns, above which
    factors go to the rows.
    """

    title = "Credit-opening maps"
    needs = ("profile.log10_mean",)

    def __init__(self, *, low: float, high: float, across: int) -> None:
        if not low < 0 < high:
            raise ValueError(
                f"OpeningMaps: low must lie below 0 and high above it, got low={low}, high={high}"
            )
        self.low, self.high, self.across = low, high, across

    def render(self, study: Study) -> Section:
        profile, lags = transport(study.table("profile")), self._judged(study)
        arms = summary(study)
        rows, columns = self._facets(study, arms)
        maps = self._maps(study, rows, columns, profile, lags)
        names = [_two_lines(row) for row in rows], [_two_lines(column) for column in columns]
        width = max(10.0, 1.78 + 1.06 * len(columns))
        picture = draw(
            lambda _: opening_maps(maps, *names, low=self.low, high=self.high, width=width),
            name="maps",
        )
        finding = self._finding(study)
        every = sorted(set(lags.values()))
        table = self._table(profile, arms, every[0] if len(every) == 1 else None)
        caption = self._caption(study, len(arms), every)
        return Section(
            [
                Prose(
                    "How far back does credit travel, and when does the way open? Pale is as much"
                    " as one step back, dark is lost, red is amplified."
                ),
                Figure(
                    picture, caption, f"Credit-opening maps. {finding}", table, width, finding, HOW
                ),
            ]
        )

    def _caption(self, study: Study, arms: int, judged: list[int]) -> str:
        early = study.stored["ended_early"].eq("solved").any()
        left = " Seeds that have ended early are not in the medians that follow." if early else ""
        dashed = f" Dashed: the lag that is judged, {listing(map(str, judged))}." if judged else ""
        return (
            f"One map per arm ({count(arms, 'arm')}; median over {count(len(study.seeds), 'seed')};"
            f" {count(len(study.stored), 'point')}). Colour: transport of the network at each lag,"
            " relative to lag 1, geometric mean over the probe examples; the scale ends at"
            f" {number(self.low, 0)} and {number(self.high, 0, sign=True)} decades. Ticks at the"
            " foot of a map: the probes; between them, linear interpolation in decades. Line:"
            " validation loss, median over seeds, as a share of the memoryless baseline (cut at"
            f" 1.1).{left}{dashed} Above each map: verdicts, counted over seeds."
        )

    def _maps(
        self,
        study: Study,
        rows: list[Labels],
        columns: list[Labels],
        profile: pd.DataFrame,
        lags: dict[int, int],
    ) -> dict[tuple[int, int], Map | str]:
        """A map for each row and column, or why there is none."""
        arms, loss = summary(study), self._loss(study)
        words = {row["arm"]: short_words(row) for _, row in arms.iterrows()}
        at = _by_levels(arms, [*rows[0], *columns[0]])
        maps: dict[tuple[int, int], Map | str] = {}
        for i, row in enumerate(rows):
            for j, column in enumerate(columns):
                arm = at.get((*row.values(), *column.values()))
                if arm is None:
                    excluded = study.why_excluded({**row, **column})
                    maps[i, j] = "excluded" if excluded else "not in the grid"
                else:
                    own = profile[profile["arm"] == arm]
                    maps[i, j] = self._map(own, loss.get(arm), words[arm], lags.get(arm))
        return maps

    def _facets(self, study: Study, arms: pd.DataFrame) -> tuple[list[Labels], list[Labels]]:
        """Combinations of levels on the rows and on the columns.

        The design section lists rows and columns without any arm.
        """
        rows, columns = [study.matrix_factors[0]], [study.matrix_factors[1]]
        for key in study.other_factors:
            fits = len(study.combinations([*columns, key])) <= self.across
            (columns if fits and len(columns) == 1 else rows).append(key)
        at = _by_levels(arms, rows + columns)
        down, across = study.combinations(rows), study.combinations(columns)
        down = [
            row for row in down if any((*row.values(), *column.values()) in at for column in across)
        ]
        across = [
            column
            for column in across
            if any((*row.values(), *column.values()) in at for row in down)
        ]
        return down, across

    def _loss(self, study: Study) -> dict[int, pd.DataFrame]:
        history = study.table("history")
        if history.empty:
            return {}
        history = history.merge(study.grid[["id", "baseline_loss"]], on="id")
        history["share"] = history["val_loss"].astype(float) / history["baseline_loss"].astype(
            float
        )
        return dict(iter(validation(history, ["arm"], "share").groupby("arm")))

    def _map(
        self, rows: pd.DataFrame, loss: pd.DataFrame | None, word: str, lag: int | None
    ) -> Map | str:
        if rows.empty:
            return "no point yet"
        grid = rows.pivot(index="lag", columns="update", values=["value", "zero", "bad"])
        line = (
            (loss["update"].to_numpy(dtype=float), loss["value"].to_numpy(dtype=float))
            if loss is not None
            else (np.array([]), np.array([]))
        )
        updates = np.sort(rows["update"].unique()).astype(float)
        value, zero, bad = (grid[name].to_numpy(dtype=float) for name in ("value", "zero", "bad"))
        return Map(updates, value, zero, bad, loss=line, word=word, lag=lag)

    def _judged(self, study: Study) -> dict[int, int]:
        """The lag that decides the verdict, by arm; it differs between tasks and lengths."""
        states = study.table("states")
        lags = states[states["lag"].notna()].groupby("arm")["lag"].max() if len(states) else {}
        return {int(arm): int(lag) for arm, lag in lags.items()}

    def _finding(self, study: Study) -> str:
        """How many networks opened; counts are of points, not arms."""
        points = study.stored[study.stored["D"].notna()]
        if points.empty:
            return "No point has a verdict yet."
        begun = points["state_init"].isin(["vanishing", "fading"])
        opened = begun & (points["state"] == "carrying")
        if not begun.any():
            return (
                f"None of {count(len(points), 'network')} begins vanishing or fading;"
                f" {int((points['state'] == 'carrying').sum())} end carrying."
            )
        begin = "begins" if begun.sum() == 1 else "begin"
        text = (
            f"{int(begun.sum())} of {count(len(points), 'network')} {begin} vanishing or fading;"
            f" {int(opened.sum())} of these end carrying"
        )
        key = study.matrix_factors[0]
        if study.levels(key)[1:]:
            starts, ends = (
                points.loc[begun, key].value_counts(),
                points.loc[opened, key].value_counts(),
            )
            parts = [
                f"{level(key, name)} {ends.get(name, 0)} of {starts[name]}"
                for name in study.levels(key)
                if name in starts
            ]
            text += f" ({', '.join(parts)})"
        share = points.loc[opened, "opened_loss"].median()
        late = (
            f". Where they opened, the validation loss still stood at {percent(share)} of the"
            " baseline (median)"
            if known(share)
            else ""
        )
        return f"{text}{late}."

    def _table(self, profile: pd.DataFrame, arms: pd.DataFrame, judged: int | None) -> Table:
        lag = judged or (int(profile["lag"].max()) if len(profile) else 1)
        at = profile[profile["lag"] == lag]
        of_arms = at.groupby("update")["arm"].nunique()
        updates = sorted(of_arms.index[2 * of_arms >= at["arm"].nunique()])
        ends = at.groupby("arm")["update"].max()
        apart = bool((~ends.isin(updates)).any())  # an arm whose seeds all ended early
        rows = []
        for arm in arms.itertuples(index=False):
            own = at[at["arm"] == arm.arm].set_index("update")
            cells = [_decade(own, update) for update in updates]
            cells += [_decade(own, ends.get(arm.arm, -1))] if apart else []
            rows.append([arm.label, *cells])
        return Table(
            [
                "arm",
                *(f"update {update:,.0f}" for update in updates),
                *(["last probe"] if apart else []),
            ],
            rows,
            f"Transport at lag {lag} relative to lag 1, decades, median over seeds",
        )


def _decade(own: pd.DataFrame, update: float) -> Cell:
    if update not in own.index:
        return Cell("–", None)
    row = own.loc[update]
    if row["bad"] > 0.5:
        return Cell("not finite", None)
    if row["zero"] > 0.5:
        return Cell("exactly 0", -999.0)
    return Cell(number(row["value"], 1), float(row["value"]) if known(row["value"]) else None)


def _by_levels(arms: pd.DataFrame, keys: list[str]) -> dict[tuple[str, ...], int]:
    """Arms by their levels of these factors."""
    return {tuple(arm[key] for key in keys): arm["arm"] for _, arm in arms.iterrows()}


def _two_lines(labels: dict[str, str]) -> str:
    first, *rest = labels.items()
    lines = [level(*first), *([levels(dict(rest))] if rest else [])]
    return "\n".join(shorten(line, 19) for line in lines)
