"""Random studies with known truth, and how often what the report says of them is wrong.

`python -m tests.reports.simulated [STUDIES]` prints the rates; a smaller number is a slow test.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from reports.analysis.arms import with_counted
from reports.analysis.associations import association, at_share
from reports.analysis.claims import judge
from reports.analysis.terms_shown import terms_shown
from reports.data.study import Study
from reports.findings.finding import DECIDED, HOLDS, MIXED, OPPOSITE, TOO_SMALL
from tests.reports.known import known_study

CELLS = ("rnn", "lstm", "gru")
LEAST = {"score": 0.02, "D": 0.5, "lost": 0.1, "solved": 0.1}
Effect = Mapping[tuple[str, str], float]  # of initializer `a` over `b`, by cell and clip


@dataclass(frozen=True)
class Truth:
    """A random study's true effect of initializer a over b by one measure, by cell and clip."""

    by: str
    effect: Effect

    @property
    def average(self) -> float:
        return float(np.mean(list(self.effect.values())))

    @property
    def differs(self) -> bool:
        """Whether the effect is not the same in every cell and clip."""
        return bool(np.ptp(list(self.effect.values())) > 1e-12)


def effect(rng: np.random.Generator, cells: Sequence[str], size: float) -> Effect:
    """No effect (half the time), one for all arms, or one that depends on the cell."""
    kind = rng.choice(["none", "same", "cell"], p=[0.5, 0.25, 0.25])
    same = 0.0 if kind == "none" else size * rng.uniform(-1, 1)
    by_cell = {cell: size * rng.uniform(-1, 1) if kind == "cell" else 0.0 for cell in cells}
    return {(cell, clip): same + by_cell[cell] for cell in cells for clip in ("none", "norm")}


def random_study(draw: int, by: str) -> tuple[Study, Truth]:
    """Two or three cells × two initializers × two clips × 3 to 8 seeds, for one measure.

    Spreads over seeds are equal or differ up to fourfold between arms; a tenth of the studies miss
    points.
    """
    rng = np.random.default_rng([1888, draw])
    cells = CELLS[: int(rng.integers(2, 4))]
    found = effect(rng, cells, {"score": 0.15, "D": 4.0, "lost": 0.6, "solved": 0.6}[by])
    spread = rng.uniform(0.005, 0.04)
    unequal = rng.random() < 0.3
    of_arm = {
        (cell, a, clip): spread * (4.0 ** rng.random() if unequal else 1.0)
        for cell in cells
        for a in "ab"
        for clip in ("none", "norm")
    }
    base = {cell: rng.uniform(0.45, 0.55) for cell in cells}
    few = rng.random() < 0.1

    def point(labels: Mapping[str, Any], seed: int, own: np.random.Generator) -> dict[str, Any]:
        cell, clip, a = labels["cell"], labels["clip"], labels["initializer"]
        value = (0.5 if a == "a" else -0.5) * found[cell, clip]
        noise = of_arm[cell, a, clip] * own.standard_normal()
        if by == "score":
            return {"score": base[cell] + value + noise}
        if by == "D":
            return {"score": 0.5, "D": -3.0 + value + 40 * noise}
        happens = bool(own.random() < 0.5 + value * (-1 if by == "lost" else 1))
        if by == "lost":
            return {"score": 0.5, "outcome": "silently diverged" if happens else "learning"}
        outcome = "solved" if happens else "learning"
        return {"score": 0.5, "outcome": outcome, "ends_solved": happens}

    study = known_study(
        {"cell": list(cells), "initializer": ["a", "b"], "clip": ["none", "norm"]},
        point,
        seeds=int(rng.integers(3, 9)),
        missing=lambda labels, seed: few and seed > 1 and labels["cell"] == cells[0],
        draw=draw,
    )
    return study, Truth(by, found)


def wrong(word: str, truth: Truth) -> bool:
    """Whether a claim that a is better than b has a word that the truth denies."""
    if word == HOLDS:
        return truth.average <= 0
    if word == OPPOSITE:
        return truth.average >= 0
    if word == TOO_SMALL:
        return abs(truth.average) >= LEAST[truth.by]
    return word == MIXED and not truth.differs


def judged(draws: Sequence[int], by: str) -> Counter[str]:
    """How often each word is given over these studies, and how often it is "wrong"."""
    counts: Counter[str] = Counter()
    for draw in draws:
        study, truth = random_study(draw, by)
        claim = {
            "statement": "a is better",
            "better": {"initializer": "a"},
            "worse": {"initializer": "b"},
            "by": by,
            "least": LEAST[by],
        }
        word = judge(study, claim).verdict
        counts[word] += 1
        counts["decided"] += word in (*DECIDED, MIXED)
        counts["wrong"] += wrong(word, truth)
    return counts


def terms_wrong(draws: Sequence[int]) -> Counter[str]:
    """Main effects and interactions that are said to be shown, and how many the truth denies.

    The initializer's effect is the true one; the cells differ in their means, and clip in nothing.
    """
    counts: Counter[str] = Counter()
    for draw in draws:
        study, truth = random_study(draw, "score")
        found = terms_shown(study, "score")
        false = {"clip", "cell × clip", "initializer × clip"}
        false |= set() if truth.differs else {"cell × initializer"}
        false |= {"initializer"} if not any(truth.effect.values()) else set()
        shown = {one.name for one in found.terms if one.shown} if found else set()
        counts["shown"] += len(shown)
        counts["wrong"] += len(shown & false)
        counts["studies with a wrong one"] += bool(shown & false)
        counts["studies"] += 1
    return counts


def associations_wrong(draws: Sequence[int]) -> Counter[str]:
    """How often D is said to go with solving where it does so between cells only (Simpson)."""
    counts: Counter[str] = Counter()
    for draw in draws:
        rng = np.random.default_rng([99, draw])
        shift, chance = rng.uniform(0, 6), {"rnn": rng.uniform(0.1, 0.4), "gru": 0.7}

        def point(labels: Mapping[str, Any], seed: int, own: Any) -> dict[str, Any]:
            solved = own.random() < chance[labels["cell"]]  # noqa: B023
            D = -6 + shift * (labels["cell"] == "gru") + own.standard_normal()  # noqa: B023
            return {"score": 0.95 if solved else 0.5, "D": D}

        study = known_study(
            {"cell": ["rnn", "gru"], "initializer": ["a", "b", "c"], "clip": ["none", "norm"]},
            point,
            seeds=int(rng.integers(3, 9)),
            draw=draw,
        )
        found = association(study, with_counted(study), at_share(study, 1.0), 2000)
        counts["studies"] += 1
        counts["wrong"] += found.judged(0.0)[0] in (HOLDS, OPPOSITE, MIXED)
        counts["pooled alone would be wrong"] += bool(found.pooled.predictive)
    return counts


def main() -> None:
    """Print how often statements are wrong over this many random studies (default 2,000)."""
    number = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    total: Counter[str] = Counter()
    for by in LEAST:
        found = judged(range(number // len(LEAST)), by)
        total += found
        print(f"claims by {by}: {dict(found)}", flush=True)
    print(f"claims: {total['wrong']} of {total['decided']} decided are wrong, of {number} studies")
    print(f"terms: {dict(terms_wrong(range(number // 4)))}", flush=True)
    print(f"associations: {dict(associations_wrong(range(number // 10)))}", flush=True)


if __name__ == "__main__":
    main()
