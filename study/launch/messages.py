"""Messages at the start and at the end of a launch."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console

from study.config.paths import config_dirs
from study.interfaces import Group
from study.launch.console import print_line
from study.launch.describe import print_missing_probes, print_others
from study.launch.plan import Plan
from study.program import command, typed


def command_line() -> str:
    """The running command, quoted for a shell."""
    program = (
        ["python", "-m", "study"]
        if Path(sys.argv[0]).name == "__main__.py"
        else [Path(sys.argv[0]).name]
    )
    return shlex.join([*program, *sys.argv[1:]])


def print_start(plan: Plan, groups: Sequence[Group], console: Console) -> None:
    print_missing_probes(plan, console)
    print_others(plan, console)
    stored = len(plan.points) - len(plan.missing)
    if not plan.missing:
        print_line(
            console, f"{plan.name}: all {stored} points are stored already; nothing to train"
        )
        return
    already = f", {stored} stored already" if stored else ""
    training = f"training {len(plan.missing)} points in {len(groups)} groups"
    print_line(console, f"{plan.name}: {training}{already}")


def print_given_up(given_up: Mapping[str, int], console: Console) -> None:
    for why, points in given_up.items():
        print_line(console, f"{points} points were given up and are missing: {why}", "red")


def print_summary(
    plan: Plan, counts: Mapping[str, int], kept: int, interrupted: bool, console: Console
) -> None:
    """Print the results and the next commands."""
    found = ", ".join(f"{number} {status}" for status, number in counts.items() if number)
    start = "interrupted; " if interrupted else ""
    print_line(
        console, f"{plan.name}: {start}{found} of {len(plan.points)} points in {plan.folder}"
    )
    if kept:
        print_line(console, f"{kept} of the missing points resume from their checkpoints")
    if counts["failed"]:
        print_line(console, f"see why: {command('reports', 'status', str(plan.folder))}")
    if counts["failed"] or counts["missing"]:
        print_line(
            console,
            f"to resume, run the same command; it trains what is missing or failed: {typed()}",
        )
    print_report(plan, console)


def print_report(plan: Plan, console: Console) -> None:
    """Print a link to the report, and the command that makes it if it is missing or older."""
    given = config_dirs(sys.argv[1:])
    folders = [folder for folder in given if (Path(folder) / "section").is_dir()]
    # The report needs the folder for the user's own sections.
    options = ["--config-dir", folders[-1]] if folders else []
    render = command("reports", "render", str(plan.folder), *options)
    page = plan.folder / "report.html"
    if not page.is_file():
        print_line(console, f"report: {render}")
        return
    print_line(console, f"report: {page.absolute().as_uri()}")
    if plan.missing or plan.others:  # with others, a page may show more points than this launch
        print_line(console, f"it is older than this launch; to render it again: {render}")
