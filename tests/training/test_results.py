"""Rows made of what a run left behind: when it opened and how far the loss had come by then, a
diverged run's last finite probe.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from study.config.setup import set_up
from study.training.results import _largest, health, layers_rows
from tests.support.helpers import Sum, point

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


def test_a_run_that_opened_has_the_update_and_the_loss_there_as_a_share_of_the_baseline():
    (layer,) = layers_rows(probed(-9, -5, -1, -1, -1.5, -2.1), LIMITS.thresholds, diverged=False)
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
        replace(FACTS, baseline_loss=baseline),
        LIMITS.outcome_limits,
        diverged=False,
        solved=False,
    )
    assert row["opened_loss"] == pytest.approx((2.0 + (1.0 - 2.0) * 4 / 16) / baseline), (
        "between two validations"
    )
    assert (row["verdict"], row["D"], row["outcome"]) == ("opens", -1.5, "learning")
    (shut,) = layers_rows(probed(-9, -5, -8), LIMITS.thresholds, diverged=False)
    assert (shut["verdict"], shut["opened_at"]) == ("shut", None)
    assert "opened_loss" not in health(
        [shut],
        history,
        {"quantity": [], "stage": [], "value": []},
        FACTS,
        LIMITS.outcome_limits,
        diverged=False,
        solved=False,
    )


def test_a_diverged_run_is_judged_by_its_last_finite_probe_alone():
    (layer,) = layers_rows(probed(-9, -1, -8, -1.5, math.nan), LIMITS.thresholds, diverged=True)
    assert (layer["verdict"], layer["D"], layer["horizon"], layer["opened_at"]) == (
        "opens",
        -1.5,
        6,
        30,
    )
    (lost,) = layers_rows(probed(math.nan, math.nan), LIMITS.thresholds, diverged=True)
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
    rows = layers_rows(
        [
            *probed(-1, -1, -1, -1),
            *probed(-9, -9, -9, -9, layer="1"),
            *probed(-9, -1, -1, -1, layer="2"),
        ],
        LIMITS.thresholds,
        diverged=False,
    )
    assert {row["layer"]: row["verdict"] for row in rows} == {
        "network": "carries",
        "1": "shut",
        "2": "opens",
    }
