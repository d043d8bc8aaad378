"""Run a plan: declare, train what is missing, hand results to trackers, say what came out.

A table of contents.
"""

from __future__ import annotations

import contextlib
import datetime
import shlex
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from study.config.build import build
from study.config.paths import config_dirs
from study.interfaces import Executor, Group
from study.launch.plan import SHOWN, Plan, declaration, say_unprobed, show
from study.launch.share import Shared
from study.launch.trackers import Trackers
from study.machine.processes import warm
from study.machine.provenance import code, relative
from study.records import StudyError
from study.store import Store
from study.store.leases import STUDY, Leases
from study.training.checkpoints import Checkpoints

OK, SOME_FAILED, NOTHING_RAN, INTERRUPTED = 0, 1, 2, 130


def prepare(config: Mapping[str, Any]) -> None:
    """While the plan is still to be made: let what processes will need be imported, that is the
    modules of the tool's own pieces that are chosen.
    """
    if not config["plan"]:
        warm(
            sorted(
                {
                    target.rpartition(".")[0]
                    for target in _targets(config)
                    if target.startswith("study.")
                }
            )
        )


def _targets(node: Any) -> Iterator[str]:
    if isinstance(node, Mapping):
        if isinstance(target := node.get("_target_"), str):
            yield target
        for value in node.values():
            yield from _targets(value)


def run(plan: Plan) -> int:
    """Carry out a plan; returns the exit status: 0 every point has a result, 1 some failed, 2 none
    could run, 130 interrupted.
    """
    console = Console(soft_wrap=True)
    store = Store(plan.folder)
    fingerprint = plan.fingerprint()
    store.check_mine(fingerprint)
    if plan.settings.plan_only:
        show(plan, console)
        return OK
    try:
        with Leases(plan.folder, plan.settings.store.lease_seconds) as leases:
            return carry_out(plan, store, fingerprint, leases, console)
    except OSError as error:
        raise StudyError(
            f"{error.filename or plan.folder}: {error.strerror or error}. What is stored is whole;"
            " the same command goes on"
        ) from error


def carry_out(
    plan: Plan, store: Store, fingerprint: Mapping[str, Any], leases: Leases, console: Console
) -> int:
    executor: Executor = build(plan.settings.executor, "executor")
    told = executor.ready(plan.folder) if plan.missing else None
    if told:
        console.print(told, markup=False, highlight=False, style="yellow")
    with leases.alone(STUDY):
        store.check_mine(fingerprint)  # another launch may have been first
        declare(store, plan, fingerprint, getattr(executor, "workers", 1), leases.id)
    store.tidy(leases.busy())
    set_aside(plan, store, leases, console)
    shared = Shared(plan, executor, store, leases, console)
    trackers = Trackers(
        plan.settings.trackers, plan.name, plan.folder, console, plan.settings.store.tracker_seconds
    )
    start = time.monotonic()
    interrupted = False
    try:
        trackers.send(
            store,
            [
                point.id
                for point in plan.points
                if plan.stored.get(point.id) not in (None, "failed")
            ],
        )
        say_start(plan, shared.groups, console)
        with contextlib.closing(shared.train()) as landing:
            for ids in landing:
                trackers.send(store, ids)
    except KeyboardInterrupt:
        interrupted = True
    trackers.close(now=interrupted)
    counts = count(store, plan)
    checkpoints = Checkpoints(plan.folder)
    with contextlib.suppress(OSError):  # read-only by now: the next launch tidies up
        # a launch that was taken over, or killed, may have left some
        checkpoints.tidy(set(store.ids()) - leases.busy())
        store.tidy(leases.busy())
    close(store, leases, console, seconds=time.monotonic() - start, **counts)
    say_given_up(shared.given_up, console)
    kept = len(checkpoints.updates(point.id for point in plan.points))
    say_end(plan, counts, kept, interrupted, console)
    if interrupted:
        return INTERRUPTED
    if counts["failed"] or counts["missing"]:
        return (
            NOTHING_RAN
            if counts["done"] + counts["diverged"] + counts["pruned"] == 0
            else SOME_FAILED
        )
    return OK


def close(store: Store, leases: Leases, console: Console, **facts: Any) -> None:
    """What is written last and can be made again; a full disk must not hide what came out."""
    try:
        with leases.alone(STUDY):
            store.write_points_table()
            store.finish_launch(leases.id, **facts)
    except OSError as error:
        console.print(
            "warning: points.parquet and study.json are as before, they cannot be written"
            f" ({error.strerror or error})",
            markup=False,
            style="yellow",
        )


def set_aside(plan: Plan, store: Store, leases: Leases, console: Console) -> None:
    """Damaged points make room, and are trained again; those that another launch has are its own
    affair.
    """
    moved = []
    for id in plan.damaged:
        if leases.take(id):
            if store.has(id) and store.damage(id) is not None:
                moved.append(f"{id} ({plan.damaged[id]})")
                store.set_aside(id)
            leases.release([id])
    for name, why in store.unreadable().items():  # its points are not known, and count as missing
        with leases.alone(name.replace("/", "-")):
            if store.has(name):
                moved.append(f"{name} ({why})")
                store.set_aside(name)
    if moved:
        more = f" and {len(moved) - SHOWN} more" if len(moved) > SHOWN else ""
        told = f"{', '.join(moved[:SHOWN])}{more}"
        console.print(
            f"{len(moved)} stored points are damaged and trained again, what was there is in"
            f" {store.aside}: {told}",
            markup=False,
            style="yellow",
        )


def declare(
    store: Store, plan: Plan, fingerprint: Mapping[str, Any], workers: int, id: str
) -> None:
    launch = {
        "id": id,
        "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "command": relative(typed(), plan.folder),
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
    store.declare(study, launch)


def typed() -> str:
    """The command as typed."""
    program = (
        ["python", "-m", "study"]
        if Path(sys.argv[0]).name == "__main__.py"
        else [Path(sys.argv[0]).name]
    )
    return shlex.join([*program, *sys.argv[1:]])


def count(store: Store, plan: Plan) -> dict[str, int]:
    """Points of this plan by status."""
    statuses = Counter(store.status(point.id) or "missing" for point in plan.points)
    return {
        status: statuses.get(status, 0)
        for status in ("done", "diverged", "pruned", "failed", "missing")
    }


def say_start(plan: Plan, made: Sequence[Group], console: Console) -> None:
    say_unprobed(plan, console)
    there = len(plan.points) - len(plan.missing)
    if not plan.missing:
        console.print(
            f"{plan.name}: all {there} points are stored already; nothing to train",
            highlight=False,
            markup=False,
        )
    else:
        already = f", {there} stored already" if there else ""
        console.print(
            f"{plan.name}: training {len(plan.missing)} points in {len(made)} groups{already}",
            highlight=False,
            markup=False,
        )


def say_given_up(given_up: Mapping[str, int], console: Console) -> None:
    for why, points in given_up.items():
        console.print(
            f"{points} points were not tried any more and are missing: {why}",
            style="red",
            highlight=False,
            markup=False,
        )


def say_end(
    plan: Plan, counts: Mapping[str, int], kept: int, interrupted: bool, console: Console
) -> None:
    told = ", ".join(f"{number} {status}" for status, number in counts.items() if number)
    console.print(
        f"{plan.name}: {'interrupted; ' if interrupted else ''}{told} of {len(plan.points)} points"
        f" in {plan.folder}",
        highlight=False,
        markup=False,
    )
    if kept:
        console.print(
            f"{kept} of the missing points go on from their checkpoints",
            highlight=False,
            markup=False,
        )
    if counts["failed"]:
        console.print(
            f"see why: python -m reports status {plan.folder}", highlight=False, markup=False
        )
    if counts["failed"] or counts["missing"]:
        console.print(
            f"go on with the same command, it trains what is missing or failed: {typed()}",
            highlight=False,
            markup=False,
        )
    own = [folder for folder in config_dirs(sys.argv[1:]) if (Path(folder) / "section").is_dir()]
    # or the report would lack the sections of one's own
    with_own = f" --config-dir {shlex.quote(own[-1])}" if own else ""
    console.print(
        f"report: python -m reports render {plan.folder}{with_own}", highlight=False, markup=False
    )
