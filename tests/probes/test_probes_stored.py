"""Other probes through training and store: correct rows, and no dependence on other members."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
import yaml

from study.config.check import check
from study.config.paths import conf_folder
from study.interfaces import AtLags, ByIndex
from study.records import StudyError
from study.training.probing import _number
from tests.support.helpers import point, run
from tests.training.test_engine import CELLS, members, same_point

NAMES = ("jacobian", "spectrum", "lyapunov", "pascanu", "gradient_share", "layer_profile", "gates")


def probes() -> dict[str, Any]:
    return {
        name: yaml.safe_load((Path(conf_folder()) / "probe" / f"{name}.yaml").read_text())
        for name in NAMES
    }


@pytest.mark.parametrize(("name", "hidden"), [("lstm", 7), ("gru", 8), ("rnn_relu", 16)])
def test_numbers_do_not_depend_on_company(tmp_path, name, hidden):
    points = members(cell=CELLS[name], depth=2, hidden=hidden, batch=16, probe=probes())
    three, one = run(points, tmp_path / "three"), run(points[2:], tmp_path / "one")
    same_point(three, one, "c")
    pair = run(points[1:], tmp_path / "two")
    same_point(three, pair, "b")


def test_every_number_lies_in_its_row(tmp_path):
    """Lags and indices of an LSTM with H = 8, two layers, 9 steps and two stages."""
    table = run([point(cell=CELLS["lstm"], depth=2, probe=probes())], tmp_path).table(
        "measures", ["p0"]
    )
    assert set(table["probe"]) == set(NAMES)
    assert set(table["stage"]) == {0, 1}
    assert set(table["update"]) == {0, 6}
    assert set(table["layer"]) == {1, 2}

    def rows(quantity: str):
        own = table[(table["quantity"] == quantity) & (table["stage"] == 1) & (table["layer"] == 2)]
        return own["lag"].tolist(), own["index"].tolist()

    lags = [1, 4, 8]  # 1 and 10, 50, 100 % of the task's lag of 9, no more than the sequence has
    lag, index = rows("log10_singular_value")
    assert (lag, index) == ([each for each in lags for _ in range(16)], [*range(16)] * 3)
    lag, index = rows("log10_condition")
    assert lag == lags
    assert pd.isna(index).all()
    assert rows("lyapunov")[1] == [*range(16)]
    assert rows("log10_gradient")[0] == [*range(9)]
    assert rows("log10_depth")[0] == [0, 1, 4, 8]
    assert rows("unit_timescale.f")[1] == [*range(8)]
    assert rows("eigenvalue_imag.o")[1] == [*range(8)]
    assert len(rows("omega")[0]) == len(rows("mean_lag")[0]) == len(rows("closed.i")[0]) == 1
    top = table[(table["quantity"] == "log10_depth") & (table["layer"] == 2)]["value"]
    assert (top == 0).all()


@pytest.mark.parametrize(
    "value",
    [
        AtLags(torch.zeros(2, 1, 3), [1, 2]),
        AtLags(torch.zeros(2, 3), [1, 2, 3]),
        AtLags(torch.zeros(1, 1, 3), [1, 2, 3]),
        ByIndex(torch.zeros(2, 1)),
        torch.zeros(2, 1, 1, 1),
        None,
    ],
)
def test_what_is_not_laid_out_as_told_is_refused(value):
    with pytest.raises(
        ValueError, match="probe mine: speed must be a tensor .* AtLags of .* with M = 2, got"
    ):
        _number("mine", "speed", value, 2)


@pytest.mark.parametrize(
    ("name", "changes", "told"),
    [
        (
            "jacobian",
            {"lags": [1, 9]},
            (
                r"probe.jacobian: lags must lie between 1 and 8 \(the longest sequence has 9"
                r" steps\), or null .*got 9"
            ),
        ),
        (
            "jacobian",
            {"examples": 51},
            (
                r"probe.jacobian: examples must lie between 1 and 50, the size of the probe batch"
                r" \(health.examples\), got 51"
            ),
        ),
        ("lyapunov", {"examples": 51}, "probe.lyapunov: examples must lie between 1 and 50"),
        ("layer_profile", {"lags": [0, 10]}, "probe.layer_profile: lags must lie between 0 and 8"),
        (
            "lyapunov",
            {"drop": 1.0},
            "probe.lyapunov: lyapunov: drop must be a share from 0 to below 1, got 1.0",
        ),
        ("gates", {"low": "much"}, "probe.gates: low must be a number, got 'much'"),
    ],
)
def test_what_cannot_be_measured_is_told_before_training(name, changes, told):
    with pytest.raises(StudyError, match=told):
        check(point(probe={name: probes()[name] | changes}).config)


@pytest.mark.parametrize(
    ("name", "cell", "told"),
    [
        (
            "spectrum",
            "tests.support.helpers.MinGRU",
            "probe.spectrum: MinGRU has no recurrent weights.*leave the probe out",
        ),
        (
            "gates",
            "tests.probes.test_probes_terms.Silent",
            "probe.gates: Silent has keep gate f but returns no gates; define Silent.gates",
        ),
    ],
)
def test_a_cell_that_cannot_be_measured_is_told_before_training(name, cell, told):
    with pytest.raises(StudyError, match=told):
        check(point(cell={"_target_": cell}, probe={name: probes()[name]}).config)


def test_sequences_of_one_step_are_told_before_training():
    for name in ("jacobian", "lyapunov", "pascanu"):
        with pytest.raises(
            StudyError,
            match=f"probe.{name}: sequences of one step have no lag; leave the probe out",
        ):
            check(
                point(
                    task=point().config["task"] | {"steps": 1, "lag": None},
                    probe={name: probes()[name]},
                ).config
            )
