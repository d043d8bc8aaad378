"""Where a function changes its sign; importing scipy.optimize for it takes a quarter second."""

from __future__ import annotations

from collections.abc import Callable


def root(function: Callable[[float], float], low: float, high: float) -> float:
    """Where `function` is 0 between `low` and `high`, to the last bit, by bisection.

    Its signs at the two ends must differ, or it must be 0 at one of them.
    """
    at_low = function(low)
    if at_low == 0:
        return low
    while low < (middle := (low + high) / 2) < high:
        value = function(middle)
        if value == 0:
            return middle
        if (value < 0) == (at_low < 0):
            low = middle
        else:
            high = middle
    return high
