"""Group-sequential boundaries against printed tables.

Jennison & Turnbull, Group Sequential Methods (2000), tables 2.1 (Pocock), 2.3 (O'Brien & Fleming)
and 2.9 (Wang & Tsiatis); spending functions as printed by Lan & DeMets's program.
"""

import math

import numpy as np
import pytest
from scipy import stats

from study.racing.boundaries import (
    SPENDING,
    by_spending,
    crossing,
    level_of_pairs,
    obrien_fleming,
    pocock,
    spent,
    wang_tsiatis,
)


@pytest.mark.parametrize(
    ("looks", "of_pocock", "of_obrien_fleming", "quarter"),
    [
        (2, "2.178", "1.977", "2.038"),
        (3, "2.289", "2.004", "2.083"),
        (4, "2.361", "2.024", "2.113"),
        (5, "2.413", "2.040", "2.136"),
        (10, "2.555", "2.087", "2.199"),
    ],
)
def test_constants_equal_the_tables(looks, of_pocock, of_obrien_fleming, quarter):
    assert f"{pocock(0.05, looks):.3f}" == of_pocock
    assert f"{obrien_fleming(0.05, looks):.3f}" == of_obrien_fleming
    assert f"{wang_tsiatis(0.05, looks, 0.25):.3f}" == quarter


def test_spending_boundaries_equal_the_printed_ones():
    times = (1.0, 2.0, 3.0, 4.0, 5.0)
    assert [f"{z:.2f}" for z in by_spending("obrien_fleming", 0.05, times)] == [
        *("4.88", "3.36", "2.68", "2.29", "2.03")
    ]
    assert [f"{z:.2f}" for z in by_spending("pocock", 0.05, times)] == [
        *("2.44", "2.43", "2.41", "2.40", "2.39")
    ]


@pytest.mark.parametrize("spending", SPENDING)
def test_boundaries_spend_alpha_whatever_the_looks(spending):
    times = (3.0, 5.0, 7.0, 20.0, 21.0)
    found = by_spending(spending, 1e-4, times)
    assert crossing(found, times) == pytest.approx(1e-4, rel=1e-6)
    assert crossing(found[:2], times[:2]) == pytest.approx(spent(spending, 1e-4, 5 / 21), rel=1e-6)
    so_far = by_spending(spending, 1e-4, times[:2], 21.0)
    assert so_far == pytest.approx(found[:2])


def test_a_look_without_information_between_is_one_test():
    assert pocock(0.05, 1) == pytest.approx(stats.norm.isf(0.025))
    drift = 0.7  # power of one test, by the normal distribution
    exact = stats.norm.sf(1.96 - drift * math.sqrt(5)) + stats.norm.cdf(
        -1.96 - drift * math.sqrt(5)
    )
    assert crossing([1.96], [5.0], drift) == pytest.approx(exact)


@pytest.mark.parametrize(("arms", "q"), [(2, 2.772), (3, 3.314), (10, 4.474), (20, 5.012)])
def test_levels_of_pairs_are_those_of_the_range(arms, q):
    """Upper 5 % points of the studentized range with infinite degrees of freedom, as printed."""
    level = level_of_pairs(arms, 0.05)
    assert np.sqrt(2) * stats.norm.isf(level / 2) == pytest.approx(q, abs=6e-4)
