"""Run a plan: declare the study, train missing points, log results, print a summary."""

from __future__ import annotations

import contextlib
import datetime
import json
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Console

from study.launch.console import LaunchConsole, logged, note, open_log, print_line
from study.launch.declaration import declaration
from study.launch.describe import SHOWN, print_data_warnings, show
from study.launch.estimate import note_times
from study.launch.messages import command_line, print_given_up, print_start, print_summary
from study.launch.plan import Plan, check_sources
from study.launch.share import Shared
from study.launch.trackers import Trackers
from study.machine.processes import warm
from study.machine.provenance import code, relative
from study.program import typed
from study.records import StudyError
from study.store import Store
from study.store.leases import STUDY, Leases
from study.training.checkpoints import Checkpoints

OK, SOME_FAILED, NOTHING_RAN, INTERRUPTED = 0, 1, 2, 130


def prepare(config: Mapping[str, Any]) -> None:
    """Start importing the modules that workers need while the plan is being made."""
    if not config["plan"]:
        ours = [target for target in _targets(config) if target.startswith("study.")]
        warm(sorted({target.rpartition(".")[0] for target in ours}))


def _targets(node: Any) -> Iterator[str]:
    if isinstance(node, Mapping):
        if isinstance(target := node.get("_target_"), str):
            yield target
        for value in node.values():
            yield from _targets(value)


def run(plan: Plan) -> int:
    """Train the missing points of a plan and return the exit status.

    0: every point has a result; 1: some failed; 2: none has a result; 130: interrupted.
    """
    console = LaunchConsole()
    store = Store(plan.folder)
    fingerprint = plan.fingerprint()
    store.check_mine(fingerprint)
    if plan.settings.plan_only:
        show(plan, console)
        return OK
    with logged(console):
        try:
            with Leases(plan.folder, plan.settings.store.lease_seconds) as leases:
                return carry_out(plan, store, fingerprint, leases, console)
        except OSError as error:
            raise StudyError(
                f"{error.filename or plan.folder}: {error.strerror or error}. Finished points are"
                " kept; the same command resumes"
            ) from error


def carry_out(
    plan: Plan, store: Store, fingerprint: Mapping[str, Any], leases: Leases, console: Console
) -> int:
    note(console, f"launch {leases.id}: {typed()}")
    executor = plan.executor
    if changed := check_sources(plan):
        print_line(console, f"note: {changed}")
    if plan.missing and (warning := executor.ready(plan.folder)):
        print_line(console, warning, "yellow")
    print_data_warnings(plan, console)
    with leases.alone(STUDY):
        store.check_mine(fingerprint)  # another launch may have been first
        recorded = declare(store, plan, fingerprint, getattr(executor, "workers", 1), leases.id)
    open_log(console, plan.folder)  # not before: a study's folder begins with study.json
    store.tidy(leases.busy())
    set_aside(plan, store, leases, console)
    shared = Shared(plan, executor, store, leases, console)
    start = time.monotonic()
    interrupted = train_and_track(plan, store, shared, console)
    counts = count(store, plan)
    checkpoints = Checkpoints(plan.folder)
    with contextlib.suppress(OSError):  # read-only by now: the next launch tidies up
        # Left by a launch that was killed, or whose points another one took over.
        checkpoints.tidy(set(store.ids()) - leases.busy())
        store.tidy(leases.busy())
    facts = {"seconds": time.monotonic() - start, **counts} if recorded else {}
    close(store, leases, console, **facts)
    print_given_up(shared.given_up, console)
    kept = len(checkpoints.updates(point.id for point in plan.points))
    print_summary(plan, counts, kept, interrupted, console)
    return INTERRUPTED if interrupted else exit_status(counts)


def train_and_track(plan: Plan, store: Store, shared: Shared, console: Console) -> bool:
    """Train missing points while trackers log results; return whether Ctrl-C ended it."""
    settings = plan.settings
    trackers = Trackers(
        settings.trackers, plan.name, plan.folder, console, settings.store.tracker_seconds
    )
    interrupted = False
    try:
        stored = [id for id in (point.id for point in plan.points) if _has_result(plan, id)]
        trackers.send(store, stored)
        print_start(plan, shared.groups, console)
        groups, trained = list(shared.groups), list[str]()
        with contextlib.closing(shared.train(trackers.update)) as stored_ids:
            for ids in stored_ids:
                trackers.send(store, ids)
                trained += ids
    except KeyboardInterrupt:
        interrupted = True
    trackers.close(now=interrupted)
    if not interrupted and groups and not shared.given_up:
        note_times(store, groups, trained, getattr(shared.executor, "workers", 1), settings.device)
    return interrupted


def _has_result(plan: Plan, id: str) -> bool:
    return plan.stored.get(id) not in (None, "failed")


def exit_status(counts: Mapping[str, int]) -> int:
    """OK if every point has a result, NOTHING_RAN if none has, else SOME_FAILED."""
    if not counts["failed"] and not counts["missing"]:
        return OK
    results = counts["done"] + counts["diverged"] + counts["pruned"]
    return SOME_FAILED if results else NOTHING_RAN


def close(store: Store, leases: Leases, console: Console, **facts: Any) -> None:
    """Write the files that can be rebuilt; a full disk only causes a warning."""
    try:
        with leases.alone(STUDY):
            store.write_points_table()
            if facts:
                store.finish_launch(leases.id, **facts)
    except OSError as error:
        print_line(
            console,
            "warning: points.parquet and study.json cannot be written and stay as before"
            f" ({error.strerror or error})",
            "yellow",
        )


def set_aside(plan: Plan, store: Store, leases: Leases, console: Console) -> None:
    """Move damaged points aside to train them again, unless another launch has leased them."""
    moved = []
    for id in plan.damaged:
        if leases.take(id):
            if store.has(id) and store.damage(id) is not None:
                moved.append(f"{id} ({plan.damaged[id]})")
                store.set_aside(id)
            leases.release([id])
    for name, why in store.unreadable().items():  # its points are unknown and count as missing
        with leases.alone(name.replace("/", "-")):
            if store.has(name):
                moved.append(f"{name} ({why})")
                store.set_aside(name)
    if moved:
        more = f" and {len(moved) - SHOWN} more" if len(moved) > SHOWN else ""
        print_line(
            console,
            f"{len(moved)} stored points are damaged and will be trained again; their files are now"
            f" in {store.aside}: {', '.join(moved[:SHOWN])}{more}",
            "yellow",
        )


def declare(
    store: Store, plan: Plan, fingerprint: Mapping[str, Any], workers: int, id: str
) -> bool:
    """Write study.json. False, and it stays as it is, if this launch trains nothing and the last
    one declared the same by the same code: repeating a command leaves a study and its page alone.
    """
    launch = {
        "id": id,
        "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "command": plan.command or relative(command_line(), plan.folder),
        **code(),
        "workers": workers,
        "device": plan.settings.device,
        "planned": len(plan.points),
        "stored_before": len(plan.points) - len(plan.missing),
    }
    study = {
        "name": plan.name,
        "experiment": plan.experiment,
        "title": plan.settings.study.title,
        "question": plan.settings.study.question,
        "fingerprint": fingerprint,
        "declaration": declaration(plan),
    }
    if not plan.missing and _declared(store, study, launch):
        return False
    store.declare(study, launch)
    return True


def _declared(store: Store, study: Mapping[str, Any], launch: Mapping[str, Any]) -> bool:
    if store.study_damage():
        return False
    before = store.study()
    last = before["launches"][-1] if before["launches"] else {}
    same = ("device", "planned", "git", "versions")
    return (
        last.get("seconds") is not None
        and all(before.get(key) == value for key, value in _as_stored(study).items())
        and all(last.get(key) == value for key, value in _as_stored(launch).items() if key in same)
    )


def _as_stored(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values as they are read again from JSON."""
    stored: dict[str, Any] = json.loads(json.dumps(values, default=str))
    return stored


def count(store: Store, plan: Plan) -> dict[str, int]:
    """Points of this plan by status."""
    statuses = Counter(store.status(point.id) or "missing" for point in plan.points)
    return {
        status: statuses.get(status, 0)
        for status in ("done", "diverged", "pruned", "failed", "missing")
    }
