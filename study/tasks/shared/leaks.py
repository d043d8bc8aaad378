"""Features that give the target away by themselves."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

ENOUGH = 20  # examples from which a perfect rule is no accident
NAMED = 10  # features that get a sentence of their own
SAMPLE = 20_000  # rows looked at first; few features need a look at all of them


def giveaways(
    names: Sequence[str],
    values: Sequence[np.ndarray],
    targets: np.ndarray,
    begins: np.ndarray,
    *,
    classes: bool,
    called: str = "the target",
) -> list[str]:
    """Sentences on features of which a single row tells the target, `called` so.

    values: [N] of each name; targets: numbers [N], classes as codes; begins: the first row of each
    example. A feature is judged by rows, or by examples if it is the same in each of theirs.
    """
    count = len(begins)
    if count < ENOUGH:
        return []
    lengths = np.diff(begins, append=len(targets))
    found = []
    for name, column in zip(names, values, strict=True):
        fixed = count < len(column) and bool((column == np.repeat(column[begins], lengths)).all())
        x, y = (column[begins], targets[begins]) if fixed else (column, targets)
        some = slice(None, None, max(len(x) // SAMPLE, 1))
        rule = _rule(x[some], y[some], count, classes, called)
        if rule and len(x[some]) < len(x):
            rule = _rule(x, y, count, classes, called)
        if rule:
            found.append(f"column {name} {rule}")
    more = len(found) - NAMED
    return found[:NAMED] + [f"{more} more columns predict {called} by themselves"] * (more > 0)


def _rule(x: np.ndarray, y: np.ndarray, examples: int, classes: bool, called: str) -> str:
    known = np.isfinite(x) & np.isfinite(y)
    x, y = x[known], y[known]
    if len(x) < ENOUGH or x.min() == x.max() or y.min() == y.max():
        return ""
    if not classes and bool((x == y).all()):
        return f"equals {called}"
    order = np.lexsort((y, x))
    x, y = x[order], y[order]
    new = np.concatenate([[True], x[1:] != x[:-1]])
    # of equal values, all must have the same target
    if not bool((y[1:] == y[:-1])[~new[1:]].all()):
        return ""
    values = int(new.sum())
    told = f"predicts {called} perfectly by itself"
    if values <= examples / 5 and len(x) >= 5 * values:
        return f"{told}: each of its {values} values has one target only"
    if classes:
        changes = int((y[1:] != y[:-1]).sum())
        return f"{told}: its ranges do not overlap" if changes == len(np.unique(y)) - 1 else ""
    moved = np.diff(y[new])
    if len(moved) >= ENOUGH - 1 and bool((moved > 0).all() or (moved < 0).all()):
        return f"{told}: one rises as the other {'rises' if moved[0] > 0 else 'falls'}"
    return ""


def copies_of_the_future(
    names: Sequence[str],
    values: np.ndarray,
    target: np.ndarray,
    ahead: int,
    called: str = "the target",
) -> list[str]:
    """Sentences on features [N, D] of one series that hold the target [N] of the same or later
    rows, up to `ahead` rows later."""
    found = []
    if len(target) < 2 * ENOUGH or np.nanmin(target) == np.nanmax(target):
        return []
    for name, column in zip(names, values.T, strict=True):
        for shift in range(min(ahead, len(target) - ENOUGH) + 1):
            x, y = column[: len(column) - shift], target[shift:]
            if np.array_equal(x[:ENOUGH], y[:ENOUGH]) and np.array_equal(x, y, equal_nan=True):
                found.append(
                    f"column {name} equals {called}"
                    + (f" of {shift} row{'s' if shift > 1 else ''} later" if shift else "")
                )
                break
            if shift and _is_affine(x[:ENOUGH], y[:ENOUGH]) and _is_affine(x, y):
                found.append(
                    f"column {name} is {called} of {shift} row{'s' if shift > 1 else ''} later,"
                    " in another unit"
                )
                break
    return found


def _is_affine(x: np.ndarray, y: np.ndarray) -> bool:
    """Whether x is y by one factor and one offset, but for rounding."""
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        return False
    low, high = y.argmin(), y.argmax()
    if x[low] == x[high] or len(np.unique(y[: 2 * ENOUGH])) < ENOUGH / 2:
        return False
    line = x[low] + (y - y[low]) * ((x[high] - x[low]) / (y[high] - y[low]))
    return bool(np.abs(line - x).max() <= 1e-3 * np.abs(x[high] - x[low]))
