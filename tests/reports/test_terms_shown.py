"""What is shown, what depends on what, and what is confounded, on stores where the truth is known:
every section says the same, and none says more.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from reports.analysis.arms import with_counted
from reports.analysis.contrasts import factorial_contrasts
from reports.analysis.effect_findings import effect_findings
from reports.analysis.effects import dependence, main_effects
from reports.analysis.terms_shown import DRAWS, corrected_p, decide, terms_shown
from reports.blocks import Cell, Figure, Notice, Prose, Section, Table
from reports.data.study import Study
from reports.documents.sections import build, declared_sections
from reports.statistics import permutation
from reports.statistics.holm import rejected
from reports.statistics.permutation import f_test
from reports.statistics.terms import confounded, terms
from reports.statistics.variance_shares import HIGHER, shares
from tests.reports.synthetic import make

BUILT = {one.name: one for one in declared_sections()}
CELLS = {"cell": ["rnn", "lstm", "gru"]}
RATES = {"clip": ["none", "norm"], "optimizer.lr": ["0.01", "0.05"]}
STARTS = {"initializer": ["orthogonal", "normal"]}


def study_of(
    folder: Path, score: Callable[[Mapping[str, Any]], float], spread: float = 0.02, **how: Any
) -> Study:
    """A store whose scores are score(levels) and noise of this standard deviation."""
    how = {"steps": 12, "updates": 40, "examples": 60, "tables": ("history", "test"), **how}
    return Study(
        make(
            folder / "store",
            score=lambda labels, rng: score(labels) + spread * rng.standard_normal(),
            **how,
        )
    )


def crossing(labels: Mapping[str, Any]) -> float:
    better = (labels["clip"] == "none") == (labels["optimizer.lr"] == "0.01")
    return 0.85 if better else 0.3 if labels["clip"] == "none" else 0.6


def scaling(labels: Mapping[str, Any]) -> float:
    return 0.6 if labels["cell"] == "rnn" and labels["initializer"] == "normal" else 0.9


def rendered(name: str, study: Study) -> Section:
    return build(BUILT[name]).render(study)


def said(name: str, study: Study) -> str:
    blocks = rendered(name, study).blocks
    texts = [block.text for block in blocks if isinstance(block, Prose | Notice)]
    return " ".join(
        [*texts, *[f"{one.finding} {one.caption}" for one in blocks if isinstance(one, Figure)]]
    )


def answer(study: Study) -> str:
    """What the summary says of effects."""
    return build(BUILT["summary"])._effects(study, with_counted(study))[1]


def by_level(study: Study) -> dict[str, str]:
    """Last column of Accuracy's table of levels, by level."""
    table = next(
        block
        for block in rendered("accuracy", study).blocks
        if isinstance(block, Table) and block.columns[0] == "level"
    )
    return {_text(row[0]): _text(row[-1]) for row in table.rows}


def _text(cell: Cell | str) -> str:
    return cell.text if isinstance(cell, Cell) else cell


def agree(study: Study) -> set[str]:
    """Terms of the score that are shown, which Effects, Contrasts and the summary agree on."""
    found = terms_shown(study, "score")
    assert found is not None
    shown = {one.name for one in found.terms if one.shown}
    family = factorial_contrasts(study, "score")
    assert family is not None and {one.name for one in family.tests if one.shown} == shown
    blocks = rendered("effects", study).blocks
    table = next(one.table for one in blocks if isinstance(one, Figure))
    assert table is not None
    words = {
        _text(row[0]): _text(row[6]).partition(": ")[2] for row in table.rows if "test" in row[1]
    }
    assert {name for name, word in words.items() if word == "shown"} == shown
    first = next(one.text for one in rendered("contrasts", study).blocks if isinstance(one, Prose))
    listed = re.search(r"shown for (.*?)(?:; not shown|; too close|\.)", first)
    assert bool(shown) == (listed is not None and "none is shown" not in first)
    for name in shown:
        assert listed and f"{name} (p" in first
    lead = r"(?:largest differences|difference that is shown) in mean test accuracy (?:are|is): "
    averaged = re.search(rf"{lead}(.*?)\. ", answer(study))
    for one in main_effects(study, with_counted(study)):
        stated = bool(averaged) and f"{one.factor} 0" in averaged[1]
        assert stated == (one.factor in shown and not one.reversed_by), one.factor
    return shown


# --- stores ---


def test_nothing_is_shown_where_nothing_is_there(tmp_path: Path) -> None:
    study = study_of(tmp_path, lambda labels: 0.6, factors={**CELLS, **RATES})
    assert agree(study) == set()
    assert answer(study).startswith("No factor shows a difference") and "depends" not in answer(
        study
    )


def test_few_of_many_null_studies_show_anything(tmp_path: Path) -> None:
    """Family error .05, with seeds that spread by ten times as much in some arms as in others."""
    base = study_of(
        tmp_path, lambda labels: 0.6, factors={**CELLS, **STARTS, "clip": ["none", "norm"]}
    )
    rng, wrong = np.random.default_rng(5), 0
    spread = np.exp(rng.uniform(math.log(0.01), math.log(0.1), base.grid["arm"].nunique()))
    for _ in range(40):
        study = Study(base.store)
        noise = spread[study.grid["arm"]] * rng.standard_normal(len(study.grid))
        study.grid = study.grid.assign(score=0.6 + noise, status="done", outcome="learning")
        found = terms_shown(study, "score")
        assert found is not None
        wrong += any(one.shown for one in found.terms) or "is better than" in answer(study)
    assert wrong <= 5


def test_one_main_effect(tmp_path: Path) -> None:
    of = {"rnn": 0.4, "lstm": 0.6, "gru": 0.8}
    study = study_of(tmp_path, lambda labels: of[labels["cell"]], factors={**CELLS, **RATES})
    assert agree(study) == {"cell"}
    told = r"is: cell 0\.4\d+ \[.*\(gru 0\.\d+, rnn 0\.\d+\)\. No difference is shown for "
    assert re.search(told, answer(study))
    assert "depends on" not in answer(study) + said("effects", study) + said("contrasts", study)


def test_a_crossing_interaction_is_told_level_by_level_and_never_averaged(tmp_path: Path) -> None:
    study = study_of(tmp_path, crossing, factors={"cell": ["rnn", "gru"], **STARTS, **RATES})
    assert "clip × optimizer.lr" in agree(study)
    for text in (answer(study), said("effects", study)):
        assert re.search(
            r"Clip × optimizer\.lr explains \d+ % \[\d+ %, \d+ %\] of the variance of test"
            r" accuracy \(intervals: 95 % for all comparisons at once\): for clip none,"
            r" learning rate 0\.01 is better than learning rate 0\.05 \(0\.\d+ against 0\.\d+:"
            r" 0\.\d+ \[0.*\]\);"
            r" for clip norm, learning rate 0\.05 is better than learning rate 0\.01",
            text,
        )
        assert re.search(
            r"Which clip is better depends on optimizer\.lr: for learning rate 0\.01,"
            r" clip none is better than clip norm .*; for learning rate 0\.05, clip norm is"
            r" better than clip none",
            text,
        )
        assert "No interaction" not in text
    assert "Averaged over everything else" not in answer(study)
    for name in ("clip none", "clip norm"):
        assert by_level(study)[name].startswith(
            "depends on optimizer.lr: for learning rate 0.01, clip none is"
        )
    assert by_level(study)["learning rate 0.05"].startswith(
        "depends on clip: for clip none, learning rate 0.01 is better"
    )
    figure = next(one for one in rendered("contrasts", study).blocks if isinstance(one, Figure))
    assert figure.table is not None
    names = [_text(row[0]) for row in figure.table.rows]
    assert (
        "clip none against clip norm, learning rate 0.01" in names
        and "learning rate 0.01 against learning rate 0.05, clip norm" in names
    )
    assert "clip none against clip norm" not in names, "an average over what reverses it"
    assert "clip is compared at each level of optimizer.lr" in figure.caption
    picture = [one for one in rendered("effects", study).blocks if isinstance(one, Figure)][1]
    assert "lines: clip" in picture.caption, "drawn is the interaction that is shown"


def test_findings_say_the_same_as_the_page(tmp_path: Path) -> None:
    study = study_of(tmp_path, crossing, factors={"cell": ["rnn", "gru"], **RATES})
    shown, found = agree(study), {one.subject: one for one in effect_findings(study)}
    assert {name for name, one in found.items() if one.strength in ("holds", "mixed")} == shown
    for name, other in (("clip", "optimizer.lr"), ("optimizer.lr", "clip")):
        one = found[name]
        assert one.strength == "mixed" and math.isnan(one.effect.value), "no average"
        assert [key.partition("=")[0] for key in one.within] == [other, other]
        assert one.sentence[1:] in answer(study) or name == "optimizer.lr"
    assert found["clip × optimizer.lr"].sentence[1:] in answer(study)
    assert found["cell"].strength == "not decided" and "corrected p" in found["cell"].why


def test_a_pair_beside_the_largest_that_reverses_counts(tmp_path: Path) -> None:
    """gru is best everywhere; rnn and lstm change places between the initializers."""
    means = {"gru": (0.9, 0.9), "rnn": (0.6, 0.3), "lstm": (0.3, 0.6)}
    study = study_of(
        tmp_path,
        lambda labels: means[labels["cell"]][labels["initializer"] == "normal"],
        factors={**CELLS, **STARTS},
    )
    effects = {one.factor: one for one in main_effects(study, with_counted(study))}
    assert {effects["cell"].better} == {"gru"} and effects["cell"].reversed_by
    (found,) = effects["cell"].reversed_by
    assert [(one.at, one.better, one.worse, one.shown) for one in found.by_level] == [
        ("orthogonal", "rnn", "lstm", True),
        ("normal", "lstm", "rnn", True),
    ]
    assert "cell 0" not in answer(study) and by_level(study)["rnn"].startswith(
        "depends on initializer"
    )
    agree(study)


def test_an_interaction_that_scales_leaves_the_average_with_a_note(tmp_path: Path) -> None:
    study = study_of(tmp_path, scaling, factors={"cell": ["rnn", "gru"], **STARTS}, seeds=range(4))
    assert agree(study) == {"cell", "initializer", "cell × initializer"}
    assert re.search(r"initializer 0\.1\d+ .*; how much depends on cell\)", answer(study))
    assert re.search(
        r"Cell × initializer explains .*: for rnn, orthogonal is better than normal \(0\.\d+"
        r" against 0\.\d+: .*\); for gru, no difference is shown \(",
        answer(study),
    )
    assert "not averaged" not in answer(study)
    assert by_level(study)["rnn"].endswith("; how much depends on initializer")


def test_a_lower_score_can_be_the_better_one(tmp_path: Path) -> None:
    study = study_of(tmp_path, crossing, factors=RATES)
    up = dependence(study, "score", "clip", "optimizer.lr")
    down = Study(study.store)
    down.tasks = {"digits": {**study.task, "higher_is_better": False}}
    turned = dependence(down, "score", "clip", "optimizer.lr")
    assert [(one.better, one.worse) for one in up.by_level] == [
        (one.worse, one.better) for one in turned.by_level
    ]
    assert all(one.shown and one.better_mean < one.worse_mean for one in turned.by_level)


def test_spreads_that_differ_tenfold_do_not_hide_or_make_a_reversal(tmp_path: Path) -> None:
    def score(labels: Mapping[str, Any], rng: np.random.Generator) -> float:
        spread = 0.1 if labels["clip"] == "none" else 0.01
        return crossing(labels) + spread * rng.standard_normal()

    how = {"steps": 12, "updates": 40, "examples": 60, "tables": ("test",), "seeds": range(6)}
    study = Study(make(tmp_path / "unequal", factors=RATES, score=score, **how))
    assert "clip × optimizer.lr" in agree(study)
    found = dependence(study, "score", "optimizer.lr", "clip")
    none, norm = found.by_level
    assert found.reverses and none.difference.half > norm.difference.half


def test_one_seed_shows_nothing(tmp_path: Path) -> None:
    study = study_of(tmp_path, crossing, factors={**CELLS, **RATES}, seeds=(0,))
    found = terms_shown(study, "score")
    assert found is not None and found.shares is None
    assert all(one.shown is None and not one.decided.testable for one in found.terms)
    assert answer(study) == "" and "Nothing can be tested" in said("contrasts", study)
    assert "is better" not in said("effects", study)


def test_points_that_are_missing_leave_what_can_be_compared(tmp_path: Path) -> None:
    of = {"rnn": 0.4, "lstm": 0.6, "gru": 0.8}
    study = study_of(
        tmp_path,
        lambda labels: of[labels["cell"]],
        factors={**CELLS, **STARTS, **RATES},
        stored=0.8,
    )
    assert agree(study) == {"cell"}
    found = terms_shown(study, "score")
    assert found is not None and found.shares is not None
    by = {one.name: one.share for one in found.shares.terms}
    assert HIGHER not in by or by[HIGHER].value < 0.01, "a main effect that overlaps is not higher"
    assert "Combinations are missing" in said("effects", study)


# --- confounding ---


def only(pairs: Mapping[str, list[str]], initializers: list[str]) -> list[dict[str, Any]]:
    return [
        {"labels": {"cell": cell, "initializer": name}, "why": "not asked"}
        for cell, own in pairs.items()
        for name in initializers
        if name not in own
    ]


def test_cell_and_initializer_that_change_together_are_called_so(tmp_path: Path) -> None:
    """Two initializers of its own for each cell: 95 % goes with both, none with either."""
    names = ["orthogonal", "xavier_uniform", "normal", "normal_large"]
    own = {"rnn": names[:2], "lstm": names[2:]}
    study = study_of(
        tmp_path,
        lambda labels: {"rnn": 0.4, "lstm": 0.8}[labels["cell"]],
        factors={"cell": list(own), "initializer": names, "clip": ["none", "norm"]},
        excluded=only(own, names),
    )
    assert agree(study) == set()
    found = terms_shown(study, "score")
    assert found is not None and found.shares is not None
    by = {one.name: one.share for one in found.shares.terms}
    assert by["cell and initializer, confounded"].low > 0.9 and HIGHER not in by
    assert [one.name for one in found.together] == ["cell and initializer, confounded"]
    for text in (answer(study), said("effects", study)):
        assert (
            "Cell and initializer are confounded in the recipes that are there: no two recipes"
            " differ in" in text
        )
        assert "A recipe with lstm · orthogonal would begin to separate them." in text
        assert "higher interactions" not in text and "is better" not in text
    assert "cell 0" not in answer(
        study
    ) and "only between levels that are not confounded" in answer(study)
    assert by_level(study)["rnn"] == "confounded with initializer"
    assert "not confounded with cell" in by_level(study)["normal"]
    rows = next(one for one in rendered("contrasts", study).blocks if isinstance(one, Figure)).table
    assert rows is not None and [_text(row[0]) for row in rows.rows] == [
        "orthogonal against xavier_uniform",
        "xavier_uniform against orthogonal",
        "normal against normal_large",
        "normal_large against normal",
        "clip none against clip norm",
    ]


def arms_of(levels: Mapping[str, Any], keep: Callable[[Mapping[str, Any]], bool]) -> pd.DataFrame:
    rows = [dict(zip(levels, row, strict=True)) for row in itertools.product(*levels.values())]
    return pd.DataFrame(row for row in rows if keep(row)).assign(arm=lambda arms: range(len(arms)))


def parts(arms: pd.DataFrame, factors: list[str]) -> dict[tuple[str, ...], int]:
    """Degrees of freedom of what is confounded, by terms."""
    found = terms(arms, factors)
    return {one.terms: one.weights.shape[1] for one in confounded(arms, factors, found)}


GRID = {"cell": ["rnn", "lstm", "gru"], "initializer": ["a", "b", "c"], "clip": ["none", "norm"]}


def test_what_is_confounded_and_what_is_only_incomplete() -> None:
    keys = list(GRID)
    assert parts(arms_of(GRID, lambda row: True), keys) == {}
    holed = arms_of(GRID, lambda row: (row["cell"], row["initializer"]) != ("rnn", "a"))
    assert parts(holed, keys) == {}, "one combination of nine is missing: all can be told apart"
    assert (
        parts(
            arms_of(GRID, lambda row: row != {"cell": "rnn", "initializer": "a", "clip": "none"}),
            keys,
        )
        == {}
    )
    same = arms_of(
        GRID,
        lambda row: (
            GRID["cell"].index(row["cell"]) == GRID["initializer"].index(row["initializer"])
        ),
    )
    one_to_one = {("cell", "initializer"): 2, ("cell × clip", "initializer × clip"): 2}
    assert parts(same, keys) == one_to_one
    partly = arms_of(GRID, lambda row: (row["cell"] == "rnn") == (row["initializer"] == "a"))
    (main, _) = confounded(partly, keys, terms(partly, keys))
    assert main.islands == {
        "cell": (("rnn",), ("lstm", "gru")),
        "initializer": (("a",), ("b", "c")),
    }


def test_nested_fractional_and_separate_confounding() -> None:
    nested = {"cell": ["rnn", "gru"], "gate": ["-", "low", "high"]}
    arms = arms_of(nested, lambda row: (row["cell"] == "rnn") == (row["gate"] == "-"))
    (one,) = confounded(arms, list(nested), terms(arms, list(nested)))
    assert one.factors == ("cell", "gate") and one.weights.shape[1] == 1
    assert one.islands["gate"] == (("-",), ("low", "high"))
    two = {key: [0, 1] for key in "abcd"}
    half = arms_of({key: [0, 1] for key in "abc"}, lambda row: row["c"] == row["a"] ^ row["b"])
    assert parts(half, list("abc")) == {("a", "b", "c"): 3}
    pairs = arms_of(two, lambda row: row["a"] == row["b"] and row["c"] == row["d"])
    crossed = ("a × c", "a × d", "b × c", "b × d")
    assert parts(pairs, list("abcd")) == {("a", "b"): 1, ("c", "d"): 1, crossed: 1}


def test_shares_of_a_whole_factorial_are_the_textbook_ones() -> None:
    arms = arms_of(GRID, lambda row: True)
    points = arms.loc[np.repeat(arms.index, 3)].reset_index(drop=True)
    rng = np.random.default_rng(3)
    points["y"] = 0.1 * (points["cell"] == "gru") + 0.03 * rng.standard_normal(len(points))
    found = shares(points, "y", arms, list(GRID), draws=50, seed=1)
    assert found is not None and found.whole and found.rest == 0
    total = float(((points["y"] - points["y"].mean()) ** 2).sum())
    squares = 18 * float(((points.groupby("cell")["y"].mean() - points["y"].mean()) ** 2).sum())
    mse = found.spread**2
    cell = next(one for one in found.terms if one.name == "cell")
    assert cell.share.value == pytest.approx((squares - 2 * mse) / (total + mse))
    assert [one.df for one in found.terms] == [2, 2, 1, 4, 2, 2, 4] and HIGHER in found.terms[
        -1
    ].name


# --- luck ---


def test_more_permutations_are_made_where_luck_could_decide() -> None:
    asked: list[int] = []

    def close(draws: int) -> permutation.TestResult:
        asked.append(draws)
        return permutation.TestResult(3.0, 1, 20, 0.056, 24, 1, draws)

    (found,) = decide([close])
    assert asked == [*DRAWS][: len(asked)] and len(asked) > 1 and found.shown is False

    def on_the_edge(draws: int) -> permutation.TestResult:
        return permutation.TestResult(3.0, 1, 20, 0.05, 24, 1, draws)

    (found,) = decide([on_the_edge])
    assert found.shown is None and found.too_close and found.test.draws == DRAWS[-1]
    exact = permutation.TestResult(3.0, 1, 20, 0.05, 4000, 1, 0)
    assert decide([lambda draws: exact])[0].shown is True, "the F distribution has no luck"
    asked.clear()
    far = permutation.TestResult(9.0, 1, 20, 0.004, 24, 1, DRAWS[0])
    assert decide([lambda draws: asked.append(draws) or far])[0].shown is True
    assert asked == [DRAWS[0]]


def test_close_counts_all_of_the_family() -> None:
    """The second step of Holm is only as sure as the first."""
    assert rejected([0.001, 0.04], [9999, 9999]) == [True, True]
    assert rejected([0.025, 0.04], [999, 999]) == [None, None]
    assert rejected([0.3, math.nan], [999, 999]) == [False, None]


@pytest.mark.parametrize("size", [0.0, 0.01, 0.015, 0.02, 0.025, 0.03, 0.04])
def test_verdicts_do_not_change_with_the_seed(size: float) -> None:
    rng, arm = np.random.default_rng(2), np.repeat(range(4), 5)
    arms = arms_of({"a": [0, 1], "b": [0, 1]}, lambda row: True)
    term = terms(arms, ["a", "b"])[0]
    values = size * arms["a"].to_numpy()[arm] + 0.03 * rng.standard_normal(len(arm))
    tests = [
        lambda draws, seed=s: f_test(values, arm, term, draws=draws, seed=seed) for s in range(4)
    ]
    assert not {True, False} <= {decide([one])[0].shown for one in tests}


def test_a_p_that_no_permutation_reached_is_a_bound() -> None:
    arm = np.repeat([0, 1], 8)
    arms = arms_of({"a": [0, 1]}, lambda row: True)
    (term,) = terms(arms, ["a"])
    rng = np.random.default_rng(0)
    far = f_test(5.0 * arm + rng.standard_normal(16), arm, term, draws=199, seed=0)
    near = f_test(rng.standard_normal(16), arm, term, draws=199, seed=0)
    assert far.smallest and far.p == 1 / 200 and not near.smallest
    (found,) = decide([lambda draws: far])
    assert corrected_p(found) == "≤ 0.005"
