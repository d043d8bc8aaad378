"""Describe a plan: factors, exclusions, points, groups, estimated time."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from study.config.setup import set_up
from study.design.comparisons import matches
from study.design.power import is_share, resolvable, shares_floor
from study.interfaces import TaskFacts, duration
from study.launch.console import print_line
from study.launch.declaration import notes_on_models
from study.launch.estimate import around
from study.launch.plan import Plan, check_sources
from study.modules.cost import seconds_per_update

SHOWN = 3  # items named of a longer list


def text(plan: Plan) -> str:
    """The plan as plain text, 100 columns wide."""
    console = Console(file=io.StringIO(), width=100, soft_wrap=True, no_color=True)
    show(plan, console)
    return console.file.getvalue().rstrip()  # type: ignore[attr-defined]


def show(plan: Plan, console: Console) -> None:
    """Print a plan, as plan=true does."""
    console.print(_factors(plan))
    for line in _exclusions(plan):
        print_line(console, line)
    for line in facts_of_data(plan):
        print_line(console, line)
    for name, notes in notes_on_models(plan).items():
        for note in notes:
            print_line(console, f"model {name}: {note}")
    for line in cost_of_models(plan):
        print_line(console, line)
    if changed := check_sources(plan):
        print_line(console, f"note: {changed}")
    print_data_warnings(plan, console)
    for precision in (resolution(plan), bound_of_test_set(plan)):
        if precision:
            print_line(console, precision)
    print_missing_probes(plan, console)
    print_others(plan, console)
    for id, why in list(plan.damaged.items())[:SHOWN]:
        print_line(console, f"damaged, will be trained again: {id} ({why})")
    groups, executor = plan.groups, plan.executor
    stored = len(plan.points) - len(plan.missing)
    print_line(
        console,
        f"{len(plan.points)} points, {stored} stored already, {len(plan.missing)} to train in"
        f" {len(groups)} groups",
    )
    if any(point.config["stop"]["solved_checks"] for point in plan.points):
        print_line(
            console, "points may end early (stop.solved_checks); the time below is for all updates"
        )
    of_their_own = any(set_up(point.config).trainer is not None for point in plan.missing)
    unknown = "how long trainers of your own take is not known" if of_their_own else None
    seconds = plan.seconds(groups)
    rough = (
        f"training takes about {duration(seconds)} on {executor.workers} workers, with start-up and"
        f" report {duration(seconds + around(len(plan.points)))}, if nothing else runs here"
    )
    cost = executor.describe(groups) or unknown or (rough if groups else "nothing to train")
    print_line(console, f"{cost}; results go to {plan.folder}")


def facts_of_data(plan: Plan) -> list[str]:
    """What the tasks say about their data, such as the columns that are read or left out."""
    return list(dict.fromkeys(note for facts in _facts(plan) for note in facts.notes))


def cost_of_models(plan: Plan) -> list[str]:
    """How long an update of each model takes, and how that compares with the stack."""
    found = {}
    for point in plan.points:
        setup = set_up(point.config)
        if "model" in point.config and setup.trainer is None:
            found[point.labels["model"]] = seconds_per_update(setup.module, setup.batch)
    return [
        f"model {name}: networks are computed one after the other, about {1e3 * seconds:.2g} ms an"
        " update of each on this CPU; an equal stack was two to three times as fast in the"
        " benchmark (make bench BENCH=own_training)"
        for name, seconds in found.items()
    ]


def print_data_warnings(plan: Plan, console: Console) -> None:
    """Print what the tasks warn of in their data."""
    for warning in dict.fromkeys(warning for facts in _facts(plan) for warning in facts.warnings):
        print_line(console, f"warning: {warning}", "yellow")


def _facts(plan: Plan) -> list[TaskFacts]:
    tasks = dict.fromkeys(set_up(point.config).task for point in plan.points)
    return [task.facts for task in tasks]


def _factors(plan: Plan) -> Table:
    table = Table("factor", "levels", title=f"study {plan.name}", title_justify="left")
    for key, levels in plan.factors.items():
        table.add_row(key, ", ".join(map(str, levels)))
    seeds = sorted({point.seed for point in plan.points})
    table.add_row("seed (replicates)", ", ".join(map(str, seeds)))
    return table


def _exclusions(plan: Plan) -> list[str]:
    """One line per reason of exclusion, with the first combinations it leaves out."""
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


def resolution(plan: Plan) -> str:
    """The smallest differences that the seeds can resolve, in standard deviations over seeds.

    For the planned contrasts, two levels of each factor, and two arms; "" if there is one arm.
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
        return "one seed per arm: the spread over seeds is unknown, so no difference can be tested"
    comparisons = {}
    for contrast in plan.settings.study.contrasts:
        of = weights_of(
            arms, plan.factors, contrast["first"], contrast["second"], contrast.get("when", {})
        )
        comparisons[contrast["name"]] = list(of.values())
    for key, names in plan.factors.items():
        if len(names) > 1:
            of = weights_of(arms, plan.factors, {key: names[0]}, {key: names[1]}, {})
            comparisons[key] = list(of.values())
    comparisons["two arms"] = [1.0, -1.0]
    differences = [
        f"{name} {resolvable(weights, seeds, len(weights) * (seeds - 1)):.2g}"
        for name, weights in comparisons.items()
        if weights
    ]
    return (
        f"{seeds} seeds per arm resolve (80 % power, one test), in standard deviations over seeds:"
        f" {', '.join(differences)}"
    )


def bound_of_test_set(plan: Plan) -> str:
    """What the smallest test set leaves unresolved however many seeds; "" if not bounded.

    Only shares have a largest variance before anything is measured.
    """
    tasks = [set_up(point.config).task for point in plan.points]
    if len(plan.points) < 2 or not all(
        is_share(task.facts.metric) and all(one["by_example"] for one in task.facts.metrics[:1])
        for task in tasks
    ):
        return ""
    examples = min(len(task.split("test").x) for task in dict.fromkeys(tasks))
    return (
        f"however many seeds, the test set of {examples:,} examples may leave up to"
        f" {shares_floor(examples):.2g} between two arms unresolved (a bound for shares)"
    )


def weights_of(
    arms: Sequence[Mapping[str, Any]],
    factors: Iterable[str],
    first: Mapping[str, Any],
    second: Mapping[str, Any],
    when: Mapping[str, Any],
) -> dict[int, float]:
    """Weights of the arms' means, by number, in first side minus second over matched arms.

    Arms match that are equal in all other factors, as in reports.analysis.comparison.match.
    """
    blocks: dict[tuple[Any, ...], tuple[list[int], list[int]]] = {}
    for number, arm in enumerate(arms):
        for place, side in enumerate((first, second)):
            if matches(arm, {**when, **side}, "study.contrasts"):
                block = tuple(arm[key] for key in factors if key not in {*first, *second})
                blocks.setdefault(block, ([], []))[place].append(number)
    complete = [block for block in blocks.values() if all(block)]
    weights: dict[int, float] = {}
    for sides in complete:
        for own, sign in zip(sides, (1, -1), strict=True):
            for one in own:
                weights[one] = weights.get(one, 0.0) + sign / len(complete) / len(own)
    return weights


def print_others(plan: Plan, console: Console) -> None:
    """Say that the folder holds points of earlier launches, and what happens to them."""
    if plan.others:
        print_line(
            console,
            f"note: {plan.folder} also holds {plan.others} of earlier launches that this one does"
            f" not have. They stay stored, and the report shows the {len(plan.points)} of this"
            " launch alone. For a report of its own, give it another name: name=…",
        )


def print_missing_probes(plan: Plan, console: Console) -> None:
    """Name probes that stored points lack and the report would silently leave out."""
    names = sorted({name for lacking in plan.unprobed.values() for name in lacking})
    if names and not plan.settings.reprobe:
        points = f"{len(plan.unprobed)} stored point{'s' if len(plan.unprobed) > 1 else ''}"
        print_line(
            console,
            f"note: {points} without probe {', '.join(names)} as now configured; reprobe=true"
            " trains them again",
        )
