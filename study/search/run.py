"""Carry out a search: open its storage, start workers, tell trackers, write what was found.

A table of contents.
"""

from __future__ import annotations

import contextlib
import shlex
import sys
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from study.config.build import build
from study.config.compose import Composed, select
from study.config.paths import config_dirs
from study.config.settings import Settings
from study.config.setup import set_up
from study.launch.messages import typed
from study.launch.run import INTERRUPTED, NOTHING_RAN, OK, SOME_FAILED
from study.launch.trackers import Trackers
from study.machine.processes import start
from study.machine.provenance import relative
from study.records import StudyError
from study.search.arms import open_arms
from study.search.elsewhere import Elsewhere
from study.search.findings import gains, summary, tables
from study.search.planning import Asks, default
from study.search.slots import Slots
from study.search.space import show
from study.search.spec import Spec, held, trial_name
from study.search.storage import JOURNAL, journal_file, lost, open_storage, without_password
from study.search.tuned import experiment, experiment_path, tuned_name
from study.search.worker import work
from study.store import Store
from study.store.atomic import write_whole
from study.store.search import SearchStore
from study.training.groups import cost
from study.workers.remote import Remote

QUIET_SECONDS = 10.0  # between plain lines of progress
MOST_DEATHS = (
    10  # of worker processes in one launch, after which something is wrong with all of them
)


@dataclass
class Process:
    process: BaseProcess
    connection: Connection
    number: int


def run(spec: Spec, asks: Asks, settings: Settings, console: Console) -> int:
    """Exit status: 0 the budget is spent and every arm has a best trial, 1 some arm has none, 2
    none has, 130 interrupted.
    """
    executor = build(settings.executor, "executor")
    elsewhere = Elsewhere(spec, executor) if isinstance(executor, Remote) else None
    count = elsewhere.workers if elsewhere else workers(spec, settings)
    if settings.plan_only:
        say_plan(spec, asks, count, console)
        if elsewhere:
            console.print(
                f"as {elsewhere.jobs} jobs of {executor.each()}, each the same command with"
                " executor=local",
                highlight=False,
            )
        return OK
    with lost(spec.settings.storage):
        return carry_out(spec, asks, settings, elsewhere, count, console)


def carry_out(
    spec: Spec,
    asks: Asks,
    settings: Settings,
    elsewhere: Elsewhere | None,
    count: int,
    console: Console,
) -> int:
    if elsewhere:
        spec.search_folder.mkdir(parents=True, exist_ok=True)
        told = elsewhere.executor.ready(spec.folder)
        console.print(
            told or "", end="\n" if told else "", markup=False, highlight=False, style="yellow"
        )
    storage = open_storage(spec.settings.storage, spec.search_folder)
    slots = open_arms(spec, storage)
    for of in slots:
        of.fill()
    say_start(spec, asks, slots, count, console)
    store = Store(spec.search_folder)
    trackers = Trackers(
        settings.trackers, spec.name, spec.folder, console, settings.store.tracker_seconds
    )
    interrupted, begun = False, time.monotonic()
    try:
        hear(
            trackers,
            store,
            recorded(spec, store),
            marked=bests(SearchStore(spec.search_folder).summary()),
        )
        if elsewhere:
            follow(elsewhere, spec, slots, console)
        for name in () if elsewhere else events(spec, slots, count, console):
            hear(trackers, store, [name])
    except KeyboardInterrupt:
        interrupted = True
    finally:
        found = finish(spec, asks, slots, settings)
    if found[
        "complete"
        # what was the best of a smaller budget may be it no longer: a tracker is told what has
        # changed
    ]:
        hear(trackers, store, recorded(spec, store), marked=bests(found))
    trackers.close(now=interrupted)
    return say_end(spec, found, interrupted, time.monotonic() - begun, console)


def workers(spec: Spec, settings: Settings) -> int:
    """Processes on this machine: the executor's, and on GPUs as many times as trials share one.

    No more than trials.
    """
    executor = build(settings.executor, "executor")
    if not isinstance(getattr(executor, "workers", None), int):
        raise StudyError(
            "executor: a search runs on this machine's cores or GPUs (executor=local); start it on"
            " each machine with search.storage=postgresql://…"
        )
    shared = (
        spec.settings.per_gpu
        if settings.device == "cuda" and executor.workers == torch.cuda.device_count()
        else 1
    )
    return max(1, min(executor.workers * shared, spec.settings.trials * len(spec.arms)))


# --- processes ------------------------------------------------------------------------------------


def events(spec: Spec, slots: Sequence[Slots], count: int, console: Console) -> Iterator[str]:
    """Names of trials as they are recorded, until every slot is over.

    Workers that die are replaced.
    """
    if all(of.over() for of in slots):
        return
    running = [_start(spec, number) for number in range(count)]
    progress, deaths = Told(spec, slots, console), 0
    try:
        while running:
            ready = wait([one.connection for one in running])
            for one in [one for one in running if one.connection in ready]:
                try:
                    event = one.connection.recv()
                except (EOFError, OSError):
                    one.process.join()
                    running.remove(one)
                    deaths += 1
                    console.print(
                        f"a worker process died (exit status {one.process.exitcode}); its trial is"
                        " tried again",
                        style="yellow",
                        highlight=False,
                    )
                    if deaths > MOST_DEATHS:
                        raise StudyError(
                            f"search: {deaths} worker processes died; out of memory is the usual"
                            " cause"
                        ) from None
                    running.append(_start(spec, one.number))
                    continue
                if event["event"] in ("over", "broken"):
                    running.remove(one)
                    one.process.join()
                    if event["event"] == "broken":
                        console.print(
                            f"a worker gave up: {without_password(event['reason'])}",
                            style="red",
                            markup=False,
                        )
                progress.hear(event)
                if event["event"] == "stored" and event["record"]:
                    yield event["name"]
    finally:
        for one in running:
            one.process.terminate()
        for one in running:
            one.process.join()
        for of in slots if not running else ():
            if of.over():
                of.tidy()


def follow(elsewhere: Elsewhere, spec: Spec, slots: Sequence[Slots], console: Console) -> None:
    """Other machines search; what they have done is told from the database.

    Trackers hear of trials where they are tried.
    """
    progress = Told(spec, slots, console)
    with contextlib.closing(elsewhere.events(slots, console)) as heard:  # type: ignore[type-var]
        for event in heard:
            done = sum(slot.over for of in slots for slot in of.slots()) - progress.before
            if done != progress.trials or time.monotonic() - progress.said > QUIET_SECONDS:
                progress.trials = done
                progress.hear(event)


def _start(spec: Spec, number: int) -> Process:
    process, connection = start(work, number, spec)
    return Process(process, connection, number)


class Told:
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


# --- trackers -------------------------------------------------------------------------------------


def hear(
    trackers: Trackers, store: Store, names: Sequence[str], *, marked: Collection[str] = ()
) -> None:
    """Tell every tracker of trials that this machine has recorded; those `marked` are the best of
    their arms.
    """
    for name in names:
        trackers.hear(store, [name], ["search", "best"] if name in marked else ["search"])


def recorded(spec: Spec, store: Store) -> list[str]:
    """Trials of this search's arms that this machine has recorded."""
    mine = {trial_name(arm.name, 0).partition("-")[0] for arm in spec.arms}
    return [name for name in store.ids() if name.partition("-")[0] in mine]


def bests(found: Mapping[str, Any] | None) -> set[str]:
    """Names of the best trials of a summary; none before its search is complete."""
    if found is None or not found["complete"]:
        return set()
    return {trial_name(arm["arm"], arm["best"]["trial"]) for arm in found["arms"] if arm["best"]}


# --- results --------------------------------------------------------------------------------------


def finish(spec: Spec, asks: Asks, slots: Sequence[Slots], settings: Settings) -> dict[str, Any]:
    """Tables and summary as things stand, and the experiment once every arm is over.

    Returns the summary.
    """
    found = summary(spec, slots)
    composed = default(spec, spec.arms[0])
    found["held"] = {key: _level(composed, key) for key in asks.held}
    found["command"] = without_password(relative(typed(), spec.folder))
    for arm, told in zip(spec.arms, found["arms"], strict=True):
        for setting in filter(None, (told["default"], told["best"])):
            batch = setting["setting"].get("batch", default(spec, arm).config["batch"])
            setting["held"] = held(arm.full, arm.between, batch)
    SearchStore(spec.search_folder).write(found, tables(spec, slots))
    if found["complete"] and any(arm["best"] for arm in found["arms"]):
        study = settings.study
        text, path = (
            experiment(spec, asks, found, study.title, study.question),
            experiment_path(spec),
        )
        path.parent.mkdir(exist_ok=True)
        write_whole(path, lambda partial: partial.write_text(text, encoding="utf-8"))
    return found


def _level(composed: Composed, key: str) -> Any:
    value = composed.labels.get(key)
    return select(composed.config, key) if value is None else value


# --- words ----------------------------------------------------------------------------------------


def say_plan(spec: Spec, asks: Asks, count: int, console: Console) -> None:
    """plan=true: space, budget, arms, time."""
    table = Table("key", "space", "default", title=f"search {spec.name}", title_justify="left")
    for key, distribution in spec.space.items():
        table.add_row(key, show(distribution), str(spec.arms[0].default[key]))
    console.print(table)
    for key in asks.held:
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


def say_start(spec: Spec, asks: Asks, slots: Sequence[Slots], count: int, console: Console) -> None:
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
    for key in asks.held:
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
