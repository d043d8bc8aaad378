"""What the plan and the page say of a source's columns and targets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

NAMED = 20  # columns named in one note


def of_columns(columns: Sequence[str], left_out: Mapping[str, str]) -> list[str]:
    """Which columns are read, and which are left out and why."""
    found = []
    if columns:
        found.append(
            f"reads {len(columns)} column{'s' if len(columns) > 1 else ''}: {_listed(columns)}"
        )
    reasons: dict[str, list[str]] = {}
    for name, why in left_out.items():
        reasons.setdefault(why, []).append(name)
    return found + [f"left out: {_listed(names)} ({why})" for why, names in reasons.items()]


def of_targets(names: Sequence[str], naive: Mapping[str, np.ndarray]) -> list[str]:
    """Which targets are predicted, if there are several, and how well naive rules predict each.

    naive: standardised squared errors [O] by rule.
    """
    if not names:
        return []
    errors = [
        f"{rule} {', '.join(f'{name} {of:.3g}' for name, of in zip(names, values, strict=True))}"
        for rule, values in naive.items()
    ]
    return [
        f"predicts {len(names)} targets: {_listed(names)}",
        f"standardised squared errors without training: {'; '.join(errors)}",
    ]


def _listed(names: Sequence[str]) -> str:
    more = len(names) - NAMED
    return f"{', '.join(names[:NAMED])}{f' and {more} more' if more > 0 else ''}"
