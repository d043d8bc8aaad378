"""Search spaces: Hydra's sweep syntax as Optuna distributions, and where values lie in them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from hydra.core.override_parser.types import IntervalSweep, Override, QuotedString, RangeSweep
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    distribution_to_json,
)
from optuna.trial import Trial

from study.records import StudyError

Space = Mapping[str, BaseDistribution]
FORMS = (
    "interval(low, high), int(interval(low, high)), range(start, stop, step), choice(a, b),"
    " tag(log, …)"
)


def to_distribution(override: Override) -> BaseDistribution:
    """Convert one swept key to a distribution. Raises StudyError."""
    key, line = override.get_key_element(), override.input_line
    if not override.is_sweep_override():
        raise StudyError(f"{key}: a search space needs one of {FORMS}; got {line}")
    value = override.value()
    unknown = set(getattr(value, "tags", ())) - {"log"}
    if unknown:
        raise StudyError(
            f"{key}: the only tag that a search supports is log, got {', '.join(sorted(unknown))}"
            f" in {line}"
        )
    log = "log" in getattr(value, "tags", ())
    if isinstance(value, IntervalSweep):
        return _interval(key, value.start, value.end, log, str(line))
    if isinstance(value, RangeSweep):
        return _range(key, value, log, str(line))
    if log:
        raise StudyError(f"{key}: tag(log, …) needs an interval or a range, got {line}")
    choices = [_plain(key, item) for item in override.sweep_iterator()]
    if not choices:
        raise StudyError(f"{key}: a choice needs at least one level, got {line}")
    if len(set(map(repr, choices))) < len(choices):
        raise StudyError(f"{key}: a level is written twice in {line}")
    return CategoricalDistribution(choices)


def _plain(key: str, item: Any) -> bool | int | float | str | None:
    item = item.text if isinstance(item, QuotedString) else item
    if item is not None and not isinstance(item, bool | int | float | str):
        raise StudyError(
            f"{key}: a choice is between numbers, words, true, false and null, got {item!r}"
        )
    return item


def _check_bounds(key: str, low: float, high: float, log: bool, line: str) -> None:
    if not (math.isfinite(low) and math.isfinite(high)):
        raise StudyError(f"{key}: bounds must be finite numbers, got {line}")
    if low > high:
        raise StudyError(
            f"{key}: the lower bound must not be above the upper one, got {low} > {high} in {line}"
        )
    if log and low <= 0:
        raise StudyError(f"{key}: a logarithmic scale needs bounds above 0, got {low} in {line}")


def _interval(key: str, low: Any, high: Any, log: bool, line: str) -> BaseDistribution:
    if low is None or high is None:
        raise StudyError(f"{key}: an interval needs two bounds, got {line}")
    _check_bounds(key, low, high, log, line)
    if isinstance(low, int) and isinstance(high, int):
        return IntDistribution(low, high, log=log)
    return FloatDistribution(float(low), float(high), log=log)


def _range(key: str, sweep: RangeSweep, log: bool, line: str) -> BaseDistribution:
    if sweep.start is None or sweep.stop is None:
        raise StudyError(f"{key}: a range needs start and stop, got {line}")
    if sweep.step <= 0:
        raise StudyError(f"{key}: a range needs a step above 0, got {line}")
    values = list(sweep.range())
    if not values:
        raise StudyError(
            f"{key}: the lower bound must be below the upper one (the stop is left out), got {line}"
        )
    low, high = values[0], values[-1]
    _check_bounds(key, low, high, log, line)
    if log and sweep.step != 1:
        raise StudyError(f"{key}: a logarithmic range takes no step, got {line}")
    if all(isinstance(value, int) for value in (low, high, sweep.step)):
        return IntDistribution(int(low), int(high), log=log, step=int(sweep.step))
    if log:
        raise StudyError(
            f"{key}: a logarithmic range needs whole numbers; use tag(log, interval(…)), got {line}"
        )
    return FloatDistribution(float(low), float(high), step=float(sweep.step))


def suggest(trial: Trial, key: str, domain: BaseDistribution) -> Any:
    """Draw one key of a trial."""
    if isinstance(domain, FloatDistribution):
        return trial.suggest_float(key, domain.low, domain.high, step=domain.step, log=domain.log)
    if isinstance(domain, IntDistribution):
        return trial.suggest_int(key, domain.low, domain.high, step=domain.step, log=domain.log)
    assert isinstance(domain, CategoricalDistribution)
    return trial.suggest_categorical(key, domain.choices)


def contains(domain: BaseDistribution, value: Any) -> bool:
    """Whether a value lies in a domain, and on its grid if it has a step."""
    if isinstance(domain, CategoricalDistribution):
        return any(type(choice) is type(value) and choice == value for choice in domain.choices)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    if isinstance(domain, IntDistribution) and not isinstance(value, int):
        return False
    assert isinstance(domain, IntDistribution | FloatDistribution)
    step = domain.step or 0
    on_grid = (
        not step
        or abs(round((value - domain.low) / step) * step - (value - domain.low)) < 1e-9 * step
    )
    return domain.low <= value <= domain.high and on_grid


def ends(domain: BaseDistribution) -> list[Any]:
    """Values to check before a search: both ends of a range, or every level."""
    if isinstance(domain, CategoricalDistribution):
        return list(domain.choices)
    assert isinstance(domain, IntDistribution | FloatDistribution)
    return [domain.low] if domain.low == domain.high else [domain.low, domain.high]


def at_boundary(domain: BaseDistribution, value: Any) -> str | None:
    """`low` or `high` if a value lies at the edge of its range, where a better one may lie beyond.

    The edge is 2 % of the range, on its scale. Levels that are not numbers, and fewer than three
    levels or grid points, have no edge.
    """
    if isinstance(domain, CategoricalDistribution):
        numbers = [
            choice
            for choice in domain.choices
            if isinstance(choice, int | float) and not isinstance(choice, bool)
        ]
        if len(numbers) < 3 or len(numbers) < len(domain.choices):
            return None
        return "low" if value == min(numbers) else "high" if value == max(numbers) else None
    assert isinstance(domain, IntDistribution | FloatDistribution)
    if domain.low == domain.high or (domain.step and domain.high - domain.low < 2 * domain.step):
        return None
    scale = math.log if domain.log else float
    place = (scale(value) - scale(domain.low)) / (scale(domain.high) - scale(domain.low))
    return "low" if place <= 0.02 else "high" if place >= 0.98 else None


def to_text(space: Space) -> dict[str, str]:
    """The space as text, to be stored and compared."""
    return {key: distribution_to_json(item) for key, item in space.items()}


def show(domain: BaseDistribution) -> str:
    """Describe a distribution for messages."""
    if isinstance(domain, CategoricalDistribution):
        return f"choice({', '.join(map(str, domain.choices))})"
    assert isinstance(domain, IntDistribution | FloatDistribution)
    step = f", step {domain.step:g}" if domain.step and domain.step != 1 else ""
    return f"{domain.low:g} to {domain.high:g}{step}{', logarithmic' if domain.log else ''}"
