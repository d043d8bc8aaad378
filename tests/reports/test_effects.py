"""Sections of effects, contrasts, time to solve, power and recipe: what they say follows from the
numbers, and what cannot be determined is said so.
"""

from __future__ import annotations

import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reports.analysis.arms import summary
from reports.analysis.contrasts import factorial_contrasts, planned_contrasts
from reports.analysis.recipe import recipe
from reports.blocks import Answer, Figure, Notice, Prose, Table
from reports.data.study import Study
from reports.data.test_set import weighted_noise
from reports.sections.contrasts import Contrasts, single_arms
from reports.sections.effects import SEEDS, Effects
from reports.sections.power import Power, questions
from reports.sections.recipe import RecipeSection
from reports.sections.summary import Summary
from reports.sections.time_to_solve import TimeToSolve
from reports.statistics import mean_interval
from reports.statistics.bootstrap import two_way
from study.design.power import resolvable
from tests.reports.known import known_study
from tests.reports.page_text import words
from tests.reports.synthetic import edit_points, make

FACTORS = {
    "cell": ["rnn", "lstm", "gru"],
    "initializer": ["orthogonal", "normal"],
    "clip": ["none", "norm"],
}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """Cell and initializer matter (synthetic.make), clip does not: an A/A factor.

    One point diverged.
    """
    return Study(
        make(
            tmp_path_factory.mktemp("outputs") / "effects",
            factors=FACTORS,
            steps=24,
            updates=80,
            diverged=(4,),
            examples=60,
        )
    )


def texts(section) -> str:
    kinds = Answer | Prose | Notice
    return " ".join(words([one for one in section.blocks if isinstance(one, kinds)]))


def figures(section) -> list[Figure]:
    return [block for block in section.blocks if isinstance(block, Figure)]


def test_shares_name_what_decides_and_noise_keeps_its_part(study: Study) -> None:
    section = Effects().render(study)
    assert "cell" in texts(section).split("; ")[0] and re.search(
        r"the spread over seeds \d+ % \[\d+ %, \d+ %\]", texts(section)
    )
    frame = section.tables["shares"]
    of_score = frame[frame["of"] == "test accuracy"].set_index("term")
    assert of_score["share"].drop(SEEDS).idxmax() == "cell" and of_score.loc["clip", "share"] < 0.05
    assert of_score["share"].sum() == pytest.approx(1.0, abs=0.1), (
        "a whole factorial: parts of one variance, up to what is cut at 0"
    )
    assert (frame["low"] <= frame["share"] + 1e-9).all() and (
        frame["share"] <= frame["high"] + 1e-9
    ).all()
    shares, interactions = figures(section)
    assert "of the variance of test accuracy goes with cell" in shares.finding
    assert len(interactions.table.rows) == 2 * 3 * 2 * 2, (
        "score and health, cell × initializer × clip"
    )
    assert "initializer" in interactions.finding


def test_the_diverged_point_counts(study: Study) -> None:
    points = summary(study)
    hit = study.grid[study.grid["status"] == "diverged"].iloc[0]
    scores = points.set_index("arm").loc[hit["arm"], "scores"]
    assert len(scores) == 3 and min(scores) <= 0.1 + 1e-9
    marks = figures(Effects().render(study))[1].table.rows
    assert sum(int(row[5]) for row in marks if row[3] == "test accuracy") == 36


def test_the_family_finds_cell_and_not_the_a_a_factor(study: Study) -> None:
    family = factorial_contrasts(study, "score")
    assert (
        family is not None
        and family.name == "main effects and two-way interactions on test accuracy"
        and len(family.tests) == 6
    )
    by = {one.name: one for one in family.tests}
    assert (
        by["cell"].holm <= 0.01
        and by["clip"].holm > 0.05
        and all(one.holm >= one.test.p for one in family.tests)
    )
    said = texts(Contrasts().render(study))
    assert (
        "shown for cell" in said
        and "not shown for" in said
        and "clip" in said.split("not shown for")[1]
    )
    assert (
        "with 3 seeds per side a permutation test of two recipes cannot go below p = 0.1; the best"
        " against the 11 others" in said
    )


def test_planned_contrasts_are_the_family_where_a_study_declares_them(study: Study) -> None:
    asked = [
        {
            "name": "gated against plain",
            "first": {"cell": ["lstm", "gru"]},
            "second": {"cell": "rnn"},
            "by": "score",
        },
        {
            "name": "orthogonal in plain cells",
            "first": {"initializer": "orthogonal"},
            "second": {"initializer": "normal"},
            "when": {"cell": "rnn"},
            "by": "D",
        },
        {
            "name": "clipping loses none",
            "first": {"clip": "norm"},
            "second": {"clip": "none"},
            "by": "lost",
        },
        {
            "name": "nobody there",
            "first": {"cell": "mlp"},
            "second": {"cell": "rnn"},
            "by": "score",
        },
    ]
    of = Study(study.store)
    of.declaration = {**of.declaration, "contrasts": asked}
    family = planned_contrasts(of)
    assert family is not None and family.name == "the planned contrasts of the study"
    gated, plain, lost, nobody = family.tests
    means = (
        of.grid.assign(
            y=np.where(of.grid["status"] == "diverged", 0.1, of.grid["score"].astype(float))
        )
        .groupby("cell")["y"]
        .mean()
    )
    assert (
        gated.difference.value == pytest.approx((means["lstm"] + means["gru"]) / 2 - means["rnn"])
        and gated.test.n == 36
        and gated.test.blocks == 4
    )
    assert gated.holm == pytest.approx(min(1, 3 * gated.test.p)) and gated.improve.value > 0.9
    assert (
        plain.test.n == 12
        and plain.test.blocks == 2
        and lost.difference.value == pytest.approx(1 / 18)
    ), "the one that diverged was clipped"
    assert math.isnan(nobody.test.p), "not part of the family"
    section = Contrasts().render(of)
    assert "the planned contrasts of the study (3 tests" in texts(
        section
    ) and "Not testable with the recipes that are there: nobody there" in texts(section)
    assert len(figures(section)) == 3, "measures have units of their own: a figure each"
    assert (
        "lstm or gru minus rnn in test accuracy"
        in next(block for block in section.blocks if isinstance(block, Table)).rows[0][-1].text
    )


def test_power_says_what_more_seeds_would_resolve(study: Study) -> None:
    section = Power(seeds=[3, 5, 12, 30]).render(study)
    spread = math.sqrt(np.mean([np.var(scores, ddof=1) for scores in summary(study)["scores"]]))
    best = summary(study)["score"].map(lambda one: one.value).nlargest(2).index
    floor = 2.801585 * weighted_noise(study, dict(zip(best, (1.0, -1.0), strict=True)))
    two = [math.hypot(resolvable((1, -1), n, 2 * (n - 1)) * spread, floor) for n in (3, 12)]
    assert (
        f"n = 3 seeds per recipe cannot resolve less than {two[0]:.3f} between two recipes; n = 12"
        f" would resolve {two[1]:.3f}" in texts(section)
    )
    asked = {one.name.split(" ")[0]: one for one in questions(study)}
    assert (
        sum(weight**2 for weight in asked["clip"].weights) == pytest.approx(2 / 6)
        and asked["clip"].df_per_seed == 12
    )
    with pytest.raises(ValueError, match="numbers of at least 2, rising"):
        Power(seeds=[5, 3])


def test_power_counts_the_test_set_and_says_where_no_number_of_seeds_would_do(
    tmp_path: Path,
) -> None:
    """Two cells differ by a test example or so: seeds that hardly vary would resolve that, but
    other test examples would not.
    """
    store = make(
        tmp_path / "close",
        factors={"cell": ["rnn", "gru"]},
        seeds=(0, 1, 2, 3),
        steps=8,
        updates=40,
        examples=60,
        tables=("history", "test"),
    )
    rng = np.random.default_rng(1)
    right = {cell: rng.random(60) < 0.6 for cell in ("rnn", "gru")}
    for cell, n in (("rnn", 36), ("gru", 37)):
        right[cell][:] = np.isin(np.arange(60), rng.permutation(60)[:n])

    def results(row: dict[str, Any]) -> np.ndarray:
        values = right[row["cell"]].astype(float)
        values[row["seed"]] = 1 - values[row["seed"]] if row["seed"] == 3 else values[row["seed"]]
        return values

    edit_points(
        store,
        lambda row: dict.fromkeys(("score", "val_score"), float(results(row).mean())),
        tables={"test": lambda row: {"example": np.arange(60), "value": results(row)}},
    )
    of = Study(store)
    said = texts(Power(seeds=[3, 5, 12, 30]).render(of))
    (cell, two) = questions(of)
    assert cell.floor == two.floor > cell.measured > 0
    assert "and the noise of a test set of 60 examples, n = 4" in said
    assert (
        "no number of seeds would resolve it, since the test set of 60 examples alone leaves"
        f" {cell.floor:.3f} unresolved" in said
    )
    examples = cell.examples(60, 4, 0.004)
    assert examples and replace(cell, floor=cell.floor * math.sqrt(60 / examples)).resolved(
        4, 0.004
    ) == pytest.approx(cell.measured, rel=0.01)
    table = figures(Power(seeds=[3]).render(of))[0].table.rows
    assert table[0][-1] == "no number would"
    assert cell.seeds(0.004) is None and replace(cell, floor=0.0).seeds(0.004) is not None


def test_time_to_solve_keeps_those_that_never_did(study: Study) -> None:
    of = Study(study.store)
    solved = of.grid["cell"].eq("gru")
    of.grid["solved_at"] = np.where(solved, 20.0 + of.grid["seed"].astype(float), np.nan)
    section = TimeToSolve().render(of)
    assert (
        "12 of 36 networks met the task's rule at some time" in texts(section)
        and "rnn none of 12; " in texts(section)
        and "gru 12 of 12, mean time 21 [20, 22]" in texts(section)
    )
    assert "1 network that diverged before meeting it counts as never meeting it" in texts(section)
    assert len(figures(section)[0].table.rows) == 12 and figures(section)[0].table.rows[0][
        4
    ].startswith("80+, 80+")
    of.grid["solved_at"] = np.nan
    assert "None of 36 networks met the task's rule" in texts(TimeToSolve().render(of))


def test_the_recipe_is_first_by_validation_and_lists_whom_it_cannot_beat(study: Study) -> None:
    found = recipe(study)
    points = study.stored
    means = (
        points.assign(
            v=np.where(points["status"] == "diverged", 0.1, points["val_score"].astype(float))
        )
        .groupby("arm")["v"]
        .mean()
    )
    assert (
        list(found.order) == list(means.sort_values(ascending=False).index)
        and found.close is not None
        and not found.undecided
    )
    labels = study.arms.set_index("arm")["label"]
    section = RecipeSection(shown=5).render(study)
    assert f"Recommended: {labels[found.first]}" in texts(section)
    assert (
        "chosen on these seeds, so its score here is optimistic; make confirm STUDY=digits trains"
        in texts(section)
    )
    table = next(block for block in section.blocks if isinstance(block, Table))
    assert len(table.rows) == 5 and {row[6] for row in table.rows[1:]} <= {
        "told apart",
        "not told apart",
    }


def test_equal_arms_are_not_distinguished(study: Study) -> None:
    """The best of 36 equal arms looks better than it is; few of 30 draws may separate it."""
    rng, wrong = np.random.default_rng(1), 0
    for _ in range(30):
        of = Study(study.store)
        values = 0.7 + 0.03 * rng.standard_normal(len(of.grid))
        of.grid = of.grid.assign(score=values, val_score=rng.permutation(values), status="done")
        undecided = recipe(of).undecided
        wrong += not undecided
        assert (
            "No recipe can be told apart" in texts(RecipeSection(shown=5).render(of))
        ) == undecided
    assert wrong <= 5


def test_one_seed_and_one_arm_are_said_so(tmp_path) -> None:
    one = Study(
        make(
            tmp_path / "one",
            factors={"cell": ["rnn", "gru"], "clip": ["none", "norm"]},
            seeds=(0,),
            steps=12,
            updates=40,
            tables=("test",),
            examples=20,
        )
    )
    assert "one seed per recipe" in texts(Effects().render(one)) and "one seed per recipe" in texts(
        Contrasts().render(one)
    )
    assert "cannot be determined" in texts(
        Power(seeds=[3]).render(one)
    ) and "which others are as good is not known" in texts(RecipeSection(shown=3).render(one))
    alone = Study(
        make(
            tmp_path / "alone",
            factors={},
            seeds=(0, 1, 2),
            steps=12,
            updates=40,
            tables=("test",),
            examples=20,
        )
    )
    assert Effects().render(alone).blocks == [] and Contrasts().render(alone).blocks == []
    assert (
        "There is one recipe" in texts(RecipeSection(shown=3).render(alone))
        and single_arms(alone) == "There is one recipe: nothing to compare."
    )


def test_arms_of_ten_seeds_have_the_interval_of_both_noises(tmp_path) -> None:
    of = Study(
        make(
            tmp_path / "ten",
            factors={"cell": ["rnn", "gru"]},
            seeds=tuple(range(11)),
            diverged=(0,),
            steps=12,
            updates=40,
            tables=("test",),
            examples=40,
        )
    )
    arms = summary(of).set_index("arm")
    test = of.table("test").pivot_table(
        index="id", columns="example", values="value", observed=True
    )
    gru = test.loc[of.grid.loc[of.grid["cell"] == "gru", "id"]].to_numpy(dtype=float)
    assert arms.loc[1, "score"] == two_way(gru, draws=2000, seed=2026)
    own = of.grid[of.grid["cell"] == "rnn"]
    assert arms.loc[0, "score"] == mean_interval(arms.loc[0, "scores"], own["score_se"].tolist()), (
        "a diverged network counts with the baseline, which no example shows"
    )


def test_the_summary_says_which_interactions_are_not_shown() -> None:
    """A study about an interaction that is not there must hear so on the first screen."""
    factors = {"cell": ["rnn", "lstm"], "readout": ["last", "attention"], "clip": ["none", "norm"]}
    study = known_study(
        factors,
        lambda labels, seed, rng: {
            "score": 0.8 + 0.1 * (labels["readout"] == "attention") + 0.01 * rng.normal()
        },
    )
    text = texts(Summary(trusted=5, draws=1000).render(study))
    assert "Of 3 interactions of two factors none is shown; by the estimate the largest is" in text
