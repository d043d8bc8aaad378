"""Credit-opening maps: transport by lag and update, one map per arm."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from reports.analysis.arms import short_words, summary
from reports.analysis.by_problem import MANY
from reports.analysis.carried import fraction
from reports.analysis.margins import initial_networks
from reports.analysis.marks import arm_mark
from reports.analysis.openings import AFTER, BEFORE, UNKNOWN, openings
from reports.analysis.tallies import classes, tally
from reports.blocks import Cell, Figure, Prose, Rows, Section, Table
from reports.data.profiles import transport, transport_at_the_end, validation
from reports.data.study import Study
from reports.figures.opening_maps import Map, opening_maps
from reports.figures.theme import draw
from reports.formatting import count, known, level, levels, listing, number, percent, shorten
from reports.statistics.survival import planned_updates

HOW = (
    "One map is one [recipe]. Go from left to right along training ([update], on a log scale) and"
    " from"
    " the bottom to the top back in time ([lag]). The colour is the [remaining gradient]: pale"
    " means that as"
    " much is left as one step back, dark that it fades on the way, red that it is"
    " amplified. A map that is dark above and turns pale to the right is a network that opens, at"
    " some update between two probes (ticks at the foot); compare where the validation loss (line)"
    " falls, before that or after. A map that turns dark closes. Grey and magenta are exact zeros"
    " and values that are not finite."
)


FEW = 2  # intervals between probes that a sentence gives one by one
Labels = dict[str, str]


class OpeningMaps:
    """`low`, `high`: ends of the colour scale in decades; `across`: most columns, above which
    factors go to the rows.
    """

    title = "How far back the gradient reaches"
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
        table = self._table(study, profile, arms, lags)
        caption = self._caption(study, len(arms), every)
        return Section(
            [
                Prose(
                    "How far back does the gradient reach, and when during training? Pale: as"
                    " strong as one step back; dark: faded away; red: amplified."
                ),
                Figure(picture, caption, f"Opening maps. {finding}", table, width, finding, HOW),
            ]
        )

    def _caption(self, study: Study, arms: int, judged: list[int]) -> str:
        early = study.stored["ended_early"].eq("solved").any()
        left = " Seeds that have ended early are not in the medians that follow." if early else ""
        dashed = f" Dashed: the lag that is judged, {listing(map(str, judged))}." if judged else ""
        return (
            f"One map per recipe ({count(arms, 'recipe')}; median over"
            f" {count(len(study.seeds), 'seed')}; {count(len(study.stored), 'network')}). Colour:"
            " remaining gradient at each lag, relative to lag 1, geometric mean over the probe"
            f" examples; the scale ends at {number(self.low, 0)} and"
            f" {number(self.high, 0, sign=True)} powers of ten. Ticks at the foot of a map: the"
            " probes; between them, linear interpolation in powers of ten. Line: validation loss,"
            f" median over seeds, as a share of the memoryless baseline (cut at 1.1).{left}{dashed}"
            " Above each map: verdicts, counted over seeds. Vanishing or fading: less than"
            f" {fraction(study)} of the gradient is left there; carrying: at least that."
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
                    one = self._map(own, loss.get(arm), words[arm], lags.get(arm))
                    if isinstance(one, Map):
                        one = replace(one, shows=arm_mark(study, arm, words[arm]))
                    maps[i, j] = one
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
        ).where(lambda loss: loss > 0)
        return dict(iter(validation(history, ["arm"], "share").groupby("arm")))

    def _map(
        self, rows: pd.DataFrame, loss: pd.DataFrame | None, word: str, lag: int | None
    ) -> Map | str:
        if rows.empty:
            return "no network yet"
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
        points, found = study.stored, tally(study.stored)
        if not found.judged:
            return "No network has a verdict yet."
        networks = count(found.judged, "network")
        if not found.began_without:
            return (
                f"None of {networks} begins vanishing or fading; {found.carrying} end"
                f"{'s' if found.carrying == 1 else ''} carrying."
            )
        begin = "begins" if found.began_without == 1 else "begin"
        text = (
            f"{found.began_without} of {networks} {begin} vanishing or"
            f" fading{initial_networks(points[classes(points)['began_without']])};"
            f" {found.opened or 'none'} of these end{'s' if found.opened == 1 else ''} carrying"
        )
        key = study.matrix_factors[0]
        if study.levels(key)[1:]:
            by_level = {name: tally(points[points[key] == name]) for name in study.levels(key)}
            parts = [
                f"{level(key, name)} {own.opened} of {own.began_without}"
                for name, own in by_level.items()
                if own.began_without
            ]
            text += f" ({', '.join(parts)})"
        return " ".join([f"{text}.", *self._when(study)])

    def _when(self, study: Study) -> list[str]:
        """When networks opened, a sentence per problem: updates differ between them."""
        found = openings(study)
        if found.empty:
            return []
        points = study.stored
        parts = [
            (problem.name, own)
            for problem in study.problems
            if len(own := found[found.index.isin(problem.of(points)["id"])])
        ]
        if len(parts) > MANY:
            return [_order(study, found, f"Of the {len(found)} that opened,")]
        return [
            _order(
                study,
                own,
                f"{f'On {name} t' if name else 'T'}hey opened {_between(own)}:"
                if len(own) > 1
                else f"{f'On {name} o' if name else 'O'}ne opened {_between(own)}:",
            )
            for name, own in parts
        ]

    def _table(
        self, study: Study, profile: pd.DataFrame, arms: pd.DataFrame, judged: dict[int, int]
    ) -> Table:
        """Transport of each arm at its own judged lag (or the longest), probe by probe.

        Where runs differ in length, at shares of their updates.
        """
        longest = profile.groupby("arm")["lag"].max()
        lag = {arm: int(judged.get(arm, most)) for arm, most in longest.items()}
        planned = planned_updates(study.stored).groupby(study.stored["arm"]).max()
        one_lag, one_length = len(set(lag.values())) < 2, planned.nunique() < 2
        at = profile[profile["lag"] == profile["arm"].map(lag)]
        when = at["update"] if one_length else 100 * at["update"] / at["arm"].map(planned)
        at = at.assign(when=when.astype(float).round().astype(int))
        at = at.drop_duplicates(["arm", "when"], keep="last")
        of_arms = at.groupby("when")["arm"].nunique()
        times = sorted(of_arms.index[2 * of_arms >= at["arm"].nunique()])
        end = transport_at_the_end(study.table("profile"))
        # seeds that have ended early are in no later column
        apart = bool(study.stored["ended_early"].notna().any())
        rows: Rows = []
        for arm in arms.itertuples(index=False):
            own = at[at["arm"] == arm.arm].set_index("when")
            cells: list[Cell | str] = [arm.label]
            if not one_lag:
                cells.append(str(lag.get(arm.arm, "–")))
            cells += [_decade(own, time) for time in times]
            cells += [
                _decade(end[end["arm"] == arm.arm].set_index("lag"), lag.get(arm.arm, -1))
            ] * apart
            rows.append(cells)
        which = str(next(iter(lag.values()), 1)) if one_lag else "K, the judged one of each recipe,"
        return Table(
            [
                "recipe",
                *([] if one_lag else ["lag K"]),
                *(f"update {time:,}" if one_length else f"{time} % of updates" for time in times),
                *(["last probe of each seed"] if apart else []),
            ],
            rows,
            f"Remaining gradient at lag {which} relative to lag 1, powers of ten, median over"
            " seeds",
        )


def _between(found: pd.DataFrame) -> str:
    """Between which probes: each interval if there are few, else from the first to the last."""
    by = found.groupby(["since", "by"]).size()
    if len(by) > FEW:
        low, high = found["since"].min(), found["by"].max()
        return f"between updates {low:,.0f} and {high:,.0f}"
    return listing(
        f"between updates {since:,.0f} and {until:,.0f}" + (f" ({n})" if len(by) > 1 else "")
        for (since, until), n in by.items()
    )


def _order(study: Study, found: pd.DataFrame, start: str) -> str:
    """Whether they opened before or after the loss fell, as far as probes and validations tell."""
    numbers = found["order"].value_counts()
    n = {name: int(numbers.get(name, 0)) for name in (BEFORE, AFTER, UNKNOWN)}
    if n[UNKNOWN] == len(found):
        return (
            f"{start} probes and validations lie too far apart to tell whether that was before"
            " or after the validation loss began to fall."
        )
    share = percent(float(study.health["stuck"]))
    fallen = f" the validation loss had fallen below {share} of the baseline"
    parts: list[str] = []
    for name in (BEFORE, AFTER):
        if n[name]:
            parts.append(f"{_some(n[name], len(found))} {name}{' that' if parts else fallen}")
    if n[UNKNOWN]:
        parts.append(f"{n[UNKNOWN]} with probes and validations too far apart to tell")
    return f"{start} {', '.join(parts)}."


def _some(n: int, total: int) -> str:
    return str(n) if n < total or n == 1 else "both" if n == 2 else "all"


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
