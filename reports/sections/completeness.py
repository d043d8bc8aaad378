"""Completeness: the status of every declared point, one symbol per seed."""

from __future__ import annotations

from collections.abc import Sequence

from reports.analysis.adopted import not_recorded_words
from reports.blocks import Box, Fold, Matrices, Matrix, Prose, Section, Table
from reports.data.study import MISSING, MOST, UNKNOWN, Study
from reports.formatting import STATUS_SYMBOLS, count, levels


class Completeness:
    """The declared grid, arm by arm."""

    title = "Completeness"
    needs = ()

    def render(self, study: Study) -> Section:
        if (
            not study.adopted
            and study.grid["status"].eq("done").all()
            and not len(study.outside_grid)
        ):
            return Section([])  # the summary says that all is done
        status = study.grid["status"].value_counts()
        there = len(study.grid) - int(status.get(MISSING, 0)) - int(status.get("failed", 0))
        if study.adopted:
            lost = [f"{int(status[name])} {name}" for name in STATUS_SYMBOLS if name in status]
            sentence = (
                f"{there} of {len(study.grid)} adopted networks have a result ({', '.join(lost)})."
                f" {not_recorded_words(study)}"
            )
        else:
            sentence = (
                f"{there} of {len(study.grid)} declared networks have a result: "
                + ", ".join(f"{int(status.get(name, 0))} {name}" for name in STATUS_SYMBOLS)
                + "."
            )
        blocks: list[object] = [Prose(sentence), self._matrix(study)]
        if len(study.outside_grid):
            rows = [
                [
                    str(row["id"]),
                    str(row["status"]),
                    levels({key: row.get(key) for key in study.factors}),
                    str(row["seed"]),
                ]
                for _, row in study.outside_grid.head(MOST).iterrows()
            ]
            table = Table(
                ["id", "status", "recipe", "seed"], rows, "Left out of every statistic of this page"
            )
            blocks.append(
                Fold(
                    "Also present:"
                    f" {count(len(study.outside_grid), 'stored network')} outside the last"
                    " declaration",
                    [table],
                )
            )
        return Section(blocks)

    def _matrix(self, study: Study) -> Matrices:
        row_keys, column_key = (
            [study.matrix_factors[0], *study.other_factors],
            study.matrix_factors[1],
        )
        grid = dict(iter(study.grid.groupby([*row_keys, column_key], sort=False)))
        every, columns, boxes = study.combinations(row_keys), study.levels(column_key), []
        rows = [row for row in every if any((*row.values(), column) in grid for column in columns)]
        for row in rows:
            line = []
            for column in columns:
                own = grid.get((*row.values(), column))
                if own is None:
                    why = study.why_excluded({**row, column_key: column})
                    line.append(Box([("excluded" if why else "not in the grid", "")], "empty"))
                    continue
                states = own.sort_values("seed")["status"].tolist()
                kind = (
                    ""
                    if all(one == "done" for one in states)
                    else "bad"
                    if "diverged" in states or "failed" in states
                    else "empty"
                )
                good = sum(one not in (MISSING, "failed") for one in states)
                glyphs = ("".join(STATUS_SYMBOLS[one] for one in states), "glyphs")
                line.append(
                    Box(
                        [glyphs, (f"{good}/{len(states)}", "")] if good < len(states) else [glyphs],
                        kind,
                    )
                )
            boxes.append(line)
        names = [levels(row) for row in rows]
        matrix = Matrix(
            "",
            f"recipe \\ {column_key}" if columns != [UNKNOWN] else "recipe",
            names,
            [study.column_head(name) for name in columns],
            boxes,
        )
        legend = [(f"{symbol} {name}", "") for name, symbol in STATUS_SYMBOLS.items()]
        return Matrices(
            [matrix],
            f"One symbol per seed, {_seeds(study.seeds)}; a count if some are missing."
            + (
                " Design has the reasons for exclusions."
                if study.declaration.get("excluded")
                else ""
            )
            + (
                f" {count(len(every) - len(rows), 'row')} without any recipe left out."
                if len(every) > len(rows)
                else ""
            ),
            legend,
            compact=True,
        )


def _seeds(seeds: Sequence[int]) -> str:
    if len(seeds) == 1:
        return f"here seed {seeds[0]}"
    return f"seeds {', '.join(map(str, seeds))} from left to right"
