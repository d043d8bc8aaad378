"""What the default probes cost: each structure trained with them and without, in turn; the sums give one ratio a repeat."""

from __future__ import annotations

from collections.abc import Callable

from tests.bench.structures import bare, seconds, shorter, structures

TITLE = "training with default probes / without"
GOAL = "≤ 1.10"


def measure(repeats: int, members: int, share: float, say: Callable[[str], None]) -> dict[str, list[tuple[float, float]]]:
    """By structure and for the whole study: (with, without) seconds of each repeat. Always whole trainings: probes have their shares of them."""
    for points in structures("digits", 2).values():  # kernels are compiled and modules imported before anything is timed
        seconds(shorter(points, 0.02))
    taken: dict[str, list[tuple[float, float]]] = {}
    for repeat in range(repeats):
        for name, points in structures("digits", members).items():
            turn = [points, bare(points)][:: 1 if repeat % 2 == 0 else -1]
            one, other = (seconds(each) for each in turn)
            taken.setdefault(name, []).append((one, other) if repeat % 2 == 0 else (other, one))
            say(f"repeat {repeat + 1}: {name}: {taken[name][-1][0]:.1f} s with probes, {taken[name][-1][1]:.1f} s without")
    whole = [(sum(pairs[repeat][0] for pairs in taken.values()), sum(pairs[repeat][1] for pairs in taken.values())) for repeat in range(repeats)]
    return {**taken, "the whole study": whole}
