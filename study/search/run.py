"""Run a search: open its storage, start workers, send trials to trackers, write the findings."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import yaml
from rich.console import Console

from study.config.build import build
from study.config.settings import Settings
from study.launch.console import note, open_log, print_line
from study.launch.messages import command_line
from study.launch.run import OK
from study.launch.trackers import Trackers
from study.machine.provenance import relative
from study.program import typed
from study.search.arms import open_arms
from study.search.findings import summary, tables
from study.search.messages import level_of, print_plan, print_start, print_summary
from study.search.planning import SearchRequest, default
from study.search.processes import events, follow, workers
from study.search.remote import RemoteSearch
from study.search.slots import Slots
from study.search.spec import Spec, held, trial_name
from study.search.storage import open_storage, storage_errors, without_password
from study.search.tuned import experiment, experiment_path
from study.store import Store
from study.store.atomic import write_whole
from study.store.search import SearchStore
from study.workers.remote import RemoteExecutor


def run(spec: Spec, request: SearchRequest, settings: Settings, console: Console) -> int:
    """Run or plan a search, and return the exit status.

    0: the budget is spent and every arm has a best trial; 1: some arm has none; 2: no arm has one;
    130: interrupted.
    """
    executor = build(settings.executor, "executor")
    remote = RemoteSearch(spec, executor) if isinstance(executor, RemoteExecutor) else None
    count = remote.workers if remote else workers(spec, settings)
    if settings.plan_only:
        print_plan(spec, request, count, console)
        if remote:
            print_line(
                console,
                f"as {remote.jobs} jobs of {executor.job_size()}, each the same command with"
                " executor=local",
            )
        return OK
    with storage_errors(spec.settings.storage):
        return carry_out(spec, request, settings, remote, count, console)


def carry_out(
    spec: Spec,
    request: SearchRequest,
    settings: Settings,
    remote: RemoteSearch | None,
    count: int,
    console: Console,
) -> int:
    if remote:
        spec.search_folder.mkdir(parents=True, exist_ok=True)
        if warning := remote.executor.ready(spec.folder):
            print_line(console, warning, "yellow")
    storage = open_storage(spec.settings.storage, spec.search_folder)
    note(console, f"search {spec.name}: {typed()}")
    open_log(console, spec.search_folder)
    slots = open_arms(spec, storage)
    for each in slots:
        each.fill()
    print_start(spec, request, slots, count, console)
    store = Store(spec.search_folder)
    trackers = Trackers(
        settings.trackers, spec.name, spec.folder, console, settings.store.tracker_seconds
    )
    interrupted, started = False, time.monotonic()
    try:
        best = best_trials(SearchStore(spec.search_folder).summary())
        send_to_trackers(trackers, store, recorded(spec, store), marked=best)
        if remote:
            follow(remote, spec, slots, console)
        for name in () if remote else events(spec, slots, count, console):
            send_to_trackers(trackers, store, [name])
    except KeyboardInterrupt:
        interrupted = True
    finally:
        study = settings.study
        found = finish(spec, request, slots, title=study.title, question=study.question)
    if found["complete"]:  # the best trial may have changed since an earlier, smaller budget
        send_to_trackers(trackers, store, recorded(spec, store), marked=best_trials(found))
    trackers.close(now=interrupted)
    return print_summary(spec, found, interrupted, time.monotonic() - started, console)


# --- trackers -------------------------------------------------------------------------------------


def send_to_trackers(
    trackers: Trackers, store: Store, names: Sequence[str], *, marked: Collection[str] = ()
) -> None:
    """Send trials that this machine has stored to every tracker; `marked`: best of their arms."""
    for name in names:
        trackers.send(store, [name], ["search", "best"] if name in marked else ["search"])


def recorded(spec: Spec, store: Store) -> list[str]:
    """Names of the trials of this search's arms that this machine has stored."""
    arms = {trial_name(arm.name, 0).partition("-")[0] for arm in spec.arms}
    return [name for name in store.ids() if name.partition("-")[0] in arms]


def best_trials(found: Mapping[str, Any] | None) -> set[str]:
    """Names of the best trials in a summary; none before the search is complete."""
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
    """Write tables and summary, and once every arm is over the tuned experiment.

    Returns the summary.
    """
    found = summary(spec, slots)
    composed = default(spec, spec.arms[0])
    found["held"] = {key: level_of(composed, key) for key in request.held}
    found["command"] = without_password(relative(command_line(), spec.folder))
    for arm, result in zip(spec.arms, found["arms"], strict=True):
        for setting in filter(None, (result["default"], result["best"])):
            config = default(spec, arm).config
            batch, accumulate = (
                setting["setting"].get(key, config[key]) for key in ("batch", "accumulate")
            )
            setting["held"] = held(arm.full, arm.between, batch * accumulate)
    SearchStore(spec.search_folder).write(found, tables(spec, slots))
    best = [  # as hydra-optuna-sweeper writes it, for each arm
        {"name": arm.study_name, "best_params": one["setting"], "best_value": one["score"]}
        for arm, result in zip(spec.arms, found["arms"], strict=True)
        if (one := result["best"])
    ]
    text = yaml.safe_dump(best, sort_keys=False, allow_unicode=True)
    write_whole(
        spec.search_folder / "optimization_results.yaml",
        lambda partial: partial.write_text(text, encoding="utf-8"),
    )
    if found["complete"] and any(arm["best"] for arm in found["arms"]):
        text, path = experiment(spec, request, found, title, question), experiment_path(spec)
        path.parent.mkdir(exist_ok=True)
        write_whole(path, lambda partial: partial.write_text(text, encoding="utf-8"))
    return found
