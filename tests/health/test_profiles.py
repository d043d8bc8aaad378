"""D, U, states and horizons of profiles with known answers."""

from __future__ import annotations

import math

import numpy as np
import pytest

from study.health.end_state import last_state, probes_at_end
from study.health.profiles import (
    Logs,
    Thresholds,
    carry,
    judged_lag,
    logs,
    profile,
    state_of,
    states,
)

LIMITS = Thresholds(
    exploding=1.0, fading=-2.0, vanishing=-4.0, undefined=0.1, horizon=1e-3, bootstrap=100
)


def decaying(factor: float, lags: int = 51, examples: int = 20, spread: float = 0.0) -> Logs:
    rng = np.random.default_rng(0)
    norms = factor ** np.arange(lags) * 10 ** (spread * rng.standard_normal((1, examples, lags)))
    return logs(norms, np.ones((examples, lags), dtype=bool))


def row(of: Logs, lag: int = 50) -> dict:
    return states(of, lag, LIMITS, np.random.default_rng(0))[0]


def test_a_geometric_decay_gives_its_D_slope_and_horizon():
    found = row(decaying(0.9))
    assert found["D"] == pytest.approx(math.log10(0.9) * (np.median(np.arange(45, 51)) - 1))
    assert found["slope"] == pytest.approx(math.log10(0.9))
    assert found["residual_sd"] == pytest.approx(0, abs=1e-12)
    assert found["U"] == pytest.approx(0, abs=1e-12)  # lag 1 relative to itself
    assert found["horizon"] == 50
    assert found["horizon_censored"]
    found = row(decaying(0.5))
    assert found["horizon"] == 1 + math.floor(math.log(1e-3) / math.log(0.5))
    assert not found["horizon_censored"]


@pytest.mark.parametrize(
    ("factor", "state"),
    [
        (1.0, "carrying"),
        (0.92, "carrying"),
        (0.88, "fading"),
        (0.5, "vanishing"),
        (1.1, "exploding"),
        (1.04, "carrying"),
    ],
)
def test_state_of_a_geometric_decay(factor, state):
    assert row(decaying(factor))["state"] == state


def test_explosions_are_seen_in_the_tail_where_the_geometric_mean_is_flat():
    norms = np.ones((1, 100, 51))
    norms[0, :5] = 10.0 ** np.linspace(0, 4, 51)  # 5 of 100 examples explode
    of = logs(norms, np.ones((100, 51), dtype=bool))
    found = row(of)
    assert abs(found["D"]) < 0.3
    assert found["U"] == pytest.approx(4 + 0.5 * math.log10(0.05), abs=0.2)
    assert found["state"] == "exploding"


@pytest.mark.parametrize(
    ("D", "U", "state", "margin"),
    [
        (-1.0, 0.0, "carrying", 1.0),
        (-1.0, 0.9, "carrying", 0.1),
        (-2.5, 0.0, "fading", 0.5),
        (-3.9, 0.0, "fading", 0.1),
        (-9.0, 0.0, "vanishing", 1.0),
        (-9.0, 1.5, "exploding", 0.5),
        (-2.0, 1.0, "carrying", 0.0),
        (-4.0, 0.0, "fading", 0.0),
    ],
)
def test_thresholds_and_margins(D, U, state, margin):
    assert state_of(D, U, LIMITS) == (state, pytest.approx(margin))


def test_zeros_and_non_finite_values_are_counted_and_left_out():
    norms = np.full((1, 20, 11), 0.5)
    norms[0, :1, 3] = 0.0
    norms[0, 1:3, 4] = np.inf
    norms[0, 3:5, 4] = np.nan
    columns = profile(logs(norms, np.ones((20, 11), dtype=bool)))
    assert columns["n_zero"][0].tolist() == [0, 0, 0, 1] + [0] * 7
    assert columns["n_nonfinite"][0, 4] == 4
    assert columns["n"].tolist() == [[20] * 11]
    assert columns["log10_mean"][0] == pytest.approx(math.log10(0.5))


def test_more_than_a_tenth_of_bad_examples_is_undefined():
    norms = np.full((2, 20, 11), 0.9)
    norms[0, :2, 7] = 0.0
    norms[1, :3, 7] = 0.0
    found = states(logs(norms, np.ones((20, 11), dtype=bool)), 10, LIMITS, np.random.default_rng(0))
    assert [one["state"] for one in found] == ["carrying", "undefined"]
    assert found[1]["undefined_share"] == pytest.approx(0.15)
    assert math.isnan(found[1]["margin"])


def test_only_the_lags_from_1_to_the_judged_one_are_asked_whether_they_are_defined():
    """An LSTM's dL/dc at the anchor is 0, and lags beyond the judged one do not matter."""
    norms = np.full((1, 20, 16), 0.9)
    norms[0, :5, 0] = 0.0
    norms[0, :5, 11:] = np.nan
    found = states(
        logs(norms, np.ones((20, 16), dtype=bool)), 10, LIMITS, np.random.default_rng(0)
    )[0]
    assert (found["state"], found["undefined_share"]) == ("carrying", 0)
    norms[0, :5, 10] = np.nan
    assert (
        states(logs(norms, np.ones((20, 16), dtype=bool)), 10, LIMITS, np.random.default_rng(0))[0][
            "state"
        ]
        == "undefined"
    )


def test_all_zero_is_undefined_and_nothing_raises():
    found = row(logs(np.zeros((1, 5, 51)), np.ones((5, 51), dtype=bool)))
    assert found["state"] == "undefined"
    assert found["horizon"] is None


def test_quantiles_equal_numpys():
    norms = np.random.default_rng(1).lognormal(size=(3, 40, 7))
    columns = profile(logs(norms, np.ones((40, 7), dtype=bool)))
    low, high = np.quantile(np.log10(norms), [0.1, 0.9], axis=1)
    np.testing.assert_allclose(columns["log10_p10"], low)
    np.testing.assert_allclose(columns["log10_p90"], high)
    np.testing.assert_allclose(columns["log10_rms"], np.log10(np.sqrt((norms**2).mean(1))))


def test_rms_does_not_overflow_and_short_examples_are_not_zeros():
    norms = 10.0 ** np.array([[[0.0, 200.0, 300.0], [0.0, 200.0, np.nan]]])
    exists = np.array([[True, True, True], [True, True, False]])
    columns = profile(logs(norms, exists))
    assert columns["log10_rms"][0] == pytest.approx([0, 200, 300])
    assert columns["n"][0].tolist() == [2, 2, 1]
    assert columns["n_nonfinite"][0].tolist() == [0, 0, 0]


def test_interval_covers_D_of_the_population():
    covered = 0
    for seed in range(200):
        draws = np.random.default_rng(seed).standard_normal((1, 64, 21)) * 0.3
        norms = 10 ** (draws - 0.1 * np.arange(21))
        found = states(
            logs(norms, np.ones((64, 21), dtype=bool)), 20, LIMITS, np.random.default_rng(seed)
        )[0]
        covered += found["D_low"] <= -0.1 * (np.median([18, 19, 20]) - 1) <= found["D_high"]
    assert 0.88 <= covered / 200 <= 0.99


def test_judged_lag_is_the_tasks_or_nine_tenths_of_the_length():
    assert judged_lag(64, np.full(5, 63)) == 63
    assert judged_lag(30, np.full(5, 63)) == 30
    assert judged_lag(None, np.full(5, 63)) == 56
    assert judged_lag(None, np.array([1])) == 1
    assert judged_lag(None, np.array([9, 19, 99])) == 17, "of the median example"
    assert judged_lag(40, np.array([9, 19, 29])) == 29, "never more than the longest has"


def test_U_looks_no_farther_than_the_judged_lag():
    rms = np.zeros((1, 21))
    rms[0, 7], rms[0, 15] = 0.6, 3.0
    assert carry(rms, rms, 10)[1].item() == 0.6
    assert carry(rms, rms, 20)[1].item() == 3.0


def test_zeros_count_as_zero_in_the_rms_and_not_in_the_geometric_mean():
    norms = np.ones((1, 4, 3))
    norms[0, :3, 2] = 0.0
    columns = profile(logs(norms, np.ones((4, 3), dtype=bool)))
    assert columns["log10_rms"][0] == pytest.approx([0, 0, 0.5 * math.log10(1 / 4)])
    assert columns["log10_mean"][0].tolist() == [0, 0, 0]


def test_the_horizon_is_the_largest_lag_that_still_counts_though_a_nearer_one_does_not():
    norms = 10.0 ** np.array([0.0, 0.0, -1.0, -4.0, -2.9, -3.1, -5.0])
    found = states(
        logs(np.tile(norms, (1, 3, 1)), np.ones((3, 7), dtype=bool)),
        6,
        LIMITS,
        np.random.default_rng(0),
    )[0]
    assert (found["horizon"], found["horizon_censored"]) == (4, False)


def test_D_is_relative_to_lag_1_not_to_the_anchor():
    mean = np.array([[0.0, -5.0, -5.0, -5.0]])
    D, U = carry(mean, mean, 3)
    assert D.item() == 0
    assert U.item() == 0


def test_the_last_state_is_of_the_median_of_three():
    def probed(D: float, U: float, state: str, update: int = 0) -> dict[str, object]:
        return {
            "update": update,
            "D": D,
            "D_low": D - 0.1,
            "D_high": D + 0.1,
            "U": U,
            "U_low": U - 0.2,
            "U_high": U + 0.2,
            "state": state,
        }

    rows = [
        probed(D, 0.0, state, update)
        for D, state, update in [
            (-9, "vanishing", 0),
            (-1, "carrying", 60),
            (-3, "fading", 80),
            (-1.5, "carrying", 100),
        ]
    ]
    found = last_state(probes_at_end(rows, updates=100, solved_from=None), LIMITS)
    assert {key: found[key] for key in ("D", "D_low", "D_high", "U", "state")} == {
        "D": -1.5,
        "D_low": -1.6,
        "D_high": -1.4,
        "U": 0.0,
        "state": "carrying",
    }
    assert found["margin"] == 0.5
    rows = [probed(math.nan, math.nan, "undefined")] * 2 + [probed(-1, 0.0, "carrying")]
    assert last_state(rows, LIMITS)["state"] == "undefined"
