"""States and verdicts: where credit is lost, what the end state rests on, and where loss and
transport part.
"""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from reports.analysis.loss_against_transport import loss_minus_transport
from reports.blocks import Prose, Table
from reports.data.study import Study
from reports.documents.sections import declared_sections, render_section
from reports.sections.states import States
from tests.reports.synthetic import make

SECTION = States(apart=1.0)


def texts(study: Study) -> str:
    return " ".join(
        block.text for block in SECTION.render(study).blocks if isinstance(block, Prose)
    )


def by_point(study: Study) -> Table:
    return next(
        table
        for block in SECTION.render(study).blocks
        for table in getattr(block, "blocks", [])
        if table.caption.startswith("Every network")
    )


def test_where_credit_is_lost_is_counted_against_the_judged_lag(small_study: Study) -> None:
    points = small_study.stored
    horizons = small_study.table("states")["horizon"]
    assert (horizons < math.ceil(0.9 * 23)).all()
    n = len(points)
    assert (
        f"The gradient is lost before the judged lags (below a thousandth is left) in {n} of"
        f" {n} networks at initialization and in {n} at the end." in texts(small_study)
    )


def test_the_end_state_is_shown_with_its_own_interval_and_margin_and_not_those_of_the_last_probe(
    tmp_path: Path,
) -> None:
    factors = {"cell": ["rnn", "gru"]}
    for tables, margin in (
        (("history", "profile", "states", "layers"), "7.77"),
        (("history", "profile", "states"), None),
    ):
        study = Study(
            make(
                tmp_path / f"{margin}",
                factors=factors,
                steps=24,
                updates=80,
                examples=20,
                tables=tables,
            )
        )
        table = by_point(study)
        D, at = table.columns.index("left at end"), table.columns.index("margin")
        assert len(table.rows) == len(study.stored)
        for row in table.rows:
            value, low, high = (
                float(part.strip("[],").replace("−", "-")) for part in row[D].text.split()
            )
            if margin:
                assert low <= value <= high
                assert high - low == pytest.approx(0.62, abs=0.011)
                assert row[at].text == margin
            else:
                assert row[at].text != "7.77"


def fake(
    parts: dict[str, dict[str, list[float]]], D: dict[str, list[float]], K: int
) -> SimpleNamespace:
    """`parts`: id -> {layer/state: decades a step, one a stage}; the profile is that slope from lag
    1 on, with a jump of 3 decades before it.
    """
    profile, states = [], []
    for id, series in parts.items():
        for key, slopes in series.items():
            layer, state = key.split("/")
            for stage, slope in enumerate(slopes):
                for lag in range(K + 3):
                    profile.append(
                        (
                            id,
                            "loss",
                            layer,
                            state,
                            100 * stage,
                            lag,
                            0.0 if lag == 0 else 3 + slope * (lag - 1),
                        )
                    )
        states += [(id, "network", 100 * stage, K, value) for stage, value in enumerate(D[id])] + [
            (id, "1", 0, K, 99.0)
        ]
    tables = {
        "profile": pd.DataFrame(
            profile, columns=["id", "probe", "layer", "state", "update", "lag", "log10_mean"]
        ),
        "states": pd.DataFrame(states, columns=["id", "layer", "update", "lag", "D"]),
    }
    return SimpleNamespace(table=tables.__getitem__)


def test_disagreement_is_of_the_whole_network_over_the_judged_lags_relative_to_lag_1() -> None:
    K = 20  # lags 18, 19, 20: the median is 19, 18 steps from lag 1
    deep = {"1/h": [9.0, 9.0], "1/s": [9.0, 9.0], "2/s": [9.0, 9.0], "network/s": [-0.1, -0.2]}
    parts = {
        "deep": deep,
        "lstm": {"1/h": [9.0, 9.0], "1/c": [9.0, 9.0], "1/s": [0.0, 0.1]},
        "rnn": {"1/h": [-0.5, 0.0]},
        "lost": {"1/h": [np.nan, np.nan]},
    }
    found = loss_minus_transport(
        fake(
            parts,
            {"deep": [-1.0, -3.6], "lstm": [0.0, 0.0], "rnn": [-9.0, -4.0], "lost": [-1.0, -1.0]},
            K,
        )
    )
    assert found["start"].to_dict() == pytest.approx({"deep": -0.8, "lstm": 0.0, "rnn": 0.0})
    assert found["end"].to_dict() == pytest.approx({"deep": 0.0, "lstm": 1.8, "rnn": 4.0})


def test_disagreement_is_told_with_its_direction(small_study: Study) -> None:
    said = SECTION._against(pd.Series([-3.0, -5.0, 0.9, -0.9, 1.5]))
    assert (
        "differ by more than a factor of ten at the judged lag at 3 of 5 networks: at 2 the loss's"
        " falls off faster (median −4.0 powers of ten)" in said
    )
    assert "at 1 slower (+1.5)" in said
    assert "at no network" in SECTION._against(pd.Series([0.5, -0.5]))
    assert "differ by more than a factor of ten at the judged lag at" in texts(small_study)
    with pytest.raises(ValueError, match="apart must be greater than 0, got 0"):
        States(apart=0)


def test_summary_and_states_count_the_same_margins(tmp_path: Path) -> None:
    """Stored with the end state: far from every limit. Its last probe alone would say otherwise."""
    few = {"factors": {"cell": ["rnn", "gru"]}, "steps": 16, "updates": 60, "examples": 30}
    for tables in (("history", "states", "layers"), ("history", "states")):
        study = Study(make(tmp_path / f"{len(tables)}", tables=tables, **few))
        states = study.table("states")
        states.loc[states.groupby("id")["stage"].idxmax(), "margin"] = [0.1, 0.2, 3, 3, 3, 3]
        (summary,) = [one for one in declared_sections() if one.name == "summary"]
        said = render_section(summary, study, "s").blocks
        sentence = (
            "2 of 6 networks end less than half a power of ten from another class: there the"
            " verdict depends on where the limit lies."
        )
        for page in (texts(study), " ".join(map(str, said))):
            assert (sentence in page) == ("layers" not in tables)
            assert ("half a power of ten" in page) == ("layers" not in tables)
