"""What the default probes cost: each structure trained with them and without, in turn; the sums
give the ratio of the whole study.
"""

from __future__ import annotations

from tests.bench.figure import Found, Goal, TrialRequest, Value, in_turn
from tests.bench.structures import bare, seconds, shorter, structures

TITLE = "training with default probes / without"
GOAL = Goal(most=1.10)
MEMBERS = 6  # probes weigh more in smaller groups; 18 take three times as long
REPEATS = 2


def measure(asked: TrialRequest, repeat: int) -> Found:
    """Whole trainings: probes have their shares of them."""
    found, with_, without = {}, 0.0, 0.0
    for name, points in structures("digits", asked.sized(MEMBERS)).items():
        points = shorter(points, asked.share)
        # kernels are compiled and modules imported before anything is timed
        seconds(shorter(points[:2], 0.02 / asked.share))
        one, other = in_turn(
            repeat,
            lambda points=points: seconds(points),
            lambda points=points: seconds(bare(points)),
        )
        found[f"{name}, {len(points)} members"] = Value.ratio(one, other)
        with_, without = with_ + one, without + other
        asked.say(f"repeat {repeat + 1}: {name}: {one:.1f} s with probes, {other:.1f} s without")
    return found | {"all of them": Value.ratio(with_, without, GOAL)}
