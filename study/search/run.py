"""Carry out a search: open its storage, start workers, tell trackers, write what was found.

A table of contents.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from rich.console import Console

from study.config.build import build
from study.config.settings import Settings
from study.launch.messages import command_line
from study.launch.run import OK
from study.launch.trackers import Trackers
from study.machine.provenance import relative
from study.search.arms import open_arms
from study.search.findings import summary, tables
from study.search.messages import _level, say_end, say_plan, say_start
from study.search.planning import SearchRequest, default
from study.search.processes import events, follow, workers
from study.search.remote import RemoteSearch
from study.search.slots import Slots
from study.search.spec import Spec, held, trial_name
from study.search.storage import lost, open_storage, without_password
from study.search.tuned import experiment, experiment_path
from study.store import Store
from study.store.atomic import write_whole
from study.store.search import SearchStore
from study.workers.remote import RemoteExecutor


def run(spec: Spec, request: SearchRequest, settings: Settings, console: Console) -> int:
    """Exit status: 0 the budget is spent and every arm has a best trial, 1 some arm has none, 2
    none has, 130 interrupted.
    """
    executor = build(settings.executor, "executor")
    elsewhere = RemoteSearch(spec, executor) if isinstance(executor, RemoteExecutor) else None
    count = elsewhere.workers if elsewhere else workers(spec, settings)
    if settings.plan_only:
        say_plan(spec, request, count, console)
        if elsewhere:
            console.print(
                f"as {elsewhere.jobs} jobs of {executor.job_size()}, each the same command with"
                " executor=local",
                highlight=False,
            )
        return OK
    with lost(spec.settings.storage):
        return carry_out(spec, request, settings, elsewhere, count, console)


def carry_out(
    spec: Spec,
    request: SearchRequest,
    settings: Settings,
    elsewhere: RemoteSearch | None,
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
    say_start(spec, request, slots, count, console)
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
        study = settings.study
        found = finish(spec, request, slots, title=study.title, question=study.question)
    if found[
        "complete"
        # what was the best of a smaller budget may be it no longer: a tracker is told what has
        # changed
    ]:
        hear(trackers, store, recorded(spec, store), marked=bests(found))
    trackers.close(now=interrupted)
    return say_end(spec, found, interrupted, time.monotonic() - begun, console)


# --- processes ------------------------------------------------------------------------------------


# --- trackers -------------------------------------------------------------------------------------


def hear(
    trackers: Trackers, store: Store, names: Sequence[str], *, marked: Collection[str] = ()
) -> None:
    """Tell every tracker of trials that this machine has recorded; those `marked` are the best of
    their arms.
    """
    for name in names:
        trackers.send(store, [name], ["search", "best"] if name in marked else ["search"])


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


def finish(
    spec: Spec,
    request: SearchRequest,
    slots: Sequence[Slots],
    *,
    title: str | None,
    question: str | None,
) -> dict[str, Any]:
    """Write tables and summary as things stand, and the tuned experiment once every arm is over.

    Returns the summary.
    """
    found = summary(spec, slots)
    composed = default(spec, spec.arms[0])
    found["held"] = {key: _level(composed, key) for key in request.held}
    found["command"] = without_password(relative(command_line(), spec.folder))
    for arm, told in zip(spec.arms, found["arms"], strict=True):
        for setting in filter(None, (told["default"], told["best"])):
            batch = setting["setting"].get("batch", default(spec, arm).config["batch"])
            setting["held"] = held(arm.full, arm.between, batch)
    SearchStore(spec.search_folder).write(found, tables(spec, slots))
    if found["complete"] and any(arm["best"] for arm in found["arms"]):
        text, path = experiment(spec, request, found, title, question), experiment_path(spec)
        path.parent.mkdir(exist_ok=True)
        write_whole(path, lambda partial: partial.write_text(text, encoding="utf-8"))
    return found


# --- words ----------------------------------------------------------------------------------------
