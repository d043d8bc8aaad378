"""Boundaries of group-sequential two-sided tests, exact by recursive numerical integration.

A statistic Z_k is looked at K times, at information I_1 < … < I_K; Z_k √I_k is a Brownian motion
under the null. The test rejects at the first look with |Z_k| ≥ c_k. Armitage, McPherson & Rowe
1969; Jennison & Turnbull 2000, chapters 2, 7 and 19, whose tables the tests hold this to.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

import numpy as np
from scipy import optimize, special

NODES = 160  # of Gauss and Legendre between the boundaries: ten digits for looks like ours
SPENDING = ("pocock", "linear", "cubic", "obrien_fleming")  # from early to late
FAR = 40.0  # a z beyond which no double has a tail


def spent(spending: str, alpha: float, share: float) -> float:
    """The part of `alpha` that may be spent by a share of the information, in (0, 1].

    pocock: α ln(1 + (e − 1) t), and obrien_fleming: 4 − 4 Φ(z_{α/4} / √t), half of it on each side
    (Lan & DeMets 1983); linear: α t, and cubic: α t³ (Kim & DeMets 1987).
    """
    if share >= 1:
        return alpha
    if spending in ("linear", "cubic"):
        return alpha * share ** (1 if spending == "linear" else 3)
    if spending == "pocock":
        return alpha * math.log(1 + (math.e - 1) * share)
    if spending == "obrien_fleming":
        return float(4 * special.ndtr(special.ndtri(alpha / 4) / math.sqrt(share)))
    raise ValueError(f"spending: must be one of {', '.join(SPENDING)}, got {spending!r}")


@functools.lru_cache(maxsize=4096)
def by_spending(
    spending: str, alpha: float, information: tuple[float, ...], most: float | None = None
) -> tuple[float, ...]:
    """Critical |Z| at each look whose tests together spend `alpha` (Lan & DeMets 1983).

    `information`: at each look, in any unit; `most`: that of the last planned look, if these are
    only the looks so far.
    """
    shares = [each / (most or information[-1]) for each in information]
    process, found, before = Process(), [], 0.0
    for share, each in zip(shares, information, strict=True):
        total = spent(spending, alpha, share)
        found.append(process.boundary(each, total - before))
        process.pass_on(each, found[-1])
        before = total
    return tuple(found)


def pocock(alpha: float, looks: int) -> float:
    """The constant C_P of equally spaced looks: c_k = C_P (Pocock 1977)."""
    return wang_tsiatis(alpha, looks, 0.5)


def obrien_fleming(alpha: float, looks: int) -> float:
    """The constant C_B of equally spaced looks: c_k = C_B √(K/k) (O'Brien & Fleming 1979)."""
    return wang_tsiatis(alpha, looks, 0.0)


def wang_tsiatis(alpha: float, looks: int, power: float) -> float:
    """The constant C_WT of equally spaced looks: c_k = C_WT (k/K)^(power − 1/2).

    Wang & Tsiatis 1987: power 1/2 is Pocock's test and 0 O'Brien and Fleming's.
    """
    times = tuple(range(1, looks + 1))

    def excess(constant: float) -> float:
        of = [constant * (k / looks) ** (power - 0.5) for k in times]
        return crossing(of, times) - alpha

    return float(optimize.brentq(excess, 0.5, FAR / 4, xtol=1e-10))


def crossing(
    boundaries: Sequence[float], information: Sequence[float], drift: float = 0.0
) -> float:
    """The probability that |Z| reaches a boundary at some look; Z_k has mean `drift` √I_k."""
    process, total = Process(drift), 0.0
    for boundary, each in zip(boundaries, information, strict=True):
        total += process.crossing(each, boundary)
        process.pass_on(each, boundary)
    return total


class Process:
    """The score Z √I of a test that has not ended: its density on nodes between the boundaries."""

    def __init__(self, drift: float = 0.0) -> None:
        self.drift = drift
        self.information = 0.0
        self.nodes, self.mass = np.zeros(1), np.ones(1)  # density times the weight of each node

    def crossing(self, information: float, boundary: float) -> float:
        """The probability of going on until this look and then having |Z| ≥ boundary."""
        step = math.sqrt(information - self.information)
        centre = self.nodes + self.drift * step**2
        limit = boundary * math.sqrt(information)
        tails = special.ndtr((centre - limit) / step) + special.ndtr((-limit - centre) / step)
        return float(self.mass @ tails)

    def boundary(self, information: float, probability: float) -> float:
        """The boundary that is crossed first at this look with this probability."""

        def excess(boundary: float) -> float:
            return self.crossing(information, boundary) - probability

        return float(optimize.brentq(excess, 0.0, FAR, xtol=1e-12)) if probability > 0 else math.inf

    def pass_on(self, information: float, boundary: float) -> None:
        """Go on past a look at which |Z| stayed below its boundary."""
        step = math.sqrt(information - self.information)
        limit = min(boundary, FAR / 4) * math.sqrt(information)
        points, weights = _legendre()
        nodes = limit * points
        away = (nodes[:, None] - self.nodes - self.drift * step**2) / step
        density = np.exp(-0.5 * away**2) @ self.mass / (step * math.sqrt(2 * math.pi))
        self.nodes, self.mass = nodes, density * weights * limit
        self.information = information


@functools.cache
def _legendre() -> tuple[np.ndarray, np.ndarray]:
    return np.polynomial.legendre.leggauss(NODES)


def level_of_pairs(arms: int, alpha: float) -> float:
    """The level of each two-sided test such that all pairs of `arms` means have `alpha` together.

    Tukey's range of independent normal means with known variances; less conservative than
    Bonferroni, and equal to it at two arms.
    """
    if arms < 2:
        return alpha
    points, weights = np.polynomial.legendre.leggauss(200)
    x, w = 10 * points, 10 * weights * np.exp(-50 * points**2) / math.sqrt(2 * math.pi)

    def excess(width: float) -> float:
        within = special.ndtr(x) - special.ndtr(x - width)
        return float(1 - arms * (w @ within ** (arms - 1))) - alpha

    found = float(optimize.brentq(excess, 0.1, 20.0, xtol=1e-12))
    return float(2 * special.ndtr(-found / math.sqrt(2)))
