"""Pages of adopted runs: the numbers of the original, and nothing that was not recorded."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import study
from reports.__main__ import main as reports
from reports.analysis.claim_ledger import all_claims
from reports.analysis.contrasts import factorial_contrasts, planned_contrasts
from reports.analysis.findings import findings
from reports.analysis.recipe import recipe
from reports.data.study import Study
from reports.documents.page import render
from study.records import StudyError
from study.store import Store
from tests.adopt.runs import page, runs
from tests.reports.synthetic import make

SCORES = {"score": "test_acc", "val_score": "val_acc"}
# What must not be said of runs whose divergence, gradients and seconds nobody recorded.
FALSE = (
    r"\b0 diverged",
    r"\bnone diverged",
    "silently",
    "no verdict",
    "no outcome",
    "machine did",
    r"\btrained here",
    "kernel",
    "updates were saved",
    "Wall clock",
    "make confirm",
    "Tune the learning rate",
    "No network was lost",
    "fp64",
    "best validation, read once",
    "same order of data",
    "would meet any",
    "noise added",
    r"\bNone\b(?!:)",
    r"0/4 \| (?:first|distinguished)",
)


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """A study of ours with claims and contrasts, two points diverged, without single examples."""
    folder = tmp_path_factory.mktemp("outputs") / "original"
    factors = {"cell": ["rnn", "gru"], "initializer": ["orthogonal", "normal"], "depth": [1, 2]}
    store = make(
        folder,
        factors=factors,
        seeds=range(4),
        diverged=(5, 17),
        tables=("history",),
        claims=[
            {
                "statement": "GRUs score better",
                "better": {"cell": "gru"},
                "worse": {"cell": "rnn"},
                "by": "score",
                "least": 0.02,
            },
            {
                "statement": "normal weights lose more",
                "better": {"initializer": "orthogonal"},
                "worse": {"initializer": "normal"},
                "by": "lost",
                "least": 0.1,
            },
        ],
    )
    record = store.study()
    contrast = {"name": "depth", "first": {"depth": 2}, "second": {"depth": 1}, "by": "score"}
    record["declaration"]["contrasts"] = [contrast]
    store.declaration._write({key: one for key, one in record.items() if key != "digest"})
    return Study(Store(folder))


@pytest.fixture(scope="module")
def adopted(original: Study) -> Study:
    """The same runs, exported as a table and adopted."""
    folder = original.store.folder
    table = folder.parent / "table.csv"
    assert reports(["table", str(folder), "--csv", str(table)]) == 0
    result = study.adopt(
        table,
        name="adopted",
        folder=folder.parent,
        factors=["cell", "initializer", "depth"],
        score="score",
        metric="accuracy",
        higher_is_better=True,
        solved=0.9,
        baseline="baseline",
        claims=original.declaration["claims"],
        contrasts=original.declaration["contrasts"],
    )
    return Study(Store(result.folder))


def test_the_tests_are_those_of_the_original(original: Study, adopted: Study):
    for family in (planned_contrasts, lambda of: factorial_contrasts(of, "score")):
        ours, theirs = family(original), family(adopted)
        assert [one.name for one in ours.tests] == [one.name for one in theirs.tests]
        for one, other in zip(ours.tests, theirs.tests, strict=True):
            assert one.test == other.test
            assert one.shown == other.shown
            np.testing.assert_equal(
                [one.difference.value, one.difference.low, one.improve.value],
                [other.difference.value, other.difference.low, other.improve.value],
            )


def test_claims_and_recipe_are_those_of_the_original(original: Study, adopted: Study):
    ours, theirs = all_claims(original).own, all_claims(adopted).own
    assert ours.keys() == theirs.keys()
    for name, one in ours.items():
        assert (one.verdict, one.difference) == (theirs[name].verdict, theirs[name].difference)
    one, other = recipe(original), recipe(adopted)
    assert (one.order, one.close, one.chosen_by) == (other.order, other.close, other.chosen_by)


def test_effects_on_scores_are_those_of_the_original(original: Study, adopted: Study):
    def of_scores(study: Study) -> dict[tuple[str, str, str], object]:
        return {
            (one.kind, one.subject, one.measure): (one.strength, one.effect)
            for one in findings(study)
            if one.kind not in ("association", "claim") and "carrying" not in one.measure
        }

    ours, theirs = of_scores(original), of_scores(adopted)
    ours = {key: one for key, one in ours.items() if "transport" not in key[2]}
    assert len(theirs) > 10
    assert {key: str(one) for key, one in theirs.items()} == {
        key: str(one) for key, one in ours.items() if key in theirs
    }


def test_a_page_says_nothing_that_was_not_recorded(tmp_path: Path):
    result = study.adopt(runs(), name="a", folder=tmp_path, **SCORES)
    text = page(result.folder)
    for words in FALSE:
        assert not re.search(words, text), words
    assert not [one for one in result.findings if one.kind == "count"]
    assert "Whether any diverged was not recorded." in text
    assert "Not recorded: a rule for solved, the score of a guess" in text
    assert "Adopted from a frame on 20" in text
    assert "gru · orthogonal (by validation score): mean test" in text


def test_what_was_not_recorded_cannot_be_judged(tmp_path: Path, capsys):
    folder = study.adopt(runs(), name="a", folder=tmp_path, **SCORES).folder
    for condition in ("status == diverged", "outcome == stuck", "verdict == shut", "D < -2"):
        assert reports(["check", str(folder), "--fail-if", condition]) == 1
        assert "cannot be judged for" in capsys.readouterr().out
    assert reports(["check", str(folder), "--fail-if", "score < 0.4"]) == 0
    assert "24 points: 24 done; recommended" in capsys.readouterr().out
    assert reports(["status", str(folder)]) == 0
    assert "(6 arms, 4 seeds): 24 done\n" in capsys.readouterr().out


def test_a_run_that_is_not_ours_cannot_be_exported(tmp_path: Path, capsys):
    folder = study.adopt(runs(), name="a", folder=tmp_path, **SCORES).folder
    id = next((folder / "points").iterdir()).name
    assert reports(["export", str(folder), id]) == 2
    assert "whose weights were not recorded" in capsys.readouterr().err


def test_a_page_without_validation_and_cells_recommends_nothing(tmp_path: Path):
    table = runs().rename(columns={"cell": "arch"})[["arch", "test_acc"]]
    result = study.adopt(table, name="a", folder=tmp_path, score="test_acc")
    text = page(result.folder)
    assert "No validation score was recorded, so that no recipe is recommended" in text
    assert "The highest mean test acc is" in text
    for words in (*FALSE, r"\(by validation", "has been trained yet"):
        assert not re.search(words, text), words


def test_a_page_of_single_runs_says_what_they_can_say(tmp_path: Path):
    result = study.adopt(runs(1), name="a", folder=tmp_path, **SCORES)
    text = page(result.folder)
    assert "1 seed per recipe: single recipes are shown without intervals and not tested" in text
    assert "a single network has no interval" in text
    assert "One seed per recipe: which others are as good is not known" in text


@pytest.mark.parametrize("baseline", [None, 0.1])
def test_lost_runs_count_as_they_can(tmp_path: Path, baseline: float | None):
    table = runs()
    table["status"] = "finished"
    table.loc[[0, 9], "test_acc"] = np.nan
    table.loc[[0, 9], "status"] = ["diverged", "crashed"]
    result = study.adopt(table, name="a", folder=tmp_path, baseline=baseline, **SCORES)
    points = result.points.set_index("status")
    assert points.index.value_counts().to_dict() == {"done": 22, "diverged": 1, "failed": 1}
    text = page(result.folder)
    counted = "1 network diverged (1 rnn) and counts with"
    if baseline is None:
        assert f"{counted} its own score, and in no mean if they have none" in text
        assert "count in every statistic" not in text
    else:
        assert f"{counted} the memoryless baseline" in text
    assert "INCOMPLETE 23/24" in text


def test_a_run_without_score_and_status_is_failed_not_diverged(tmp_path: Path):
    table = runs()
    table.loc[3, "test_acc"] = np.nan
    result = study.adopt(table, name="a", folder=tmp_path, **SCORES)
    (failed,) = result.failed.values()
    assert failed == "no score recorded"
    assert "hether any diverged was not recorded" in page(result.folder)


@pytest.mark.parametrize("validated", [True, False])
def test_a_rule_for_solved_is_held_to_validation_or_else_to_the_score(
    tmp_path: Path, validated: bool
):
    table = runs()
    result = study.adopt(
        table,
        name="a",
        folder=tmp_path,
        score="test_acc",
        val_score="val_acc" if validated else None,
        solved=0.75,
        baseline=0.1,
    )
    met = table["val_acc" if validated else "test_acc"] >= 0.75
    assert result.points["ends_solved"].sum() == met.sum()
    text = page(result.folder)
    assert f"{'validation' if validated else 'test'} acc of at least 0.750" in text
    assert f"{met.sum()} of 24 networks solved the task at the end" in text


def test_the_page_renders_with_figures(adopted: Study):
    path, page = render(adopted.store.folder)
    assert not page.broken
    assert "Sources of these networks" in path.read_text(encoding="utf-8")


def test_studies_of_two_kinds_do_not_mix(original: Study, adopted: Study, tmp_path: Path):
    with pytest.raises(StudyError, match=r"original: holds networks that this tool trained; adopt"):
        study.adopt(
            runs(), name=original.store.folder.name, folder=original.store.folder.parent, **SCORES
        )
    plan = study.plan("quick", "tracker=[]", f"store.folder={tmp_path}", name="mine")
    study.adopt(runs(), name="mine", folder=tmp_path, **SCORES)
    with pytest.raises(StudyError, match=r"mine: holds runs that were adopted from elsewhere"):
        study.run(plan)


def test_other_factors_or_another_rule_are_another_study(tmp_path: Path):
    study.adopt(runs(), name="mine", folder=tmp_path, **SCORES)
    with pytest.raises(StudyError, match="solved: stored None, now 0.9"):
        study.adopt(runs(), name="mine", folder=tmp_path, solved=0.9, **SCORES)
    more = pd.concat([runs().assign(lr=lr) for lr in (0.1, 0.2)])
    with pytest.raises(StudyError, match="factors: stored 'cell, initializer', now"):
        study.adopt(more, name="mine", folder=tmp_path, **SCORES)
