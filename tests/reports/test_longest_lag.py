"""Length as a factor: which lag an arm still solves, none and all of them among it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from reports.analysis.longest_lag import length_factor, longest_lags
from reports.battery import check_section
from reports.data.study import Study
from reports.sections.longest_lag import LongestLag
from study.store import Store, seal
from tests.reports.synthetic import make

LENGTHS = [50, 100, 200]
SECTION = LongestLag(share=0.5)


def study(
    folder: Path,
    solved: dict[tuple[str, int], int],
    *,
    tables: tuple[str, ...] = (),
    stored: float = 1.0,
    cells: tuple[str, ...] = ("rnn", "gru"),
) -> Study:
    """Three seeds at each length; `solved` says how many of them did."""
    store = make(
        folder,
        factors={"cell": list(cells), "task.steps": LENGTHS},
        tables=tables,
        updates=20,
        steps=8,
        examples=20,
        stored=stored,
    )
    for path in sorted(store.points_folder.glob("*/result.json")):
        result = json.loads(path.read_text())
        done = result["labels"]["seed"] < solved.get(
            (result["labels"]["cell"], result["labels"]["task.steps"]), 0
        )
        result["row"]["outcome"] = "solved" if done else "stuck"
        seal(path.parent, result)
    store.write_points_table()
    return Study(Store(folder))


def test_the_longest_length_that_most_seeds_solve(tmp_path: Path):
    of = study(tmp_path / "s", {("gru", 50): 3, ("gru", 100): 2, ("gru", 200): 1, ("rnn", 100): 1})
    assert length_factor(of) == "task.steps"
    rnn, gru = longest_lags(of, "task.steps", 0.5)
    assert rnn.longest is None and not rnn.all_tried and rnn.next_tried is None
    assert (gru.longest.steps, gru.longest.solved, gru.longest.n, gru.next_tried.steps) == (
        100,
        2,
        3,
        200,
    )
    assert [one.longest.steps for one in longest_lags(of, "task.steps", 0.0)] == [100, 200], (
        "any seed"
    )
    figure = SECTION.render(of).blocks[1]
    assert (
        figure.finding
        == "Longest length solved: gru T = 100 (2 of 3; 1 of 3 at 200); rnn none (shortest tried: T"
        " = 50, 0 of 3)."
    )
    by_arm = {
        row[0]: [getattr(cell, "text", cell) for cell in row[1:]] for row in figure.table.rows
    }
    assert by_arm["gru"][0] == "100" and by_arm["gru"][3:] == ["200 (1/3)", "3/3", "2/3", "1/3"]
    assert by_arm["rnn"][0] == "none (from 50 on)" and by_arm["rnn"][3] == "100 (1/3)"


def test_none_and_all_are_said_and_a_gap_is_told(tmp_path: Path):
    none = SECTION.render(study(tmp_path / "none", {("gru", 50): 1})).blocks
    assert (
        none[1].finding
        == "None of 2 recipes solves any length tried, from T = 50 on; the most at one length: 1"
        " of 3 seeds."
    )
    assert none[0].text.startswith("0 of 2 recipes solve")
    every = SECTION.render(
        study(tmp_path / "all", {(cell, steps): 3 for cell in ("rnn", "gru") for steps in LENGTHS})
    ).blocks
    assert (
        every[1].finding
        == "All 2 recipes solve the longest length tried, T = 200: no limit was found."
    )
    assert "2 of them solve the longest one tried" in every[0].text
    assert every[1].table.rows[0][1].text == "≥ 200"
    gap = SECTION.render(study(tmp_path / "gap", {("gru", 50): 3, ("gru", 200): 3})).blocks
    assert "In 1 recipe a shorter length is not solved while a longer one is" in gap[0].text


def test_what_is_not_stored_is_not_counted(tmp_path: Path):
    of = study(tmp_path / "part", {("rnn", 50): 3, ("gru", 50): 1}, stored=10 / 18)
    rnn, gru = longest_lags(of, "task.steps", 0.5)
    assert [one.n for one in rnn.tried] == [3, 3, 3] and [one.n for one in gru.tried] == [1]
    assert gru.all_tried, "the one length that is stored"
    assert SECTION.render(of).blocks[1].table.rows[1][-1].text == "–"


def test_only_where_a_factor_sets_the_length(tmp_path: Path):
    make(
        tmp_path / "other",
        factors={"cell": ["rnn", "gru"], "task.examples": [10, 20]},
        tables=(),
        updates=20,
        steps=8,
        examples=20,
    )
    other = Study(Store(tmp_path / "other"))
    assert length_factor(other) is None and SECTION.render(other).blocks == []
    check_section(SECTION, study(tmp_path / "page", {("gru", 50): 3}))


def test_wrong_settings_are_told():
    with pytest.raises(ValueError, match="share must be at least 0 and below 1, got 1"):
        LongestLag(share=1)
