"""Recipe: the recommended arm, the evidence, the runner-up, and how to run it elsewhere."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from reports.analysis.adopted import noise_words
from reports.analysis.arms import solved_words, summary, with_interval
from reports.analysis.by_problem import MANY, nothing_to_choose, under
from reports.analysis.confirmation import (
    Confirmation,
    ConfirmedArm,
    confirmation,
    confirmation_sentence,
)
from reports.analysis.costs import with_cost
from reports.analysis.next_steps import made_by
from reports.analysis.recipe import NOTHING_LEARNED, Recipe, point_of, quickest, recipes
from reports.blocks import Cell, Prose, Rows, Section, Table
from reports.data.study import Problem, Study
from reports.export.how_to_run import how_to_run
from reports.formatting import count, known, levels, number, score_number


class RecipeSection:
    """`shown`: number of arms in the table."""

    title = "Recipe"
    needs = ("val_score",)

    def __init__(self, *, shown: int) -> None:
        self.shown = shown

    def render(self, study: Study) -> Section:
        every = recipes(study)
        blocks: list[object] = []
        if not every:
            text = "No network has a validation score yet: there is nothing to recommend."
            return Section([Prose(text)])
        if len(every) > 1 and all(len(found.order) == 1 for _, found in every):
            return Section([Prose(f"{nothing_to_choose(study)}.")])
        if len(study.problems) > MANY:
            blocks.append(_first_of_each(study, every))
        for problem, found in every:
            blocks += under(study, problem, self._blocks(study, found, every))
        return Section(blocks)

    def _blocks(
        self, study: Study, found: Recipe, every: Sequence[tuple[Problem, Recipe]]
    ) -> list[object]:
        again = confirmation(study)
        if not found.learned:
            return [Prose(NOTHING_LEARNED)]
        again = again if again and {one.arm for one in again.arms} <= set(found.order) else None
        arms = summary(study).set_index("arm")
        blocks: list[object] = [Prose(text) for text in _sentences(study, found, arms, again)]
        blocks.append(self._table(study, found, arms, again))
        if len(every) < 2:
            return blocks  # the summary has the command and the network in PyTorch
        id = point_of(study, found.first)
        return [*blocks, *(how_to_run(study, id, brief=len(every) > MANY) if id else [])]

    def _table(
        self, study: Study, found: Recipe, arms: pd.DataFrame, again: Confirmation | None
    ) -> Table:
        fresh = {one.arm: one for one in again.arms} if again else {}
        costs = with_cost(study, study.stored).groupby("arm")[["params", "cost"]].mean()
        rows: Rows = []
        for arm in found.order[: self.shown]:
            row, one = arms.loc[arm], arms.loc[arm, "score"]
            rows.append(
                [
                    row["label"],
                    Cell(
                        score_number(found.ranked.loc[arm, "validation"], 3),
                        found.ranked.loc[arm, "validation"],
                    ),
                    Cell(with_interval(one, 3), one.value if known(one.value) else None),
                    str(row["n"]),
                    solved_words(study, row),
                    f"{row['lost']}/{row['n']}" if study.recorded("diverged") else "n/a",
                    *([_fresh(fresh.get(arm))] if fresh else []),
                    "first" if arm == found.first else _close(found, arm),
                    (
                        Cell(f"{costs.loc[arm, 'params']:,.0f}", float(costs.loc[arm, "params"]))
                        if known(float(costs.loc[arm, "params"]))
                        else "n/a"
                    ),
                    Cell(number(float(costs.loc[arm, "cost"]), 1), float(costs.loc[arm, "cost"])),
                ]
            )
        columns = [
            "recipe",
            "validation",
            f"test {study.metric}, 95 %",
            "n",
            "solved at the end",
            "lost",
            *(["on fresh seeds"] if fresh else []),
            "against the first",
            "trained values",
            "seconds",
        ]
        notes = (
            f"{_which(self.shown, len(found.order))} in this order: fewest lost, most"
            " solved at the end, mean validation score with lost seeds at the baseline, soonest;"
            " recipes that learned nothing, and those whose best seed is far below another"
            " recipe's mean,"
            f" come after these.{'' if study.adopted else ' Seconds: per network, as under Cost.'}"
            " Told apart: the difference"
            " of mean test scores lies outside an interval that holds for all recipes at once"
            " (Bonferroni; spread over seeds pooled over recipes"
            f"{noise_words(study, ', and the noise of the test set')}). "
        )
        return Table(columns, rows, "The recipes to choose from", notes)


def _first_of_each(study: Study, every: Sequence[tuple[Problem, Recipe]]) -> Table:
    """One row for each of many problems: the arm to take there, and how sure that is."""
    arms, rows = summary(study).set_index("arm"), []
    keys = study.same_problem or list(study.factors)
    for problem, found in every:
        row = arms.loc[found.first]
        close = "n/a" if found.close is None else f"{len(found.close)} of {len(found.order) - 1}"
        name = levels({key: row[key] for key in keys}) if found.learned else "nothing learned"
        score = with_interval(row["score"], 3) if found.learned else "–"
        solved = solved_words(study, row) if found.learned else "–"
        rows.append([problem.name, name, score, solved, close if found.learned else "–"])
    columns = ["task", "first", f"test {study.metric}, 95 %", "solved at the end", "not told apart"]
    notes = "Not told apart: other recipes of that task that the first is not shown to beat."
    return Table(columns, rows, "What to take for each task", notes)


def _which(shown: int, n: int) -> str:
    return (
        f"The first {shown} of {n} recipes,"
        if shown < n
        else "All recipes,"
        if n > 1
        else "One recipe;"
    )


def _fresh(one: ConfirmedArm | None) -> Cell | str:
    return "–" if one is None else Cell(f"{with_interval(one.estimate, 3)}", one.estimate.value)


def _close(found: Recipe, arm: int) -> str:
    return (
        "cannot be determined"
        if found.close is None
        else "not told apart"
        if arm in found.close
        else "told apart"
    )


def _sentences(
    study: Study, found: Recipe, arms: pd.DataFrame, again: Confirmation | None
) -> list[str]:
    first = arms.loc[found.first]
    score = f"mean test {study.metric} {with_interval(first['score'], 3)}, n = {first['n']}"
    if len(found.order) == 1:
        return [f"There is one recipe, so that there is nothing to choose from ({score})."]
    second = arms.loc[found.order[1]]
    runner = f"Runner-up: {second['label']} ({with_interval(second['score'], 3)})"
    chosen = f"{first['label']} ({score}), chosen over the runner-up by {found.chosen_by}"
    if found.undecided:
        others = len(found.order) - 1
        sentence = (
            f"No recipe can be told apart from the first: {chosen}, is not shown to be ahead of the"
            f" {f'{others} others' if others > 1 else 'other'} in test score. {runner}."
        )
    else:
        sentence = f"Recommended: {chosen}. {runner}.{_equals(found, arms)}"
    sentence += _quickest(study, found, arms)
    if study.adopted:
        return [
            f"{sentence} The first was chosen on these networks, so its score here is optimistic."
        ]
    confirm = made_by(study, "confirm")
    flattered = (
        f"The first was chosen on these seeds, so its score here is optimistic; {confirm} trains it"
        " and the runners-up on fresh ones."
    )
    return [sentence, confirmation_sentence(study, again) if again else flattered]


def _equals(found: Recipe, arms: pd.DataFrame) -> str:
    """Which other arms cannot be told apart from the first."""
    if found.close is None:
        return " One seed per recipe: which others are as good is not known."
    if not found.close:
        others = (
            "other recipe" if len(found.order) == 2 else f"{len(found.order) - 1} other recipes"
        )
        return f" The {others} can be told apart from the first by test score."
    names = [
        "the runner-up" if arm == found.order[1] else arms.loc[arm, "label"] for arm in found.close
    ]
    shown = (
        "; ".join(names)
        if len(names) <= 5
        else f"{'; '.join(names[:4])}; and {len(names) - 4} more"
    )
    return (
        f" {count(len(names), 'recipe')} of the other {len(found.order) - 1} cannot be"
        f" told apart from it: {shown}."
    )


def _quickest(study: Study, found: Recipe, arms: pd.DataFrame) -> str:
    """The arm that trains clearly faster among those as good as the first, if there is one."""
    quick = quickest(study, found)
    if quick is None:
        return ""
    arm, seconds, of_first = quick
    return (
        f" The quickest of those that lose no more seeds and solve as many is"
        f" {arms.loc[arm, 'label']}: {number(seconds, 1)} s per network against"
        f" {number(of_first, 1)} s."
    )
