"""Messages of a launch: what it starts with, and what came out."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console

from study.config.paths import config_dirs
from study.interfaces import Group
from study.launch.describe import say_unprobed
from study.launch.plan import Plan
from study.launch.say import say


def typed() -> str:
    """The command as typed."""
    program = (
        ["python", "-m", "study"]
        if Path(sys.argv[0]).name == "__main__.py"
        else [Path(sys.argv[0]).name]
    )
    return shlex.join([*program, *sys.argv[1:]])


def say_start(plan: Plan, groups: Sequence[Group], console: Console) -> None:
    say_unprobed(plan, console)
    stored = len(plan.points) - len(plan.missing)
    if not plan.missing:
        say(console, f"{plan.name}: all {stored} points are stored already; nothing to train")
        return
    already = f", {stored} stored already" if stored else ""
    training = f"training {len(plan.missing)} points in {len(groups)} groups"
    say(console, f"{plan.name}: {training}{already}")


def say_given_up(given_up: Mapping[str, int], console: Console) -> None:
    for why, points in given_up.items():
        say(console, f"{points} points were not tried any more and are missing: {why}", "red")


def say_end(
    plan: Plan, counts: Mapping[str, int], kept: int, interrupted: bool, console: Console
) -> None:
    """What came out, and the next commands."""
    found = ", ".join(f"{number} {status}" for status, number in counts.items() if number)
    start = "interrupted; " if interrupted else ""
    say(console, f"{plan.name}: {start}{found} of {len(plan.points)} points in {plan.folder}")
    if kept:
        say(console, f"{kept} of the missing points resume from their checkpoints")
    if counts["failed"]:
        say(console, f"see why: python -m reports status {plan.folder}")
    if counts["failed"] or counts["missing"]:
        say(
            console,
            f"to resume, run the same command; it trains what is missing or failed: {typed()}",
        )
    own = [folder for folder in config_dirs(sys.argv[1:]) if (Path(folder) / "section").is_dir()]
    # Without it the report would lack the user's own sections.
    option = f" --config-dir {shlex.quote(own[-1])}" if own else ""
    say(console, f"report: python -m reports render {plan.folder}{option}")
