"""Messages of a search: plan, progress, findings, next commands."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from study.config.compose import Combination, select
from study.config.paths import config_dirs
from study.config.setup import set_up
from study.launch.console import print_line
from study.launch.run import INTERRUPTED, NOTHING_RAN, OK, SOME_FAILED
from study.program import training, typed
from study.search.findings import gains
from study.search.planning import SearchRequest, default
from study.search.slots import Slots
from study.search.space import show
from study.search.spec import Spec
from study.search.storage import JOURNAL, journal_file
from study.search.tuned import tuned_name
from study.training.groups import cost

QUIET_SECONDS = 10.0  # between plain lines of progress


class TrialProgress:
    """Prints progress as trials end."""

    def __init__(self, spec: Spec, slots: Sequence[Slots], console: Console) -> None:
        self.console, self.slots, self.started = console, slots, time.monotonic()
        self.best: dict[str, float] = {}
        self.spec, self.trials, self.printed = spec, 0, time.monotonic()
        self.before = sum(slot.over for each in slots for slot in each.slots())

    def receive(self, event: Mapping[str, Any]) -> None:
        kind = event["event"]
        if kind == "stored":
            self.trials += 1
            sign = 1 if self.spec.higher_is_better else -1
            score = event["score"]
            if (
                score is not None
                and event["status"] != "pruned"
                and sign * score > sign * self.best.get(event["arm"], -sign * float("inf"))
            ):
                self.best[event["arm"]] = score
        elif kind in ("failed", "lost", "dropped"):
            name = event.get("name") or f"{event['study']}, trial {event['trial']}"
            print_line(self.console, f"trial {name} {kind}: {event['reason']}", "yellow")
        if kind in ("stored", "over") and (
            time.monotonic() - self.printed > QUIET_SECONDS or self.trials == 1
        ):
            self._print_progress()

    def _print_progress(self) -> None:
        self.printed = time.monotonic()
        total = sum(len(each.slots()) for each in self.slots)
        done, spent = self.before + self.trials, self.printed - self.started
        left = (
            f", about {spent * (total - done) / self.trials:.0f} s left"
            if self.trials > 1 and total > done
            else ""
        )
        better = max if self.spec.higher_is_better else min
        best = f", best {better(self.best.values()):.4g}" if self.best else ""
        print_line(self.console, f"{done}/{total} trials after {spent:.0f} s{best}{left}")


def level_of(combination: Combination, key: str) -> Any:
    """The level or value of a key in a combination."""
    value = combination.labels.get(key)
    return select(combination.config, key) if value is None else value


def _print_held(spec: Spec, request: SearchRequest, console: Console) -> None:
    for key in request.held:
        print_line(
            console,
            f"held at its default: {key}={level_of(default(spec, spec.arms[0]), key)} (it is in"
            " neither search.per nor the space)",
        )
    for key, text in request.ranges.items():
        print_line(
            console,
            f"{key}={text} is {show(spec.space[key])}: as in Hydra, a range ends before its stop,"
            " which hydra-optuna-sweeper would include",
        )
    for key, levels in request.replaced.items():
        print_line(
            console,
            f"{key}: search.space is searched, {show(spec.space[key])}, not the experiment's levels"
            f" {levels}; '{key}=choice({levels})' searches these",
        )


def print_plan(spec: Spec, request: SearchRequest, count: int, console: Console) -> None:
    """Print space, budget, arms and time, as plan=true does; `count`: of workers."""
    table = Table("key", "space", "default", title=f"search {spec.name}", title_justify="left")
    for key, distribution in spec.space.items():
        table.add_row(key, show(distribution), str(spec.arms[0].default[key]))
    console.print(table)
    _print_held(spec, request, console)
    settings = spec.settings
    size = f"{len(spec.arms)} arms × {settings.trials} trials × {spec.arms[0].examples:,} examples"
    seeds = f" × {settings.replicates} seeds" if settings.replicates > 1 else ""
    print_line(console, f"{size}{seeds}")
    seconds = (
        sum(cost(set_up(default(spec, arm).config)) for arm in spec.arms)
        * settings.trials
        * settings.replicates
        / count
    )
    print_line(
        console,
        f"about {seconds / 60:.0f} min on {count} workers at the cost of the default setting, a"
        " rough estimate",
    )


def print_start(
    spec: Spec, request: SearchRequest, slots: Sequence[Slots], count: int, console: Console
) -> None:
    """Print what a search starts with; `count`: of workers."""
    stored = sum(slot.over for each in slots for slot in each.slots())
    total = sum(len(each.slots()) for each in slots)
    already = f", {stored} stored already" if stored else ""
    print_line(
        console,
        f"search {spec.name}: {len(spec.arms)} arms, {total} trials{already};"
        f" {', '.join(spec.space)} on {count} workers",
    )
    _print_held(spec, request, console)
    if not spec.arms[0].default_inside:
        print_line(
            console,
            "the default setting lies outside the space: it is tried first, and not reported to"
            " the sampler",
            "yellow",
        )


def print_summary(
    spec: Spec, found: Mapping[str, Any], interrupted: bool, seconds: float, console: Console
) -> int:
    """Print the findings and the next commands, and return the exit status."""
    console.print(_findings(spec, found))
    for arm in found["arms"]:
        for key, edge in (arm["best"] or {"boundary": {}})["boundary"].items():
            print_line(
                console,
                f"{arm['arm']}: the best {key} lies at the {edge} end of its space; a wider space"
                " may hold a better value",
                "yellow",
            )
    finished = sum(arm["trials"] for arm in found["arms"])
    start = "interrupted; " if interrupted else ""
    print_line(console, f"search {spec.name}: {start}{finished} trials finished in {seconds:.0f} s")
    journal = spec.settings.storage == JOURNAL
    where = journal_file(spec.search_folder) if journal else "with the address of search.storage"
    print_line(console, f"browse the trials: optuna-dashboard {where}")
    if interrupted or not found["complete"]:
        print_line(console, f"to resume, run the same command: {typed()}")
        return INTERRUPTED if interrupted else SOME_FAILED
    without = [arm["arm"] for arm in found["arms"] if not arm["best"]]
    if len(without) < len(found["arms"]):
        _print_tuned_study(spec, console)
    if without:
        print_line(console, f"no trial of these arms finished: {', '.join(without)}", "red")
        return NOTHING_RAN if len(without) == len(found["arms"]) else SOME_FAILED
    return OK


def _findings(spec: Spec, found: Mapping[str, Any]) -> Table:
    """One row per arm: scores of the default and the best setting, and the best setting."""
    title = f"search {spec.name}: validation {'score' if spec.higher_is_better else 'error'}"
    table = Table("arm", "default", "best", "setting", "trials", title=title)
    for (name, before, after), arm in zip(gains(found), found["arms"], strict=True):
        setting = ", ".join(
            f"{key}={_short(value)}"
            for key, value in (arm["best"] or {"setting": {}})["setting"].items()
        )
        table.add_row(name, _number(before), _number(after), setting, str(arm["trials"]))
    return table


def _print_tuned_study(spec: Spec, console: Console) -> None:
    """Print the commands that run the tuned study."""
    own = str(spec.search_folder)
    # The experiment that was searched may be in one of the user's folders.
    folders = [*(folder for folder in config_dirs(sys.argv[1:]) if folder != own), own]
    given = " ".join(f"--config-dir {shlex.quote(folder)}" for folder in folders)
    name = tuned_name(spec)
    tuned = f"{training(many=True)} {given} experiment={name}"
    print_line(console, f"the tuned study: {tuned}")


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
