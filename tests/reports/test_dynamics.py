"""Exponents and what they may be called; the section is there where something was measured, and
nowhere else.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from reports.analysis.dynamics import ends, judged_lags, reading, spectra
from reports.data.study import Study
from reports.documents.page import write
from reports.sections.dynamics import Dynamics
from tests.reports.synthetic import make

SETTINGS = {
    "factors": {"cell": ["rnn", "gru"], "initializer": ["orthogonal", "normal"], "depth": [1, 2]},
    "steps": 24,
    "updates": 60,
    "examples": 30,
}


@pytest.mark.parametrize(
    ("exponents", "lag", "word"),
    [
        ([0.05, 0.06, 0.055], 50, "chaotic"),
        ([0.05, 0.01, -0.02], 50, "undecided"),
        (
            [-0.02, -0.021, -0.019],
            50,
            "undecided",
        ),  # apart from 0, and a hundredth is not lost in 50 steps: ln(100)/50 = .092
        ([-0.02, -0.021, -0.019], 500, "forgets"),
        ([-0.2, -0.21, -0.19], 50, "forgets"),
        ([-0.2, -0.01, -0.3], 50, "undecided"),
        ([0.3], 50, "no interval"),
        ([], 50, "no interval"),
        ([-math.inf, -math.inf], 50, "forgets"),
        ([-math.inf, -0.2, -0.2], 50, "undecided"),
        ([math.nan, 0.05, 0.051, 0.0505], 50, "chaotic"),
    ],
)
def test_a_word_needs_an_interval_on_one_side(exponents, lag, word):
    assert reading(exponents, lag).word == word


def test_noise_around_zero_is_rarely_called_chaotic():
    """The 95 % interval lies above 0 in 2.5 % of draws around 0."""
    rng = np.random.default_rng(0)
    words = [reading(row, 1000).word for row in rng.normal(0, 0.01, (2000, 4)).tolist()]
    assert 0.015 < words.count("chaotic") / 2000 < 0.035


def frame(rows: list[tuple[str, int, str, float | None, int, float]]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["id", "stage", "quantity", "lag", "layer", "value"])


def test_ends_are_the_first_and_last_probe_at_the_longest_lag_across_layers():
    rows = frame(
        [
            ("a", stage, "log10_condition", lag, layer, 100 * stage + 10 * layer + lag)
            for stage in (0, 3)
            for layer in (1, 2)
            for lag in (1, 5)
        ]
        + [
            ("a", 0, "omega", None, 1, 7.0),
            ("b", 2, "omega", None, 1, 3.0),
            ("b", 2, "omega", None, 2, 5.0),
            ("b", 4, "omega", None, 1, math.nan),
        ]
        + [("a", 0, "unit_timescale.f", None, 1, value) for value in (1.0, 2.0, 9.0)]
    )
    found = ends(rows, "log10_condition", "max")
    assert found.loc["a"].tolist() == [25, 325]
    found = ends(rows, "omega", "max")
    assert found.loc["a"].tolist() == [7, 7]
    assert found.loc["b"].tolist() == [5, 5], "a probe without a number is none"
    assert ends(rows, "unit_timescale.", "median").loc["a"].tolist() == [2, 2]
    assert ends(rows, "absent", "max").empty


def test_spectra_take_all_layers_together_and_medians_over_points():
    rows = pd.DataFrame(
        [
            (id, stage, "lyapunov", layer, value + shift, "rnn")
            for id, shift in (("a", 0.0), ("b", 1.0), ("c", 5.0))
            for stage in (0, 2)
            for layer, value in ((1, -1.0), (1, -math.inf), (2, -2.0))
        ],
        columns=["id", "stage", "quantity", "layer", "value", "cell"],
    )
    found = spectra(rows, ["cell"], 3)
    assert found[found["end"] == 0]["value"].tolist() == [0, -1, -math.inf]
    assert found["points"].unique().tolist() == [3]
    assert sorted(found["end"].unique()) == [0, 1]
    one_stage = spectra(rows[rows["stage"] == 0], ["cell"], 3)
    assert one_stage["end"].unique().tolist() == [0], (
        "a single probe is the first one, and not drawn twice"
    )


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return Study(
        make(
            tmp_path_factory.mktemp("outputs") / "measured",
            tables=("history", "profile", "states", "test", "measures"),
            **SETTINGS,
        )
    )


def test_the_section_shows_what_was_measured(measured: Study):
    section = Dynamics(grid=11, floor=-3.0).render(measured)
    table = section.blocks[1]
    assert list(table.columns) == [
        "recipe",
        "n",
        "largest exponent",
        "reading",
        "radius of W_h",
        "condition",
        "depth",
        "timescale",
    ]
    assert len(table.rows) == 8
    by_arm = {row[0]: row for row in table.rows}
    words = {arm: row[3] for arm, row in by_arm.items()}
    assert {word for arm, word in words.items() if arm.startswith("rnn")} <= {
        "forgets",
        "undecided",
    }
    assert {word for arm, word in words.items() if arm.startswith("gru")} <= {
        "chaotic",
        "undecided",
    }
    assert "chaotic" in words.values() and "forgets" in words.values()
    row = next(
        row
        for arm, row in by_arm.items()
        if arm.startswith("rnn · orthogonal") and arm.endswith("2")
    )
    assert row[5].text == "∞ → ∞"
    assert row[6].text == "−0.5 → −0.5"
    assert row[7].text == "–"
    assert next(row for arm, row in by_arm.items() if arm.startswith("gru"))[7].text == "7.5 → 7.5"
    figures = [block for block in section.blocks if hasattr(block, "picture")]
    assert len(figures) == 2, "one a depth"
    assert "gru orthogonal" in figures[0].finding
    assert judged_lags(measured).unique().tolist() == [23]


def test_the_page_has_the_section_only_where_something_was_measured(
    measured: Study, tmp_path: Path
):
    html = write(measured.store.folder).read_text(encoding="utf-8")
    assert html.count("Dynamics of the recurrence</") >= 1
    assert "data-broken" not in html
    without = write(make(tmp_path / "without", **SETTINGS).folder).read_text(encoding="utf-8")
    assert "Dynamics of the recurrence" not in without
    assert 'id="dynamics"' in html and 'id="dynamics"' not in without and "#dynamics" not in without


def test_lags_come_from_the_task_where_no_state_was_judged(tmp_path: Path):
    study = Study(make(tmp_path / "stateless", tables=("history", "test", "measures"), **SETTINGS))
    assert judged_lags(study).unique().tolist() == [23], "a lag of 24 is at most T - 1"
    assert len(Dynamics(grid=11, floor=-3.0).render(study).blocks) > 2


def test_wrong_settings_are_refused():
    with pytest.raises(ValueError, match="grid must be at least 2 and floor below 0, got grid=1"):
        Dynamics(grid=1, floor=-1.0)
