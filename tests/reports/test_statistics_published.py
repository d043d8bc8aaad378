"""Statistics against published examples, statsmodels and scipy: the numbers were typed from the
sources named.
"""

from __future__ import annotations

import itertools
import math

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from scipy import special, stats
from statsmodels.duration.survfunc import survdiff
from statsmodels.stats.anova import anova_lm
from statsmodels.stats.power import TTestIndPower

from reports.statistics import wilson
from reports.statistics.bootstrap import components, two_way
from reports.statistics.holm import holm
from reports.statistics.improvement import improvement
from reports.statistics.permutation import f_test, permutations
from reports.statistics.survival import median_time, restricted_mean, times, unsolved
from reports.statistics.terms import contrast, terms
from reports.statistics.variance_shares import EXACT_TO, _noncentrality, shares
from study.design.power import noncentrality, resolvable, seeds_for, seeds_to_test, smallest_p

# Box & Cox 1964, "An analysis of transformations", table 1: survival times (10 h) of animals, 3
# poisons × 4 treatments × 4.
POISONS = {
    "I": {
        "A": [0.31, 0.45, 0.46, 0.43],
        "B": [0.82, 1.10, 0.88, 0.72],
        "C": [0.43, 0.45, 0.63, 0.76],
        "D": [0.45, 0.71, 0.66, 0.62],
    },
    "II": {
        "A": [0.36, 0.29, 0.40, 0.23],
        "B": [0.92, 0.61, 0.49, 1.24],
        "C": [0.44, 0.35, 0.31, 0.40],
        "D": [0.56, 1.02, 0.71, 0.38],
    },
    "III": {
        "A": [0.22, 0.21, 0.18, 0.23],
        "B": [0.30, 0.37, 0.38, 0.29],
        "C": [0.23, 0.25, 0.24, 0.22],
        "D": [0.30, 0.36, 0.31, 0.33],
    },
}
# Freireich 1963 (Blood 21), weeks of remission of 21 + 21 children with leukaemia, as in
# Kaplan–Meier texts; +: censored.
MERCAPTOPURINE = "6 6 6 6+ 7 9+ 10 10+ 11+ 13 16 17+ 19+ 20+ 22 23 25+ 32+ 32+ 34+ 35+"
PLACEBO = "1 1 2 2 3 4 4 5 5 8 8 8 8 11 11 12 12 15 17 22 23"


def poisons() -> tuple[pd.DataFrame, pd.DataFrame]:
    rows = [
        (poison, treatment, value)
        for poison, of in POISONS.items()
        for treatment, values in of.items()
        for value in values
    ]
    points = pd.DataFrame(rows, columns=["poison", "treatment", "y"])
    points["arm"] = points.groupby(["poison", "treatment"], sort=False).ngroup()
    return points, points.drop_duplicates("arm")[["arm", "poison", "treatment"]].reset_index(
        drop=True
    )


def weeks(text: str) -> tuple[np.ndarray, np.ndarray]:
    return np.array([float(one.rstrip("+")) for one in text.split()]), np.array(
        [not one.endswith("+") for one in text.split()]
    )


def test_the_analysis_of_variance_of_box_and_cox() -> None:
    """Published: F 23.22 (poisons, 2), 13.81 (treatments, 3), 1.87 (interaction, 6), error mean
    square .0222 with 36 degrees of freedom.
    """
    points, arms = poisons()
    found = shares(points, "y", arms, ["poison", "treatment"], draws=400, seed=1)
    assert found is not None and found.whole and found.n == 48
    by = {one.name: one for one in found.terms}
    assert [(name, round(one.F, 2), one.df) for name, one in by.items()] == [
        ("poison", 23.22, 2),
        ("treatment", 13.81, 3),
        ("poison × treatment", 1.87, 6),
    ]
    assert found.spread**2 == pytest.approx(0.0222, abs=5e-5)
    # ω² by hand from the published sums of squares 1.0330, .9212, .2501, .8007
    assert by["poison"].share.value == pytest.approx(
        (1.0330 - 2 * 0.02224) / (3.0051 + 0.02224), abs=2e-4
    )
    table = anova_lm(smf.ols("y ~ C(poison) * C(treatment)", points).fit(), typ=2)
    assert [one.F for one in found.terms] == pytest.approx(table["F"].dropna().tolist())
    for term, asked in zip(terms(arms, ["poison", "treatment"]), found.terms, strict=True):
        of = f_test(points["y"].to_numpy(), points["arm"].to_numpy(), term, draws=999, seed=0)
        assert (of.F, of.df, of.error_df) == (pytest.approx(asked.F), asked.df, 36)
    p = [
        f_test(points["y"].to_numpy(), points["arm"].to_numpy(), term, draws=1999, seed=0).p
        for term in terms(arms, ["poison", "treatment"])
    ]
    assert p[0] == p[1] == 1 / 2000 and p[2] == pytest.approx(
        table["PR(>F)"].iloc[2], abs=0.03
    )  # .11 by F


def test_terms_of_an_unbalanced_whole_factorial_are_type_three() -> None:
    points, arms = poisons()
    points = points.drop(index=[0, 5, 17, 30, 31]).reset_index(drop=True)
    table = anova_lm(smf.ols("y ~ C(poison, Sum) * C(treatment, Sum)", points).fit(), typ=3)
    found = [
        f_test(points["y"].to_numpy(), points["arm"].to_numpy(), term, draws=99, seed=0).F
        for term in terms(arms, ["poison", "treatment"])
    ]
    assert found == pytest.approx(table["F"].dropna().tolist()[1:])


def test_two_arms_are_tested_as_box_hunter_and_hunter_did_with_tomatoes() -> None:
    """Statistics for Experimenters, chapter 3: fertilizers A and B, difference 1.69, t = .44; 154
    of 462 arrangements are above: 33 %.
    """
    a, b = [29.9, 11.4, 25.3, 16.5, 21.1], [26.6, 23.7, 28.5, 14.2, 17.9, 24.3]
    values = np.array(a + b)
    observed = np.mean(b) - np.mean(a)
    assert observed == pytest.approx(1.69, abs=0.005)
    every = [
        values.sum() - values[list(chosen)].sum() for chosen in itertools.combinations(range(11), 5)
    ]
    differences = np.array([rest / 6 - (values.sum() - rest) / 5 for rest in every])
    assert len(differences) == 462 and (differences > observed + 1e-9).mean() == pytest.approx(
        0.33, abs=0.005
    )
    two = contrast({0: -1.0, 1: 1.0}, [0, 1], np.zeros(2, dtype=int), "B − A")
    found = f_test(values, np.array([0] * 5 + [1] * 6), two, draws=19_999, seed=0)
    assert math.sqrt(found.F) == pytest.approx(0.44, abs=0.005)
    assert found.p == pytest.approx((np.abs(differences) >= abs(observed) - 1e-9).mean(), abs=0.012)


def test_kaplan_and_meier_of_the_remissions() -> None:
    """Published (Kleinbaum & Klein, Survival Analysis, table 2.1 and its Greenwood errors): shares
    at 6 … 23 weeks, medians 23 and 8.
    """
    time, event = weeks(MERCAPTOPURINE)
    of = unsolved(time, event)
    assert of.time.tolist() == [6, 7, 10, 13, 16, 22, 23]
    assert of.share == pytest.approx(
        [0.8571, 0.8067, 0.7529, 0.6902, 0.6275, 0.5378, 0.4482], abs=5e-5
    )
    assert of.se == pytest.approx(
        [0.0764, 0.0869, 0.0963, 0.1068, 0.1141, 0.1282, 0.1346], abs=5e-5
    )
    assert median_time(of) == 23
    placebo = weeks(PLACEBO)
    assert median_time(unsolved(*placebo)) == 8
    chi2, _ = survdiff(
        np.concatenate([time, placebo[0]]),
        np.concatenate([event, placebo[1]]).astype(int),
        [0] * 21 + [1] * 21,
    )
    assert chi2 == pytest.approx(16.79, abs=0.005), (
        "the data are typed right: published log-rank 16.79"
    )


def test_the_restricted_mean_is_the_mean_where_nobody_was_lost_and_the_area_where_some_were() -> (
    None
):
    time, event = weeks(PLACEBO)
    whole = restricted_mean(time, event, 40)
    low, high = stats.t.interval(0.95, 20, loc=time.mean(), scale=stats.sem(time))
    assert (whole.value, whole.low, whole.high) == pytest.approx((8.667, low, high), abs=1e-3)
    never = restricted_mean(
        np.array([10.0, 30.0, 50.0]), np.array([True, True, False]), 50
    )  # the third not solved by the end
    low, high = stats.t.interval(0.95, 2, loc=30, scale=stats.sem([10, 30, 50]))
    assert (never.value, never.low, never.high) == pytest.approx((30.0, max(low, 0), min(high, 50)))
    treated = restricted_mean(*weeks(MERCAPTOPURINE), 35)
    steps = (
        np.array([6, 7, 10, 13, 16, 22, 23, 35]),
        np.array([1, 0.8571, 0.8067, 0.7529, 0.6902, 0.6275, 0.5378, 0.4482]),
    )
    assert treated.value == pytest.approx(
        float((np.diff(steps[0], prepend=0) * steps[1]).sum()), abs=0.01
    )
    assert treated.low < treated.value < treated.high <= 35
    assert (
        math.isnan(restricted_mean(np.array([3.0]), np.array([True]), 10).low)
        and restricted_mean(np.array([]), np.array([]), 10).n == 0
    )


def test_a_diverged_point_is_unsolved_to_the_end_and_a_pruned_one_was_lost() -> None:
    points = pd.DataFrame(
        {
            "status": ["done", "diverged", "pruned"],
            "solved_at": [50.0, math.nan, math.nan],
            "updates": ["200"] * 3,
            "updates_done": [200.0, 30.0, 60.0],
        }
    )
    of = times(points)
    assert of["time"].tolist() == [50.0, 200.0, 60.0] and of["solved"].tolist() == [
        True,
        False,
        False,
    ]


def test_wilson_as_newcombe_printed_it() -> None:
    """Newcombe 1998, Statistics in Medicine 17: 857, table I, method 3."""
    for (k, n), ends in {
        (81, 263): (0.2553, 0.3662),
        (15, 148): (0.0624, 0.1605),
        (0, 20): (0.0, 0.1611),
        (1, 29): (0.0061, 0.1718),
    }.items():
        assert (wilson(k, n).low, wilson(k, n).high) == pytest.approx(ends, abs=5e-5)


def test_power_as_cohen_printed_it_and_as_statsmodels_has_it() -> None:
    """Cohen 1988, table 2.4.1, two-sided .05, power .80: d = .5 needs 64 a side, .8 needs 26."""
    assert (seeds_for(0.5, (1, -1), 2), seeds_for(0.8, (1, -1), 2)) == (64, 26)
    solve = TTestIndPower().solve_power
    for n in (3, 5, 12, 36):
        assert resolvable((1, -1), n, 2 * (n - 1)) == pytest.approx(
            solve(nobs1=n, alpha=0.05, power=0.8), rel=1e-4
        )
    assert resolvable((1, -1), 3, 4) == pytest.approx(3.1, abs=0.05) and resolvable(
        (1, -1), 36, 70
    ) == pytest.approx(0.67, abs=0.005)
    assert (
        resolvable((1, -1), 1, 0) == math.inf
        and seeds_for(0.0, (1, -1), 2) is None
        and seeds_for(1e-4, (1, -1), 2) is None
    )
    assert smallest_p(3) == pytest.approx(0.10) and smallest_p(2) == pytest.approx(1 / 3)
    assert (seeds_to_test(1), seeds_to_test(35)) == (4, 7), "2/C(14,7) = .0006 < .05/35 < 2/C(12,6)"


def test_the_power_of_the_t_test_is_what_it_says() -> None:
    rng = np.random.default_rng(0)
    n, delta = 5, resolvable((1, -1), 5, 8)
    a, b = rng.standard_normal((2, 4000, n))
    found = stats.ttest_ind(a + delta, b, axis=1).pvalue <= 0.05
    assert found.mean() == pytest.approx(0.80, abs=0.025)
    assert noncentrality(8, 0.05, 0.8) == pytest.approx(delta / math.sqrt(2 / n))


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert (
        holm([0.01, math.nan, 0.03])[0] == pytest.approx(0.02)
        and math.isnan(holm([0.01, math.nan])[1])
        and holm([]) == []
    )


def test_p_improve_is_mann_and_whitneys() -> None:
    rng = np.random.default_rng(2)
    a, b = rng.normal(1, 1, 9), np.round(rng.normal(0, 1, 7), 1)
    of = improvement([(a, b)], higher_is_better=True)
    assert (
        of.value == pytest.approx(stats.mannwhitneyu(a, b).statistic / 63)
        and of.low < of.value < of.high
    )
    assert improvement([(a, b)], higher_is_better=False).value == pytest.approx(1 - of.value)
    sure = improvement([([1.0, 2.0, 3.0], [0.0, 0.1, 0.2])], higher_is_better=True)
    assert sure.value == sure.high == 1 and 0.2 < sure.low < 0.8, "three against three prove little"
    assert (
        math.isnan(improvement([([1.0], [0.0])], higher_is_better=True).low)
        and improvement([([], [1.0])], higher_is_better=True).n == 0
    )


def test_variance_components_of_a_crossed_table_by_hand() -> None:
    values = np.array([[1.0, 0.0, 1.0, 1.0], [0.0, 0.0, 1.0, 0.0], [1.0, 0.0, 1.0, 0.0]])
    frame = pd.DataFrame(
        {"y": values.ravel(), "s": np.repeat(range(3), 4), "e": np.tile(range(4), 3)}
    )
    table = anova_lm(smf.ols("y ~ C(s) + C(e)", frame).fit())
    of_seeds, of_examples, rest = table["mean_sq"]
    assert components(values)[0] == pytest.approx((of_seeds + max(of_examples - rest, 0)) / 12)


def test_the_two_way_bootstrap_is_as_wide_as_its_components_say() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(0, 1, (10, 1)) + rng.normal(0, 1, 200) + rng.normal(0, 1, (10, 200))
    variance, df = components(values)
    of = two_way(values, draws=4000, seed=0)
    assert 9 <= df < 12, "seeds decide the width here: nine degrees of freedom and a little"
    assert of.half == pytest.approx(
        math.sqrt(variance) * stats.t.ppf(0.975, df), rel=0.05
    ) and of.half > 1.08 * 1.96 * math.sqrt(variance)


@pytest.mark.parametrize("df", [1, 5, 60])
def test_noncentralities_far_from_zero_are_those_of_the_exact_distribution(df: int) -> None:
    """Scipy's sum is exact, and takes minutes where points hardly vary: so large is x there."""
    u = np.array([1e-4, 0.025, 0.5, 0.975, 1 - 1e-4])
    for x, rel in ((0.9 * EXACT_TO, 1e-12), (1.1 * EXACT_TO, 1e-6), (1e6, 1e-9)):
        exact = special.chndtrinc(x, df, u)
        assert _noncentrality(np.full(5, x), df, u) == pytest.approx(exact, rel=rel)
    assert _noncentrality(np.full(5, 1e20), df, u) == pytest.approx(1e20, rel=1e-8)


def test_permutations_stay_in_their_blocks() -> None:
    block = np.array([0, 1, 0, 2, 1, 0, 2, 2])
    order = permutations(block, 200, 0)
    assert (block[order] == block).all() and (np.sort(order, axis=1) == np.arange(8)).all()
    assert len({tuple(row) for row in order[:, block == 0]}) == 6, "every order of a block comes up"
