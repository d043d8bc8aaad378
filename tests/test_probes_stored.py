"""The further probes through training and store: rows where they belong, and no number that depends on a member's company."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
import yaml

from study.interfaces import AtLags, ByIndex
from study.paths import conf_folder
from study.training import _number
from tests.helpers import point
from tests.test_engine import CELLS, members, run, same_point

NAMES = ("jacobian", "spectrum", "lyapunov", "pascanu", "gradient_share", "layer_profile", "gates")


def probes() -> dict[str, Any]:
    return {name: yaml.safe_load((Path(conf_folder()) / "probe" / f"{name}.yaml").read_text()) for name in NAMES}


@pytest.mark.parametrize(("name", "hidden"), [("lstm", 7), ("gru", 8), ("rnn_relu", 16)])
def test_numbers_do_not_depend_on_company(tmp_path, name, hidden):
    points = members(cell=CELLS[name], depth=2, hidden=hidden, batch=16, probe=probes())
    three, one = run(points, tmp_path / "three"), run(points[2:], tmp_path / "one")
    same_point(three, one, "c")
    pair = run(points[1:], tmp_path / "two")
    same_point(three, pair, "b")


def test_every_number_lies_in_its_row(tmp_path):
    """H = 8, an LSTM of two layers, 9 steps, two stages: the lag of what has lags, the index of what is numbered."""
    table = run([point(cell=CELLS["lstm"], depth=2, probe=probes())], tmp_path).table("measures", ["p0"])
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
    with pytest.raises(ValueError, match="probe mine: speed must be a tensor .* AtLags of .* with M = 2, got"):
        _number("mine", "speed", value, 2)
