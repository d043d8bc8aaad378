"""Run a plan: declare, train what is missing, hand results to trackers, say what came out. A table of contents."""

from __future__ import annotations

import contextlib
import datetime
import shlex
import sys
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from study.checkpoints import Checkpoints
from study.grouping import resolve_device
from study.interfaces import Executor, Group, Tracker
from study.leases import STUDY, Leases
from study.paths import config_dirs
from study.pieces import build
from study.planning import Plan, declaration, say_unprobed, show
from study.provenance import code, relative
from study.sharing import Shared
from study.store import Store

OK, SOME_FAILED, NOTHING_RAN, INTERRUPTED = 0, 1, 2, 130


def run(plan: Plan) -> int:
    """Carry out a plan; returns the exit status: 0 every point has a result, 1 some failed, 2 none could run, 130 interrupted."""
    console = Console(soft_wrap=True)
    store = Store(plan.folder)
    fingerprint = plan.fingerprint()
    store.check_mine(fingerprint)
    if plan.config["plan"]:
        show(plan, console)
        return OK
    with Leases(plan.folder, plan.config["store"]["lease_seconds"]) as leases:
        return carry_out(plan, store, fingerprint, leases, console)


def carry_out(plan: Plan, store: Store, fingerprint: Mapping[str, Any], leases: Leases, console: Console) -> int:
    executor: Executor = build(plan.config["executor"], "executor")
    told = executor.ready(plan.folder) if plan.missing else None
    if told:
        console.print(told, markup=False, highlight=False, style="yellow")
    with leases.alone(STUDY):
        store.check_mine(fingerprint)  # another launch may have been first
        declare(store, plan, fingerprint, getattr(executor, "workers", 1), leases.id)
    store.tidy(leases.busy())
    shared = Shared(plan, executor, store, leases, console)
    trackers = Trackers(plan.config["tracker"], plan.name, plan.folder, console)
    start = time.monotonic()
    interrupted = False
    try:
        trackers.hear(store, [point.id for point in plan.points if plan.stored.get(point.id) not in (None, "failed")])
        say_start(plan, shared.made, console)
        with contextlib.closing(shared.train()) as landing:
            for ids in landing:
                trackers.hear(store, ids)
    except KeyboardInterrupt:
        interrupted = True
    trackers.close()
    counts = count(store, plan)
    checkpoints = Checkpoints(plan.folder)
    checkpoints.tidy(set(store.ids()) - leases.busy())  # a launch that was taken over, or killed, may have left some
    store.tidy(leases.busy())
    with leases.alone(STUDY):
        store.write_points_table()
        store.finish_launch(leases.id, seconds=time.monotonic() - start, **counts)
    say_given_up(shared.given_up, console)
    kept = len(checkpoints.updates(point.id for point in plan.points))
    say_end(plan, counts, kept, interrupted, console)
    if interrupted:
        return INTERRUPTED
    if counts["failed"] or counts["missing"]:
        return NOTHING_RAN if counts["done"] + counts["diverged"] + counts["pruned"] == 0 else SOME_FAILED
    return OK


def declare(store: Store, plan: Plan, fingerprint: Mapping[str, Any], workers: int, id: str) -> None:
    launch = {
        "id": id,
        "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "command": relative(typed(), plan.folder),
        **code(),
        "workers": workers,
        "device": resolve_device(plan.config),
        "planned": len(plan.points),
        "stored_before": len(plan.points) - len(plan.missing),
    }
    study = {
        "name": plan.name,
        "experiment": plan.experiment,
        "title": plan.config["study"].get("title"),
        "question": plan.config["study"].get("question"),
        "fingerprint": fingerprint,
        "declaration": declaration(plan),
    }
    store.declare(study, launch)


def typed() -> str:
    """The command as typed."""
    program = ["python", "-m", "study"] if Path(sys.argv[0]).name == "__main__.py" else [Path(sys.argv[0]).name]
    return shlex.join([*program, *sys.argv[1:]])


class Trackers:
    """The sinks of results. One that raises is switched off with one warning; the study goes on."""

    def __init__(self, nodes: Mapping[str, Any], study: str, folder: Path, console: Console) -> None:
        self.console = console
        self.open: dict[str, Tracker] = {}
        for name, node in nodes.items():
            self._guarded(name, lambda name=name, node=node: self._start(name, node, study, folder))

    def hear(self, store: Store, ids: Iterable[str]) -> None:
        """Tell every tracker of stored points; failed points have nothing to tell."""
        for id in ids:
            if not self.open:
                return
            result = store.result(id)
            if result["row"]["status"] != "failed":
                self.tell(result, store.point_folder(id))

    def tell(self, result: Mapping[str, Any], folder: Path) -> None:
        for name, tracker in list(self.open.items()):
            self._guarded(name, lambda tracker=tracker: tracker.log(result, folder))

    def close(self) -> None:
        for name, tracker in list(self.open.items()):
            self._guarded(name, tracker.close)

    def _start(self, name: str, node: Mapping[str, Any], study: str, folder: Path) -> None:
        tracker: Tracker = build(node, f"tracker.{name}")
        tracker.open(study, folder)
        self.open[name] = tracker

    def _guarded(self, name: str, call: Any) -> None:
        try:
            call()
        except Exception as error:  # a tracker is never a dependency
            self.open.pop(name, None)
            self.console.print(f"warning: tracker {name} is switched off, the study goes on ({type(error).__name__}: {error})", markup=False, style="yellow")


def count(store: Store, plan: Plan) -> dict[str, int]:
    """Points of this plan by status."""
    there = set(store.ids())
    statuses = Counter(str(store.result(point.id)["row"]["status"]) if point.id in there else "missing" for point in plan.points)
    return {status: statuses.get(status, 0) for status in ("done", "diverged", "pruned", "failed", "missing")}


def say_start(plan: Plan, made: Sequence[Group], console: Console) -> None:
    say_unprobed(plan, console)
    there = len(plan.points) - len(plan.missing)
    if not plan.missing:
        console.print(f"{plan.name}: all {there} points are stored already; nothing to train", highlight=False, markup=False)
    else:
        already = f", {there} stored already" if there else ""
        console.print(f"{plan.name}: training {len(plan.missing)} points in {len(made)} groups{already}", highlight=False, markup=False)


def say_given_up(given_up: Mapping[str, int], console: Console) -> None:
    for why, points in given_up.items():
        console.print(f"{points} points were not tried any more and are missing: {why}", style="red", highlight=False, markup=False)


def say_end(plan: Plan, counts: Mapping[str, int], kept: int, interrupted: bool, console: Console) -> None:
    told = ", ".join(f"{number} {status}" for status, number in counts.items() if number)
    console.print(f"{plan.name}: {'interrupted; ' if interrupted else ''}{told} of {len(plan.points)} points in {plan.folder}", highlight=False, markup=False)
    if kept:
        console.print(f"{kept} of the missing points go on from their checkpoints", highlight=False, markup=False)
    if counts["failed"]:
        console.print(f"see why: python -m reports status {plan.folder}", highlight=False, markup=False)
    if counts["failed"] or counts["missing"]:
        console.print(f"go on with the same command, it trains what is missing or failed: {typed()}", highlight=False, markup=False)
    own = [folder for folder in config_dirs(sys.argv[1:]) if (Path(folder) / "section").is_dir()]
    with_own = f" --config-dir {shlex.quote(own[-1])}" if own else ""  # or the report would lack the sections of one's own
    console.print(f"report: python -m reports render {plan.folder}{with_own}", highlight=False, markup=False)
