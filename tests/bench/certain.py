"""Simulated races where the truth is known: error rates, coverage, and runs against fixed seeds.

    python -m tests.bench.certain [--races 2000] [--study FOLDER …]

Every scenario is raced on the same numbers as a fixed design, whose seeds per arm are the fewest
with which it separates as many arms and answers as often. Exit status 1 where a bound is missed.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from study.design.ranking import counted
from study.racing.adjusted import flattery, named
from study.racing.intervals import Arms
from study.racing.question import Question
from study.racing.race import ANSWERED, Look, race, runs
from study.racing.results import differences, means
from study.racing.simulated import fixed_seeds, wrong
from study.store import Store

ALPHA = 0.05
LOOKS = (3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 18, 20)  # as by default
MOST = 26  # seeds per arm that a fixed design may take
SPENDING = ("cubic", "linear")  # of dropping arms: the second
ERROR, COVERAGE, RUNS, RUNS_APART = 0.05, 0.94, 1.05, 0.40  # the bounds
BIAS = 0.1  # of an adjusted mean, in spreads over seeds, or less than the naive one's
ADJUSTED, ADJUSTED_BY = 100, 60  # races whose means are adjusted, and races simulated for each


@dataclass(frozen=True)
class Scenario:
    """`draw(generator, races)` gives values [races, arms, MOST]; `truth`: the arms' means."""

    name: str
    question: Question
    truth: np.ndarray
    draw: Callable[[np.random.Generator, int], np.ndarray]
    apart: bool = False  # arms differ as in a study, where the race has to save runs


@dataclass(frozen=True)
class Result:
    """Shares over races: with a wrong decision, covered by all intervals, answered; runs."""

    races: int
    error: float
    coverage: float
    differences: float
    answered: float
    runs: float
    fixed_runs: float
    bias: tuple[float, float]  # of the means it names, in spreads: naive, adjusted

    @property
    def ratio(self) -> float:
        return self.runs / self.fixed_runs

    def misses(self, scenario: Scenario) -> list[str]:
        """Bounds that are missed by more than twice the error of the simulation."""
        slack = 2 * math.sqrt(ERROR * (1 - ERROR) / self.races)
        most = RUNS_APART if scenario.apart else RUNS
        spare = 0 if scenario.apart else scenario.question.arms  # seeds are whole
        bounds = {
            "wrong decisions": self.error <= ERROR + slack,
            "coverage": min(self.coverage, self.differences) >= COVERAGE - slack,
            "adjusted means": not abs(self.bias[1]) > max(BIAS, abs(self.bias[0])),
            "runs": self.runs <= max(most * self.fixed_runs, self.fixed_runs + spare),
        }
        return [name for name, kept in bounds.items() if not kept]


def simulate(
    scenario: Scenario, races: int, seed: int, *, against: bool = True, adjust: int = 0
) -> Result:
    """`against`: also find the fixed design that decides as much; else its runs are unknown.
    `adjust`: races whose named means are adjusted as well.
    """
    values = scenario.draw(np.random.default_rng(seed), races)
    looks = race(scenario.question, values)
    last = looks[-1]
    error = wrong(scenario.question, scenario.truth, last).any(-1)
    seeds = fixed_seeds(scenario.question, scenario.truth, last, values) if against else math.nan
    low, high = means(scenario.question, looks)
    covered = ((low <= scenario.truth) & (scenario.truth <= high)).all(-1)
    within = np.ones(races, bool)
    if scenario.question.between:
        first, low, high = differences(scenario.question, looks, values)
        gap = scenario.truth[first][:, None] - scenario.truth
        within = ((low <= gap) & (gap <= high)).all(-1)
    return Result(
        races,
        float(error.mean()),
        float(covered.mean()),
        float(within.mean()),
        float((last.ended == ANSWERED).mean()),
        float(np.median(runs(looks))),
        scenario.question.arms * (seeds or math.inf),
        bias(scenario, looks, adjust) if scenario.question.between and adjust else (math.nan,) * 2,
    )


def bias(scenario: Scenario, looks: Sequence[Look], races: int) -> tuple[float, float]:
    """Mean error of the means of the arms that races name: as they are, and adjusted; in mean
    spreads over seeds.
    """
    arms, chosen, found = looks[-1].arms, named(looks), []
    for one in range(min(races, len(arms.n))):
        of = Arms(*(part[one] for part in (arms.n, arms.mean, arms.variance, arms.noise)))
        of = replace(of, shares=scenario.question.shares)
        naive = float((of.mean - scenario.truth)[chosen[one]].mean())
        found.append((naive, naive - flattery(scenario.question, of, races=ADJUSTED_BY, seed=one)))
    spread = math.sqrt(float(np.nanmean(arms.variance)))
    naive, adjusted = np.mean(found, axis=0) / spread
    return float(naive), float(adjusted)


def _normal(
    means: Sequence[float] | np.ndarray, spread: float | Sequence[float] | np.ndarray = 1.0
) -> Callable[[np.random.Generator, int], np.ndarray]:
    means = np.asarray(means, float)
    spread = np.broadcast_to(spread, means.shape)

    def draw(generator: np.random.Generator, races: int) -> np.ndarray:
        noise = generator.standard_normal((races, len(means), MOST))
        return means[:, None] + spread[:, None] * noise

    return draw


def scenarios(studies: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> list[Scenario]:
    """`studies`: means and spreads over seeds of the arms of stored studies, by name."""
    arms = 12
    best = Question("best", arms, ALPHA, 1.0, LOOKS, *SPENDING)  # as many spreads matter
    zero = np.zeros(arms)
    one = np.r_[zero[1:], 2.0]
    six = np.r_[np.zeros(6), np.full(6, 3.0)]
    over = np.r_[zero[1:], 1.01]
    steps = -np.repeat([0.0, 1.01, 1.5, 2.0], [1, 3, 4, 4])
    linear = np.linspace(0, 6, arms)
    unequal = np.where(np.arange(arms) % 2, 1.0, math.sqrt(10))
    late = np.r_[np.full(6, 2.0), np.full(4, 0.5), np.full(2, 0.2)]  # 61 % to 1 % never solve
    share = np.r_[np.full(arms - 4, 0.1), np.full(4, 0.9)]

    def heavy(generator: np.random.Generator, races: int) -> np.ndarray:
        return linear[:, None] / 2 + generator.standard_t(3, (races, arms, MOST)) / math.sqrt(3)

    def heavy_null(generator: np.random.Generator, races: int) -> np.ndarray:
        return generator.standard_t(3, (races, arms, MOST)) / math.sqrt(3)

    def shares(generator: np.random.Generator, races: int) -> np.ndarray:
        return (generator.random((races, arms, MOST)) < share[:, None]).astype(float)

    def times(generator: np.random.Generator, races: int) -> np.ndarray:
        until = generator.exponential(late[:, None], (races, arms, MOST))
        return -np.minimum(until, 1.0)

    def correlated(generator: np.random.Generator, races: int) -> np.ndarray:
        own = generator.standard_normal((races, arms, MOST)) * math.sqrt(0.5)
        return six[:, None] + own + generator.standard_normal((races, 1, MOST)) * math.sqrt(0.5)

    pairs = tuple(
        tuple(1.0 if arm == one else -1.0 if arm == one + 6 else 0.0 for arm in range(arms))
        for one in range(6)
    )
    gaps = np.r_[np.array([0, 0, 0.5, 1.0, 2.0, -2.0]), np.zeros(6)]
    contrasts = Question("contrasts", arms, ALPHA, 0.5, LOOKS, *SPENDING, weights=pairs)
    threshold = Question("threshold", arms, ALPHA, 0.5, LOOKS, *SPENDING, threshold=3.0)
    made = [
        Scenario("null", best, zero, _normal(zero)),
        Scenario("one better", best, one, _normal(one)),
        Scenario("one better by just over delta", best, over, _normal(over)),
        Scenario("steps", best, steps, _normal(steps)),
        Scenario("six equal leaders", best, six, _normal(six)),
        Scenario("linear spread", best, linear, _normal(linear)),
        Scenario("variances 10:1, null", replace(best, delta=3.2), zero, _normal(zero, unequal)),
        Scenario("variances 10:1, linear", best, linear, _normal(linear, unequal)),
        Scenario("heavy tails, null", best, zero, heavy_null),
        Scenario("heavy tails, linear", best, linear / 2, heavy),
        Scenario("proportions", replace(best, shares=True, delta=0.3), share, shares),
        Scenario(
            "times, unsolved to the end",
            replace(best, delta=0.2, times=True),
            -late * (1 - np.exp(-1 / late)),
            times,
        ),
        Scenario("correlated seeds", best, six, correlated),
        Scenario("top 4, linear", replace(best, decide="top", top=4), linear, _normal(linear)),
        Scenario("contrasts", contrasts, gaps, _normal(gaps)),
        Scenario("threshold", threshold, linear, _normal(linear)),
        Scenario(
            "precision",
            replace(best, decide="precision", delta=1.5),
            zero,
            _normal(zero, np.where(unequal > 1, 1.0, 0.3)),
        ),
    ]
    made += _by_bets()
    for name, (of, spread) in studies.items():
        question = Question("best", len(of), ALPHA, 0.02, LOOKS, *SPENDING)
        draw = _normal(of, spread)
        made.append(Scenario(f"means of {name}", question, of, draw, apart=name == "digits"))
    return made


def _by_bets() -> list[Scenario]:
    """Races that look after every seed (study.certain.method: anytime), of four arms."""
    best = Question("best", 4, ALPHA, 0.3, tuple(range(3, 61)), *SPENDING, anytime=True)
    alike, apart, skewed = np.full(4, 0.5), np.array([0.1, 0.1, 0.9, 0.9]), np.full(4, 0.2)

    def solved(share: np.ndarray) -> Callable[[np.random.Generator, int], np.ndarray]:
        return lambda generator, races: (generator.random((races, 4, 90)) < share[:, None]).astype(
            float
        )

    def beta(generator: np.random.Generator, races: int) -> np.ndarray:
        return generator.beta(0.1, 0.4, (races, 4, 90))

    return [
        Scenario("by bets, null", best, alike, solved(alike)),
        Scenario("by bets, proportions", best, apart, solved(apart)),
        Scenario("by bets, skewed null", best, skewed, beta),
    ]


def of_store(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Mean and spread over seeds of every arm's validation score; larger is better."""
    store = Store(folder)
    declaration = store.study()["declaration"]
    arm_of = {
        point["id"]: json.dumps(point["labels"], sort_keys=True) for point in declaration["grid"]
    }
    facts = next(iter(declaration["tasks"].values()))
    higher = bool(facts["higher_is_better"])
    points = store.points()
    points = points.assign(arm=points["id"].map(arm_of)).dropna(subset=["arm"])
    value = counted(points, "val_score", higher_is_better=higher) * (1 if higher else -1)
    arms = value.groupby(points["arm"])
    return arms.mean().to_numpy(float), arms.std().to_numpy(float)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--races", type=int, default=2000)
    parser.add_argument("--study", type=Path, action="append", default=[])
    parser.add_argument("--only", default="", help="scenarios whose name has this")
    options = parser.parse_args()
    studies = {folder.name: of_store(folder) for folder in options.study}
    columns = (
        "scenario, wrong, all means covered, all differences, answered, runs, fixed, %, bias of"
        " named means, adjusted"
    )
    print(f"| {columns.replace(', ', ' | ')} |\n{'|---' * 10}|")
    missed = []
    for number, scenario in enumerate(scenarios(studies)):
        if options.only not in scenario.name:
            continue
        found = simulate(scenario, options.races, number, adjust=ADJUSTED)
        print(
            f"| {scenario.name} | {100 * found.error:.1f} % | {100 * found.coverage:.1f} % |"
            f" {100 * found.differences:.1f} % | {100 * found.answered:.0f} % | {found.runs:.0f} |"
            f" {found.fixed_runs:.0f} | {100 * found.ratio:.0f} | {found.bias[0]:+.2f} |"
            f" {found.bias[1]:+.2f} |",
            flush=True,
        )
        missed += [f"{scenario.name}: {what}" for what in found.misses(scenario)]
    print("\n".join(["missed:", *missed]) if missed else "every bound is kept")
    return int(bool(missed))


if __name__ == "__main__":
    sys.exit(main())
