"""Single examples on the page: what the numbers are, that the section is there where something was
measured, and that it keeps the rules.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from reports.analysis.traces import by_point, ends, gates, half_lag, relative, spread, with_input
from reports.battery import check_section
from reports.data.study import Study
from reports.figures.examples import colours_of
from reports.sections.examples import Examples
from tests.reports.synthetic import make

SETTINGS = {
    "factors": {"cell": ["rnn", "gru"], "initializer": ["orthogonal", "normal"]},
    "seeds": (0, 1),
    "steps": 24,
    "updates": 60,
    "examples": 30,
}
SECTION = Examples(low=-6.0, rows=24)


@pytest.mark.parametrize(
    ("values", "lag"),
    [
        ([0, 0, 0, 1], 1),
        ([1, 0, 0, 0], 4),
        ([1, 1, 1, 1], 2),
        ([1, 1, 1, 4], 1),
        ([3, 1, 1, 1], 3),
        ([0, 0], math.nan),
        ([1, math.inf], math.nan),
        ([], math.nan),
    ],
)
def test_half_lag_counts_steps_from_the_end(values, lag):
    assert half_lag(values) == pytest.approx(lag, nan_ok=True)


def test_spread_is_one_for_one_step_and_all_for_equal_ones():
    assert spread([0, 1, 0]) == pytest.approx(1)
    assert spread([0.25] * 4) == pytest.approx(4)
    assert spread([1, 1, 0, 0]) == pytest.approx(2)


def rows(
    values: dict[tuple[str, int], list[float]], quantity: str = "saliency", **more: object
) -> pd.DataFrame:
    """(id, stage) -> the values of one example."""
    return pd.DataFrame(
        [
            {
                "id": id,
                "stage": stage,
                "quantity": quantity,
                "example": 0,
                "step": step,
                "value": value,
                "cell": "rnn",
                **more,
            }
            for (id, stage), of in values.items()
            for step, value in enumerate(of)
        ]
    )


def test_ends_relative_values_and_medians_over_points():
    found = ends(
        rows(
            {
                ("a", 0): [1, 10],
                ("a", 3): [5, 5],
                ("a", 7): [0, 100],
                ("b", 0): [100, 100],
                ("c", 0): [1, 1000],
            }
        )
    )
    assert sorted(set(zip(found["id"], found["stage"], found["end"], strict=True))) == [
        ("a", 0, 0),
        ("a", 7, 1),
        ("b", 0, 0),
        ("c", 0, 0),
    ]
    logs = relative(found, ["cell"], "max")
    assert logs[logs["end"] == 0]["value"].tolist() == [-1, 0], "of −1, 0 and −3 the middle one"
    assert logs[logs["end"] == 1]["value"].tolist() == [-math.inf, 0]
    assert by_point(found, half_lag).loc["a"].tolist() == [1, 1]
    assert by_point(found, half_lag).loc["b"].isna().tolist() == [False, True], (
        "one probe is the first"
    )
    nothing = relative(ends(rows({("a", 0): [0, 0]})), ["cell"], "max")
    assert nothing["value"].isna().all()


def test_correlation_with_the_input_is_over_steps():
    saliency, inputs = (
        ends(rows({("a", 0): [3, 1, 2, 4], ("a", 1): [1, 2, 3, 4]})),
        ends(rows({("a", 0): [10, 20, 30, 40]}, "input")),
    )
    assert with_input(saliency, inputs).loc["a"].tolist() == pytest.approx([0.4, 1.0])
    assert with_input(saliency, inputs.iloc[:0]).empty


def test_gates_are_those_of_the_top_layer():
    parts = [
        rows({("a", 0): [level, level]}, f"gate.f.{what}", layer=layer)
        for layer in (1, 2)
        for what, level in (("mean", layer / 10), ("p10", 0.0), ("p50", 0.2), ("p90", 1.0))
    ]
    found = gates(ends(pd.concat(parts)), ["cell"])
    assert found[["gate", "mean", "low", "high"]].drop_duplicates().to_numpy().tolist() == [
        ["f", 0.2, 0.0, 1.0]
    ]


def test_what_has_no_logarithm_has_a_colour_of_its_own():
    rgba = colours_of(np.array([[-math.inf, math.nan, 0.0, -9.0, -6.0]]), -6.0, 2.0)[0]
    assert len({tuple(one) for one in rgba}) == 4 and tuple(rgba[3]) == tuple(rgba[4]), (
        "below the scale is its lowest colour"
    )


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return Study(
        make(
            tmp_path_factory.mktemp("outputs") / "measured",
            tables=("history", "profile", "states", "test", "traces"),
            **SETTINGS,
        )
    )


def test_the_section_has_a_figure_a_kind_with_what_was_found(measured: Study):
    blocks = SECTION.render(measured).blocks
    saliency, attention, opened = (block for block in blocks if hasattr(block, "picture"))
    assert "2 fixed examples" in blocks[0].text and "8 networks" in blocks[0].text
    assert saliency.finding.startswith(
        "At the last probe half of the saliency lies within the last "
    )
    assert len(saliency.table.rows) == 4 and saliency.table.rows[0][0] == "rnn · orthogonal"
    first, last = (float(part) for part in saliency.table.rows[2][2].text.split(" → "))
    assert first < last, "it looks back further at the end"
    weights = np.where(
        np.arange(24) == 2, 2.0, 0.5
    )  # of 24 steps and, in the other example, of the first 12 of them
    start, end = (
        np.mean([spread(weights[:steps] ** power) for steps in (24, 12)])
        for power in (1, len(measured.declaration["health"]["stages"]))
    )
    assert attention.finding.endswith(
        f"first → last probe: rnn {start:.1f} → {end:.1f} and gru {start:.1f} → {end:.1f}."
    ), attention.finding
    assert "gru z 0.50 → 0.71" in opened.finding
    assert [row[:2] for row in opened.table.rows] == [["gru", "z"]], (
        "a cell without gates has no row"
    )


def test_many_arms_are_pooled_over_what_is_no_side(measured: Study, tmp_path: Path):
    factors = {**SETTINGS["factors"], "clip": ["none", "norm"]}
    study = Study(make(tmp_path / "many", tables=("traces",), **{**SETTINGS, "factors": factors}))
    saliency = Examples(low=-6.0, rows=4).render(study).blocks[1]
    assert len(saliency.table.rows) == 4 and saliency.table.rows[0][1] == "4", (
        "two seeds of two clip rules"
    )
    assert "Median over clip and seeds" in saliency.caption


def test_it_keeps_the_rules_and_has_nothing_to_say_where_nothing_was_measured(
    measured: Study, tmp_path: Path
):
    """Whether the section is on the page is tested in test_accessible.py and test_report.py."""
    check_section(SECTION, measured)
    without = Study(make(tmp_path / "without", tables=("history",), **SETTINGS))
    assert SECTION.render(without).blocks == []


def test_wrong_settings_are_refused():
    with pytest.raises(ValueError, match="low must be below 0 and rows at least 1, got low=1"):
        Examples(low=1.0, rows=3)
