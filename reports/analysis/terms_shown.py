"""Which main effects and two-way interactions are shown: one rule for all sections.

A term is shown if Holm's correction of the family of permutation tests leaves its p at or below
.05. How much of the variance it explains is an estimate beside that, and decides nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

from reports.analysis.measures import measured
from reports.data.study import Study
from reports.formatting import p_text
from reports.statistics import NO_ESTIMATE, Estimate
from reports.statistics.holm import FAMILY_ERROR, holm, rejected
from reports.statistics.permutation import TestResult, f_test
from reports.statistics.terms import Confounded, confounded, terms
from reports.statistics.variance_shares import Share, Shares, shares

SEED = 2026  # of permutations and intervals: the same store gives the same page
# Permutations per test; the later numbers are used where the ones before leave it undecided.
DRAWS = (1_999, 9_999, 39_999)
SHARE_DRAWS = 1_000  # per interval of a share; no verdict rests on them
TOO_CLOSE = "too close to call"


@dataclass(frozen=True)
class Decided:
    """A test in its family; `shown`: None if it cannot be tested or is too close to call."""

    test: TestResult
    holm: float
    shown: bool | None

    @property
    def testable(self) -> bool:
        return bool(np.isfinite(self.test.p))

    @property
    def too_close(self) -> bool:
        return self.testable and self.shown is None


@dataclass(frozen=True)
class ShownTerm:
    """A main effect or two-way interaction: its share of variance, its test, and the verdict."""

    name: str
    factors: tuple[str, ...]
    share: Estimate
    decided: Decided

    @property
    def shown(self) -> bool | None:
        return self.decided.shown


@dataclass(frozen=True)
class TermsShown:
    """The family of one measure, with the shares of variance and what is confounded.

    `shares`: None where the seeds leave no spread to compare with.
    """

    by: str
    terms: Sequence[ShownTerm]
    shares: Shares | None
    confounded: Sequence[Confounded]

    def term(self, *factors: str) -> ShownTerm | None:
        return next((one for one in self.terms if set(one.factors) == set(factors)), None)

    @property
    def interactions(self) -> list[ShownTerm]:
        """Those that are shown, largest share first."""
        both = [one for one in self.terms if len(one.factors) == 2 and one.shown]
        return sorted(both, key=lambda one: -np.nan_to_num(one.share.value))

    @property
    def together(self) -> list[Share]:
        """Shares of several terms together that are shown: confounded ones, higher interactions.

        They are outside of the family; each by the F distribution, corrected (Bonferroni) for all.
        """
        parts = [one for one in self.shares.terms if not one.factors] if self.shares else []
        level = FAMILY_ERROR / (len(self.terms) + len(parts))
        error_df = self.shares.error_df if self.shares else 0
        return [one for one in parts if special.fdtrc(one.df, error_df, one.F) <= level]

    def partners(self, factor: str) -> list[str]:
        """Factors whose interaction with this one is shown, largest first."""
        both = [one.factors for one in self.interactions if factor in one.factors]
        return [key for pair in both for key in pair if key != factor]

    def confounding(self, factor: str) -> Confounded | None:
        """What this factor is confounded in, if its own levels cannot all be told apart."""
        return next((one for one in self.confounded if factor in one.islands), None)


def terms_shown(study: Study, by: str) -> TermsShown | None:
    """Main effects and two-way interactions on a measure of MEASURES; None without factors, or if
    there are fewer than two arms that have it.
    """
    found: TermsShown | None = study.cached(f"terms on {by}", lambda: _terms_shown(study, by))
    return found


def _terms_shown(study: Study, by: str) -> TermsShown | None:
    points, factors = measured(study, by), list(study.factors)
    arms = study.arms[study.arms["arm"].isin(points["arm"].unique())].reset_index(drop=True)
    if not factors or len(arms) < 2:
        return None
    rows = {int(arm): row for row, arm in enumerate(arms["arm"])}
    arm = np.array([rows[int(one)] for one in points["arm"]], dtype=int)
    values = points["value"].to_numpy(dtype=float)
    # Measures mostly rest on the same arms.
    found = study.cached(f"terms of arms {arms['arm'].tolist()}", lambda: terms(arms, factors))
    tests = [
        lambda draws, one=one: f_test(values, arm, one, draws=draws, seed=SEED) for one in found
    ]
    of_shares = shares(points, "value", arms, factors, draws=SHARE_DRAWS, seed=SEED, found=found)
    by_name = {one.name: one.share for one in of_shares.terms} if of_shares else {}
    made = [
        ShownTerm(one.name, one.factors, by_name.get(one.name, NO_ESTIMATE), decided)
        for one, decided in zip(found, decide(tests), strict=True)
    ]
    return TermsShown(by, made, of_shares, confounded(arms, factors, found))


def decide(tests: Sequence[Callable[[int], TestResult]]) -> list[Decided]:
    """A family of tests with Holm's correction; each test is called with a number of permutations.

    Where the luck of the permutations could still decide (see `rejected`), more are made.
    """
    results = [test(DRAWS[0]) for test in tests]
    shown = _rejected(results)
    for draws in DRAWS[1:]:
        close = [k for k, one in enumerate(shown) if one is None and np.isfinite(results[k].p)]
        if not close:
            break
        for k in close:
            results[k] = tests[k](draws)
        shown = _rejected(results)
    corrected = holm([one.p for one in results])
    return [Decided(*one) for one in zip(results, corrected, shown, strict=True)]


def _rejected(results: Sequence[TestResult]) -> list[bool | None]:
    return rejected([one.p for one in results], [one.draws for one in results])


def corrected_p(one: Decided) -> str:
    return p_text(one.holm, smallest=one.test.smallest)
