"""Metrics by their names: those that are asked for, of quantiles, and of single targets."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch

from study.interfaces import require
from study.records import StudyError
from study.tasks.shared.losses import among, pinball
from study.tasks.shared.metrics import (
    CLASSES,
    CROSSING,
    LOSS_OF_QUANTILES,
    MEDIAN,
    METRICS,
    NUMBERS,
    PINBALL,
    TOP,
    Metric,
    coverage,
    covered,
)

NEEDS = {
    "every class": "needs every class in validation and in test",
    "levels": "is a share of the values; it needs task.relative=false and task.differences=false",
    "a forecast": "compares with the naive forecast; this task is none, or its naive error is 0",
}


def named(
    names: Sequence[str],
    kind: str,
    quantiles: Sequence[float] | None,
    piece: str,
    targets: Sequence[str],
) -> tuple[Metric, ...]:
    """The metrics of these names; a ValueError says which there are for this kind of task.

    targets: names of several, of each of which there is every metric, such as `mae price`.
    """
    known = {name: one for name, one in METRICS.items() if one.kind == kind}
    if quantiles is not None:  # without the median, only what reads all of them
        known = {PINBALL: _pinball(quantiles)} | (known if MEDIAN in quantiles else {})
    text = ", ".join(known) + (f", {TOP}2, {TOP}3, …" if kind == CLASSES else "")
    if targets:
        text += f", also of one target, such as {next(iter(known))} {targets[0]}"
        own = [_of_target(one, *place) for one in known.values() for place in enumerate(targets)]
        known |= {one.name: one for one in own}
    found = [known.get(name) or _top(name, kind) for name in names]
    require(
        len(names) > 0 and None not in found and len(set(names)) == len(names),
        piece,
        "metrics",
        f"a list of names, each once, of {text} (kind {kind}), or null",
        list(names),
    )
    return tuple(one for one in found if one is not None)


def of_quantiles(quantiles: Sequence[float]) -> tuple[Metric, ...]:
    """What is always measured of quantiles, beside the metrics that are named."""
    each = tuple(coverage(quantile, place) for place, quantile in enumerate(quantiles))
    return (*each, *([covered(quantiles[0], quantiles[-1])] if len(each) > 1 else []), CROSSING)


def with_targets(metrics: Sequence[Metric], targets: Sequence[str]) -> tuple[Metric, ...]:
    """These metrics, and behind them those of each target that are not among them."""
    there = {one.name for one in metrics}
    whole = [one for one in metrics if one.target is None]
    own = [_of_target(one, *place) for one in whole for place in enumerate(targets)]
    return (*metrics, *(one for one in own if one.name not in there))


def _of_target(metric: Metric, place: int, name: str) -> Metric:
    what, comma, unit = metric.text.partition(",")
    text = f"{what} of {name}{comma}{unit}"
    return replace(metric, name=f"{metric.name} {name}", text=text, target=place)


def _pinball(quantiles: Sequence[float]) -> Metric:
    at = torch.tensor(list(quantiles))
    return Metric(
        PINBALL,
        NUMBERS,
        LOSS_OF_QUANTILES,
        False,
        0.0,
        lambda outputs, y: pinball(outputs, y, at.to(outputs)),
        of_quantiles=True,
        high=1.0,
    )


def _top(name: str, kind: str) -> Metric | None:
    count = name.removeprefix(TOP)
    if kind != CLASSES or not name.startswith(TOP) or not count.isdigit() or int(count) < 2:
        return None
    return Metric(
        name,
        CLASSES,
        f"top-{int(count)} accuracy",
        True,
        1.0,
        lambda outputs, y: among(outputs, y, int(count)),
    )


def described(metric: Metric, guess: float, *, targets: int, named: bool = False) -> dict[str, Any]:
    """A metric as TaskFacts.metrics holds it. `guess`: of the best rule without training.

    targets: how many there are; named: whether they have names.
    """
    own = targets == 1 or metric.target is not None
    text = metric.text + (", in the target's units" if own else ", standardised") * metric.in_units
    if named and not own:
        what, comma, unit = text.partition(",")
        text = f"{what} over {targets} targets{comma}{unit}"
    return {
        "name": metric.name,
        "text": text,
        "higher_is_better": metric.higher_is_better,
        "perfect": metric.perfect,
        "by_example": metric.by_example is not None,
        "guess": guess if math.isfinite(guess) else None,
        "low": metric.low,
        "high": metric.high if metric.high is not None or not metric.higher_is_better else 1.0,
    }


def check_fit(metrics: Sequence[Metric], fits: Mapping[str, bool], classes: int) -> None:
    """StudyError for a metric that the data do not allow; fits: what they do, by key of NEEDS."""
    for one in metrics:
        for need in one.needs:
            if not fits[need]:
                raise StudyError(f"task.metrics: {one.name} {NEEDS[need]}")
        if one.name.startswith(TOP) and int(one.name.removeprefix(TOP)) >= classes:
            raise StudyError(
                f"task.metrics: {one.name} is 1 whatever the answer: there are {classes} classes"
            )
