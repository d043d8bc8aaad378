"""Rows made of what a run left behind: when it opened and how far the loss had come by then, a
diverged run's last finite probe.
"""

from __future__ import annotations

import math
from typing import Any

import pytest

from study.config.setup import set_up
from study.health.end_state import layers_rows, probes_at_end
from study.numerics.stages import stages
from study.training.results import _largest, health
from tests.support.helpers import HEALTH, Sum, point

FACTS = Sum(steps=9, inputs=1, every_step=False, lag=9).facts
LIMITS = set_up(point().config)


def probed(*D: float, layer: str = "network") -> list[dict[str, Any]]:
    """Rows of states.parquet at updates 0, 10, 20, …; NaN: a probe that found nothing finite."""
    return [
        {
            "stage": n,
            "update": 10 * n,
            "layer": layer,
            "lag": 8,
            "D": d,
            "D_low": d - 0.1,
            "D_high": d + 0.1,
            "U": 0 * d,
            "U_low": 0 * d,
            "U_high": 0 * d,
            "state": "undefined"
            if math.isnan(d)
            else "carrying"
            if d >= -2
            else "fading"
            if d >= -4
            else "vanishing",
            "horizon": 3 + n,
            "horizon_censored": False,
        }
        for n, d in enumerate(D)
    ]


def judged(
    rows: list[dict[str, Any]], *, diverged: bool = False, solved_from: int | None = None
) -> list[dict[str, Any]]:
    """Rows of layers.parquet for a run that trained until its last probe."""
    updates = rows[-1]["update"]
    return layers_rows(
        rows, LIMITS.thresholds, diverged=diverged, updates=updates, solved_from=solved_from
    )


def test_a_run_that_opened_has_the_update_and_the_loss_there_as_a_share_of_the_baseline():
    (layer,) = judged(probed(-9, -5, -1, -1, -1.5, -2.1))
    assert (
        layer["verdict"],
        layer["opened_at"],
        layer["D"],
        layer["horizon_init"],
        layer["horizon"],
    ) == ("opens", 20, -1.5, 3, 8)
    history = {"update": [*range(41)], "val_loss": [None] * 41, "grad_norm": [1.0] * 41}
    for update, loss in ((0, 3.0), (16, 2.0), (32, 1.0), (40, 0.5)):
        history["val_loss"][update] = loss
    baseline = 1.25
    row = health(
        [layer],
        history,
        {"quantity": [], "stage": [], "value": []},
        baseline,
        LIMITS.outcome_limits,
        diverged=False,
        solved=False,
    )
    assert row["opened_loss"] == pytest.approx((2.0 + (1.0 - 2.0) * 4 / 16) / baseline), (
        "between two validations"
    )
    assert (row["verdict"], row["D"], row["outcome"]) == ("opens", -1.5, "learning")
    (shut,) = judged(probed(-9, -5, -8))
    assert (shut["verdict"], shut["opened_at"]) == ("shut", None)
    assert "opened_loss" not in health(
        [shut],
        history,
        {"quantity": [], "stage": [], "value": []},
        FACTS.baseline_loss,
        LIMITS.outcome_limits,
        diverged=False,
        solved=False,
    )


def test_a_diverged_run_is_judged_by_its_last_finite_probe_alone():
    (layer,) = judged(probed(-9, -1, -8, -1.5, math.nan), diverged=True)
    assert (layer["verdict"], layer["D"], layer["horizon"], layer["opened_at"]) == (
        "opens",
        -1.5,
        6,
        30,
    )
    assert (layer["judged_from"], layer["judged_probes"]) == (30, 1)
    (lost,) = judged(probed(math.nan, math.nan), diverged=True)
    assert (lost["verdict"], lost["state"]) == ("mixed", "undefined")


def test_the_worst_layer_tells_of_silent_divergence():
    table = {
        "quantity": ["spectral_radius"] * 4 + ["saturation"],
        "stage": [0, 0, 1, 1, 1],
        "value": [1.0, 5.0, 30.0, math.nan, 0.5],
    }
    assert _largest(table, "spectral_radius") == [5.0, 30.0]
    turned = {name: values[::-1] for name, values in table.items()}
    assert _largest(turned, "spectral_radius") == [5.0, 30.0]
    assert _largest(table, "saturation") == [0.5]


def test_every_layer_is_judged_by_its_own_probes():
    rows = judged(
        [
            *probed(-1, -1, -1, -1),
            *probed(-9, -9, -9, -9, layer="1"),
            *probed(-9, -1, -1, -1, layer="2"),
        ]
    )
    assert {row["layer"]: row["verdict"] for row in rows} == {
        "network": "carries",
        "1": "shut",
        "2": "opens",
    }


@pytest.mark.parametrize(
    ("D", "solved_from", "end"),
    [
        # stages 0, .5 and 1: neither the initialization nor the half is the end
        ((-9, -5, -1), None, (-1.0, "opens", 20, 1)),
        ((-9, -1), None, (-1.0, "opens", 10, 1)),
        ((-1,), None, (-1.0, "carries", 0, 1)),
        # at 60 % or more, at most three
        ((-9, -9, -9, -1, -1.2), None, (-1.1, "opens", 30, 2)),
        ((-9,) * 7 + (-1, -1.2, -1.4), None, (-1.2, "opens", 70, 3)),
        # ended early: from the first validation in a row that met the criterion on
        ((-1, -7, -8, -9, -0.5), 40, (-0.5, "carries", 40, 1)),
        ((-1, -7, -8, -0.9, -0.5), 30, (-0.7, "carries", 30, 2)),
        ((-1, -7, -8, -0.9, -0.5, -0.7), 30, (-0.7, "carries", 30, 3)),
        ((-1, -7, -8, -0.9, -0.5, -0.7), 20, (-0.7, "carries", 30, 3)),
        # which is earlier than 60 % of what it trained, but the end
        ((-9, -1, -1.2, -1.4), 10, (-1.2, "opens", 10, 3)),
    ],
)
def test_the_end_is_what_comes_late_in_what_was_trained(D, solved_from, end):
    (layer,) = judged(probed(*D), solved_from=solved_from)
    assert (layer["D"], layer["verdict"], layer["judged_from"], layer["judged_probes"]) == (
        pytest.approx(end[0]),
        *end[1:],
    )


@pytest.mark.parametrize("updates", [*range(4, 60), 64, 150, 400, 1001, 5000])
def test_with_the_default_stages_the_last_three_probes_are_the_end(updates):
    probes = [{"update": update} for update in stages(HEALTH["stages"], updates)]
    assert probes_at_end(probes, updates=updates, solved_from=None) == probes[-3:]
