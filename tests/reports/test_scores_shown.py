"""Scores as the page writes them: no interval beyond what is possible, no small number as 0.00."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reports.analysis.arms import summary
from reports.data.study import Study
from reports.documents.diff import compare
from reports.documents.diff_words import text as diff_text
from reports.documents.fail_if import check, parse, summary_line
from reports.documents.index import entry
from reports.documents.sections import declared_sections, render_section
from reports.formatting import decimals, plus_minus, with_ends
from reports.statistics import Estimate, clamp
from study.store import Store
from tests.reports.synthetic import TASK, edit_points, make

SECTIONS = ("summary", "recipe", "accuracy", "effects", "contrasts", "pareto", "side_by_side")
FACTORS = {"cell": ["rnn", "gru"], "clip": ["none", "norm"]}
SMALL = {"factors": FACTORS, "steps": 16, "updates": 80, "examples": 40}
ERROR = {
    **TASK,
    "metric": "mean squared error",
    "higher_is_better": False,
    "loss": "mean squared error",
    "baseline": 0.17,
    "baseline_loss": 0.17,
    "solved": 0.01,
}
NAN = float("nan")


def scored(store: Store, score: Callable[[int], float], se: float) -> Study:
    """The same store with other scores: `score` takes the number of the point."""
    at = iter(range(1_000))

    def change(_: dict[str, Any]) -> dict[str, Any]:
        value = score(next(at))
        names = ("score", "val_score", "final_score", "train_score")
        return dict.fromkeys(names, value) | {"val_score": 0.99 * value, "score_se": se}

    edit_points(store, change)
    return Study(store)


def page_text(study: Study) -> dict[str, str]:
    parts = {
        one.name: render_section(one, study, one.name)
        for one in declared_sections()
        if one.name in SECTIONS
    }
    assert not any(part.broken for part in parts.values())
    html = {name: "".join(map(str, part.blocks)) for name, part in parts.items()}
    return {name: re.sub(r"<svg.*?</svg>", "", one, flags=re.S) for name, one in html.items()}


def listed(study: Study) -> str:
    """The score in the index of studies."""
    said = entry(study.store.folder, study.store.folder).answer
    return said.partition(f"mean test {study.metric} ")[2]


@pytest.fixture
def near_perfect(tmp_path: Path) -> Study:
    store = make(tmp_path / "good", **SMALL, tables=("history", "states"))
    return scored(store, lambda number: (0.9, 0.98, 1.0)[number % 3], 0.02)


@pytest.fixture
def small_errors(tmp_path: Path) -> Study:
    store = make(tmp_path / "errors", **SMALL, task=ERROR, tables=("history", "states"))
    return scored(store, small, 1e-5)


def small(number: int) -> float:
    """Some ten thousandths: the cells differ, the clip rules a little, most in one cell."""
    cell, clip, seed = number // 6, number // 3 % 2, number % 3
    return 4e-4 + 4e-5 * seed + 1e-4 * cell + 3e-5 * clip + 5e-5 * cell * clip


def test_no_interval_of_a_score_passes_what_is_possible(near_perfect: Study) -> None:
    arms = summary(near_perfect)
    assert all(one.high == 1.0 for one in arms["score"])
    (never,) = check(near_perfect, [parse("score.high > 1")])
    (val,) = check(near_perfect, [parse("val_score.high > 1")])
    assert not never.holds and not val.holds
    ends = r"\[(?:[^\]]*, )(1\.0*[1-9]\d*|1\.[1-9]\d*)\]"
    for name in ("recipe", "accuracy", "pareto", "side_by_side", "effects"):
        assert re.findall(ends, page_text(near_perfect)[name]) == [], name
    shown = listed(near_perfect)
    assert "±" not in shown and re.search(r"0\.960 \[0\.8\d\d, 1\.000\]", shown)
    assert re.search(r"0\.960 \[0\.8\d\d, 1\.000\]", summary_line(near_perfect, []))


def test_errors_and_skill_are_bounded_on_their_own_side(
    small_errors: Study, tmp_path: Path
) -> None:
    assert small_errors.score_range == (0.0, np.inf)
    wide = scored(small_errors.store, lambda number: (1e-4, 2e-4, 9e-4)[number % 3], 0.0)
    assert all(one.low == 0.0 and one.high > 9e-4 for one in summary(wide)["score"])
    own = make(
        tmp_path / "own", **SMALL, task={**TASK, "metric": "log likelihood"}, tables=("history",)
    )
    beyond = scored(own, lambda number: 3.0 + number % 3, 0.0)
    assert beyond.score_range == (-np.inf, np.inf), "a metric of one's own is not bounded at 1"
    assert summary(beyond)["score"].iloc[0].high > 5


def test_a_difference_is_not_clamped() -> None:
    assert clamp(Estimate(0.99, 0.93, 1.05, 3), 0, 1) == Estimate(0.99, 0.93, 1.0, 3)
    assert clamp(Estimate(1.2, 1.1, 1.3, 3), 0, 1) == Estimate(1.2, 1.1, 1.2, 3)
    assert with_ends(0.9, -0.2, 2.0, sign=True) == "+0.9 [−0.2, 2.0]"


@pytest.mark.parametrize(
    ("value", "low", "high", "text"),
    [
        (0.91, 0.89, 0.93, "0.910 [0.890, 0.930]"),
        (0.9132, 0.9091, 0.9173, "0.9132 [0.9091, 0.9173]"),
        (0.0004, 0.0003, 0.0005, "0.00040 [0.00030, 0.00050]"),
        (0.00042, 0.000415, 0.000425, "0.0004200 [0.0004150, 0.0004250]"),
        (0.00042, NAN, NAN, "0.00042"),
        (0.00042, 0.00042, 0.00042, "0.00042 [0.00042, 0.00042]"),
        (0.004, 0.0, 0.034, "0.004 [0.000, 0.034]"),
        (0.00001, -0.02, 0.02, "0.000 [−0.020, 0.020]"),
        (0.95, 0.95 - 1e-12, 0.95 + 1e-12, "0.95 [0.95, 0.95]"),
        (0.95, 0.95 - 1e-6, 0.95 + 1e-6, "0.9500 [0.9500, 0.9500]"),
        (43.2, 41.9, 44.5, "43.2 [41.9, 44.5]"),
        (1e-17, NAN, NAN, "0.00"),
        (12.3, 12.0, 12.6, "12.30 [12.00, 12.60]"),
        (0.0, 0.0, 0.0, "0.00 [0.00, 0.00]"),
    ],
)
def test_value_and_ends_have_the_digits_that_show_them(
    value: float, low: float, high: float, text: str
) -> None:
    assert with_ends(value, low, high) == text


def test_a_shortened_side_is_not_written_as_plus_minus() -> None:
    assert plus_minus(0.91, 0.89, 0.93) == "0.910\u00a0±\u00a00.020"
    assert plus_minus(0.0004, 0.0003, 0.0005) == "0.00040\u00a0±\u00a00.00010"
    assert plus_minus(0.98, 0.93, 1.0) == "0.980 [0.930, 1.000]"
    assert plus_minus(0.98, NAN, NAN) == "0.98"
    assert decimals(NAN) == 2


def test_small_errors_are_not_written_as_nothing(small_errors: Study, tmp_path: Path) -> None:
    nothing = re.compile(r"(?<![\d.])0\.000?\b(?! \[−)")
    for name, html in page_text(small_errors).items():
        if name in ("recipe", "accuracy", "pareto"):
            assert nothing.findall(re.sub(r"\d/\d \[.*?\]", "", html)) == [], name
        assert not re.search(r"0\.0+(\u00a0±\u00a00\.0+\b| \[0\.0+, 0\.0+\])", html), name
        assert "0.000 [0.000, 0.000]" not in html and "0.000 [−0.000, 0.000]" not in html, name
    assert "0.00044" in page_text(small_errors)["summary"]
    assert listed(small_errors).startswith("0.0004")
    other = make(tmp_path / "second", **SMALL, task=ERROR, tables=("history", "states"))
    after = scored(other, lambda number: 1e-4 + small(number), 1e-5)
    said = diff_text(compare(small_errors, after, allow=()), 20)
    assert "+0.0001" in said and "+0.000 " not in said
