"""Messages of a search: its plan, its progress, what it found, the next commands."""

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
from study.launch.run import INTERRUPTED, NOTHING_RAN, OK, SOME_FAILED
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
    """Lines about trials as they end."""

    def __init__(self, spec: Spec, slots: Sequence[Slots], console: Console) -> None:
        self.console, self.slots, self.begun = console, slots, time.monotonic()
        self.best: dict[str, float] = {}
        self.spec, self.trials, self.said = spec, 0, time.monotonic()
        self.before = sum(slot.over for of in slots for slot in of.slots())

    def hear(self, event: Mapping[str, Any]) -> None:
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
            self.console.print(
                f"trial {name} {kind}: {event['reason']}",
                style="yellow",
                markup=False,
                highlight=False,
            )
        if kind in ("stored", "over") and (
            time.monotonic() - self.said > QUIET_SECONDS or self.trials == 1
        ):
            self.said = time.monotonic()
            total = sum(len(of.slots()) for of in self.slots)
            done, spent = self.before + self.trials, self.said - self.begun
            left = (
                f", about {spent * (total - done) / self.trials:.0f} s left"
                if self.trials > 1 and total > done
                else ""
            )
            best = (
                max(self.best.values(), default=None)
                if self.spec.higher_is_better
                else min(self.best.values(), default=None)
            )
            told = "" if best is None else f", best {best:.4g}"
            self.console.print(
                f"{done}/{total} trials after {spent:.0f} s{told}{left}",
                highlight=False,
                markup=False,
            )


def _level(composed: Combination, key: str) -> Any:
    value = composed.labels.get(key)
    return select(composed.config, key) if value is None else value


def say_plan(spec: Spec, request: SearchRequest, count: int, console: Console) -> None:
    """plan=true: space, budget, arms, time."""
    table = Table("key", "space", "default", title=f"search {spec.name}", title_justify="left")
    for key, distribution in spec.space.items():
        table.add_row(key, show(distribution), str(spec.arms[0].default[key]))
    console.print(table)
    for key in request.held:
        console.print(
            f"held at its default: {key}={_level(default(spec, spec.arms[0]), key)} (it is in"
            " neither search.per nor the space)",
            markup=False,
        )
    settings, arm = spec.settings, spec.arms[0]
    told = f"{len(spec.arms)} arms × {settings.trials} trials × {arm.examples:,} examples"
    console.print(
        f"{told}{f' × {settings.replicates} seeds' if settings.replicates > 1 else ''}",
        highlight=False,
    )
    seconds = (
        sum(cost(set_up(default(spec, arm).config)) for arm in spec.arms)
        * settings.trials
        * settings.replicates
        / count
    )
    console.print(
        f"about {seconds / 60:.0f} min on {count} workers at the cost of the default setting, a"
        " rough estimate",
        highlight=False,
    )


def say_start(
    spec: Spec, request: SearchRequest, slots: Sequence[Slots], count: int, console: Console
) -> None:
    there, total = (
        sum(slot.over for of in slots for slot in of.slots()),
        sum(len(of.slots()) for of in slots),
    )
    already = f", {there} stored already" if there else ""
    told = (
        f"search {spec.name}: {len(spec.arms)} arms, {total} trials{already};"
        f" {', '.join(spec.space)} on {count} workers"
    )
    console.print(told, highlight=False, markup=False)
    for key in request.held:
        console.print(
            f"held at its default: {key}={_level(default(spec, spec.arms[0]), key)}",
            highlight=False,
            markup=False,
        )
    if not spec.arms[0].default_inside:
        console.print(
            "the default setting lies outside the space: it is tried first, and no sampler is told"
            " of it",
            style="yellow",
        )


def say_end(
    spec: Spec, found: Mapping[str, Any], interrupted: bool, seconds: float, console: Console
) -> int:
    """What came out, what to type next, and the exit status."""
    table = Table(
        "arm",
        "default",
        "best",
        "setting",
        "trials",
        title=f"search {spec.name}: validation {'score' if spec.higher_is_better else 'error'}",
    )
    for (name, before, after), arm in zip(gains(found), found["arms"], strict=True):
        setting = ", ".join(
            f"{key}={_short(value)}"
            for key, value in (arm["best"] or {"setting": {}})["setting"].items()
        )
        table.add_row(name, _number(before), _number(after), setting, str(arm["trials"]))
    console.print(table)
    for arm in found["arms"]:
        for key, edge in (arm["best"] or {"boundary": {}})["boundary"].items():
            console.print(
                f"{arm['arm']}: the best {key} lies at the {edge} end of its space; a wider one may"
                " hold a better",
                style="yellow",
                markup=False,
            )
    finished = sum(arm["trials"] for arm in found["arms"])
    told = f"{finished} trials finished in {seconds:.0f} s"
    console.print(
        f"search {spec.name}: {'interrupted; ' if interrupted else ''}{told}",
        highlight=False,
        markup=False,
    )
    where = (
        journal_file(spec.search_folder)
        if spec.settings.storage == JOURNAL
        else "with the address of search.storage"
    )
    console.print(f"browse the trials: optuna-dashboard {where}", highlight=False, markup=False)
    if interrupted or not found["complete"]:
        console.print("go on with the same command", highlight=False, markup=False)
        return INTERRUPTED if interrupted else SOME_FAILED
    without = [arm["arm"] for arm in found["arms"] if not arm["best"]]
    if len(without) < len(found["arms"]):
        name, folders = (
            tuned_name(spec),
            [
                *(
                    folder
                    for folder in config_dirs(sys.argv[1:])
                    if folder != str(spec.search_folder)
                ),
                str(spec.search_folder),
            ],
        )
        # the experiment may lie in a folder of the user's own
        given = " ".join(f"--config-dir {shlex.quote(folder)}" for folder in folders)
        console.print(
            f"the tuned study: make sweep STUDY={name} ARGS={shlex.quote(given)}",
            highlight=False,
            markup=False,
        )
        console.print(
            f"            or: python -m study -m {given} experiment={name}",
            highlight=False,
            markup=False,
        )
    if without:
        console.print(
            f"no trial of these arms finished: {', '.join(without)}", style="red", markup=False
        )
        return NOTHING_RAN if len(without) == len(found["arms"]) else SOME_FAILED
    return OK


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
