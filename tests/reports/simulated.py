"""Random studies with known truth, and how often what the report says of them is wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from reports.analysis.claims import judge
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
