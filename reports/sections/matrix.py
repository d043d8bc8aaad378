"""Matrix: every arm in a box, with its verdict, its outcome and its score."""

from __future__ import annotations

import pandas as pd

from reports.analysis.arms import (
    has_rule,
    outcome_words,
    score_words,
    solved_words,
    summary,
    verdict_words,
)
from reports.blocks import Box, Matrices, Matrix, Section
from reports.data.study import Study
from reports.formatting import VERDICT_SYMBOLS, count, level, levels
from study.records import VERDICTS


class EveryArm:
    title = "Every recipe"
    needs = ()

    def render(self, study: Study) -> Section:
        return Section([self._matrix(study, summary(study))], finding=_finding(study))

    def _matrix(self, study: Study, arms: pd.DataFrame) -> Matrices:
        row_key, column_key = study.matrix_factors
        rows, columns = study.levels(row_key), study.levels(column_key)
        at = {
            tuple(arm[key] for key in (row_key, column_key, *study.other_factors)): arm
            for _, arm in arms.iterrows()
        }
        matrices, hidden = [], 0
        for block in study.combinations(study.other_factors):
            # A row, column or matrix without any arm says nothing that the design does not say
            # once.
            own_rows = [
                row
                for row in rows
                if any((row, column, *block.values()) in at for column in columns)
            ]
            own_columns = [
                column
                for column in columns
                if any((row, column, *block.values()) in at for row in rows)
            ]
            hidden += len(rows) * len(columns) - len(own_rows) * len(own_columns)
            if not own_rows:
                continue
            boxes = [
                [
                    self._box(
                        study,
                        at.get((row, column, *block.values())),
                        {row_key: row, column_key: column, **block},
                    )
                    for column in own_columns
                ]
                for row in own_rows
            ]
            heads = (
                [level(row_key, row) for row in own_rows],
                [study.column_head(column) for column in own_columns],
            )
            matrices.append(
                Matrix(levels(block) if block else "", study.matrix_corner, *heads, boxes)
            )
        caption = _matrix_caption(study, hidden)
        verdicts = [] if study.adopted else VERDICTS
        legend = [(f"{VERDICT_SYMBOLS[name]} {name}", f"v-{name}") for name in verdicts]
        return Matrices(matrices, caption, legend)

    def _box(self, study: Study, arm: pd.Series | None, labels: dict[str, str]) -> Box:
        if arm is None:
            why = study.why_excluded(labels)
            return Box(
                [("excluded" if why else "not in the grid", "word"), (why or "", "")], "empty"
            )
        if not arm["n"]:
            return Box([("no network yet", "word"), (f"0 of {arm['declared']} seeds", "")], "empty")
        word, kind = verdict_words(arm)
        short = "" if arm["n"] == arm["declared"] else f" of {arm['declared']}"
        n = arm["score"].n if study.adopted else arm["n"]  # a lost run may have no score
        # Counts of the outcome have the number of networks, unless some are missing.
        score = score_words(arm["score"])
        score += f" · n={n}{short}" if short or study.adopted else ""
        if study.adopted:
            solved = solved_words(study, arm) if has_rule(study, int(arm["arm"])) else ""
            lost = f"{arm['lost']} lost" if arm["lost"] else ""
            said = " · ".join(one for one in (solved and f"solved {solved}", lost) if one)
            return Box([(score, "word"), *([(said, "outcome")] if said else [])], "")
        return Box([(word, "word"), (outcome_words(arm), "outcome"), (score, "score")], kind)


def _finding(study: Study) -> str:
    """What the boxes hold, for the heading."""
    if study.adopted:
        return f"Mean test {study.metric} of each, with its interval."
    return f"How the gradient of each changed, whether it learned, mean test {study.metric}."


def _matrix_caption(study: Study, hidden: int) -> str:
    enough = (
        "a single word needs 5 seeds of which 80 % agree"
        if len(study.seeds) < 5
        else "counts where fewer than 80 % of the seeds agree"
    )
    caption = (
        "Each box: how the remaining gradient changed (verdict), whether it learned (outcome),"
        " mean test"
        f" {study.metric} with 95 % interval over seeds. Counts are seeds; {enough}. The"
        " verdict describes the gradient, not success."
    )
    if study.adopted:
        runs = "networks" if study.replicates else "seeds"
        caption = (
            f"Each box: mean test {study.metric} with 95 % interval over {runs}, n {runs}; a single"
            " network has no interval."
        )
    if hidden:
        are = "is" if hidden == 1 else "are"
        caption += f" {count(hidden, 'combination')} left out by the design {are} not shown."
    return caption
