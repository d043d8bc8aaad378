"""A plan in words: factors, exclusions, points, groups, time."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from study.config.compose import matches
from study.design.power import resolvable
from study.interfaces import duration
from study.launch.plan import Plan
from study.launch.say import say

SHOWN = 3  # examples named of a longer list


def text(plan: Plan) -> str:
    """The plan as plain text, 100 columns wide."""
    console = Console(file=io.StringIO(), width=100, soft_wrap=True, no_color=True)
    show(plan, console)
    return console.file.getvalue().rstrip()  # type: ignore[attr-defined]


def show(plan: Plan, console: Console) -> None:
    """Print a plan, as plan=true does."""
    console.print(_factors(plan))
    for line in _exclusions(plan):
        say(console, line)
    if precision := resolves(plan):
        say(console, precision)
    say_unprobed(plan, console)
    for id, why in list(plan.damaged.items())[:SHOWN]:
        say(console, f"damaged and to be trained again: {id} ({why})")
    groups, executor = plan.groups, plan.executor
    stored = len(plan.points) - len(plan.missing)
    say(
        console,
        f"{len(plan.points)} points, {stored} stored already, {len(plan.missing)} to train in"
        f" {len(groups)} groups",
    )
    if any(point.config["stop"]["solved_checks"] for point in plan.points):
        say(console, "points may end early (stop.solved_checks): the time below is for all updates")
    cost = executor.describe(groups) or (
        f"about {duration(plan.seconds(groups))} on {executor.workers} workers, a rough estimate"
    )
    say(console, f"{cost}; results go to {plan.folder}")


def _factors(plan: Plan) -> Table:
    table = Table("factor", "levels", title=f"study {plan.name}", title_justify="left")
    for key, levels in plan.factors.items():
        table.add_row(key, ", ".join(map(str, levels)))
    seeds = sorted({point.seed for point in plan.points})
    table.add_row("seed (replicates)", ", ".join(map(str, seeds)))
    return table


def _exclusions(plan: Plan) -> list[str]:
    """One line per reason, with the first combinations left out for it."""
    reasons: dict[str, list[Mapping[str, Any]]] = {}
    for excluded in plan.excluded:
        reasons.setdefault(str(excluded["why"]), []).append(excluded["labels"])
    lines = []
    for why, combinations in reasons.items():
        named = "; ".join(
            ", ".join(f"{key}={value}" for key, value in labels.items())
            for labels in combinations[:SHOWN]
        )
        rest = len(combinations) - SHOWN
        lines.append(f"left out: {named}{f' and {rest} more' if rest > 0 else ''} ({why})")
    return lines


def resolves(plan: Plan) -> str:
    """What the declared seeds can resolve, in standard deviations over seeds: the planned
    contrasts, two levels of each factor, two arms.
    """
    arms = list(
        {
            tuple(point.labels[key] for key in plan.factors): point.labels for point in plan.points
        }.values()
    )
    seeds = len({point.seed for point in plan.points})
    if len(arms) < 2:
        return ""
    if seeds < 2:
        return (
            "one seed an arm: the spread over seeds stays unknown, so no difference can be tested"
        )
    asked = {}
    for contrast in plan.settings.study.contrasts:
        asked[contrast["name"]] = _weights(
            arms, plan.factors, contrast["first"], contrast["second"], contrast.get("when", {})
        )
    for key, names in plan.factors.items():
        if len(names) > 1:
            asked[key] = _weights(arms, plan.factors, {key: names[0]}, {key: names[1]}, {})
    asked["two arms"] = [1.0, -1.0]
    said = [
        f"{name} {resolvable(weights, seeds, len(weights) * (seeds - 1)):.2g}"
        for name, weights in asked.items()
        if weights
    ]
    return (
        f"{seeds} seeds an arm resolve (80 % power, one test), in standard deviations over seeds:"
        f" {', '.join(said)}"
    )


def _weights(
    arms: Sequence[Mapping[str, Any]],
    factors: Iterable[str],
    first: Mapping[str, Any],
    second: Mapping[str, Any],
    when: Mapping[str, Any],
) -> list[float]:
    """Of the arms' means in first side minus second, over arms alike in everything else; as
    reports.analysis.comparison.match has them.
    """
    blocks: dict[tuple[Any, ...], tuple[list[int], list[int]]] = {}
    for number, arm in enumerate(arms):
        for place, side in enumerate((first, second)):
            if matches(arm, {**when, **side}, "study.contrasts"):
                block = tuple(arm[key] for key in factors if key not in {*first, *second})
                blocks.setdefault(block, ([], []))[place].append(number)
    whole = [block for block in blocks.values() if all(block)]
    return [
        way / len(whole) / len(side)
        for block in whole
        for side, way in zip(block, (1, -1), strict=True)
        for _ in side
    ]


def say_unprobed(plan: Plan, console: Console) -> None:
    """Name probes that stored points lack: they would be missing from the report in silence."""
    names = sorted({name for lacking in plan.unprobed.values() for name in lacking})
    if names and not plan.settings.reprobe:
        points = f"{len(plan.unprobed)} stored point{'s' if len(plan.unprobed) > 1 else ''}"
        say(
            console,
            f"note: {points} without probe {', '.join(names)} as asked for now; reprobe=true"
            " trains them again",
        )
