"""Measure, say, keep: one table, one JSON, each figure a ratio of seconds of the two sides, in turn
in one run.

    python -m tests.bench [FIGURE …] [--repeats N] [--share 1]

All figures take turns, repeat by repeat, and what is measured is written at once: a figure that
fails, or a run that is ended, loses nothing else. Exit status 1 where a figure failed; a goal that
is not reached is told, and no failure.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import sys
import time
import traceback
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from rich.console import Console
from rich.table import Table

from study.machine.processes import ENVIRONMENT
from study.machine.provenance import code
from study.machine.resources import cores
from tests.bench import (
    cost_a_point,
    end_to_end,
    gpu,
    growth,
    joblib_launcher,
    linear_cells,
    one_by_one,
    own_training,
    probes,
    ray_tune,
    scripts,
    short_points,
    step_by_step,
)
from tests.bench.figure import NotHere, Row, TrialRequest

FIGURES: dict[str, ModuleType] = {
    "scripts": scripts,
    "joblib": joblib_launcher,
    "tune": ray_tune,
    "short_points": short_points,
    "one_by_one": one_by_one,
    "step_by_step": step_by_step,
    "own_training": own_training,
    "linear_cells": linear_cells,
    "probes": probes,
    "end_to_end": end_to_end,
    "cost_a_point": cost_a_point,
    "growth": growth,
    "gpu": gpu,
}
REPEATS = 3


def machine() -> dict[str, Any]:
    """What the figures depend on, without the machine's name."""
    facts = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    model = next(
        (
            line.split(":", 1)[1].strip()
            for line in facts.splitlines()
            if line.startswith("model name")
        ),
        platform.processor(),
    )
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    libraries = {}
    for name in (
        "torch",
        "numba",
        "numpy",
        "wandb",
        "hydra-core",
        "hydra-joblib-launcher",
        "joblib",
        "ray",
    ):
        try:
            libraries[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            libraries[name] = None
    return {
        "cpu": model,
        "cores": cores(),
        "memory_gib": round(memory, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": libraries,
        "git": code()["git"],
        "load_before": os.getloadavg(),
        "environment": ENVIRONMENT,
    }


class Bench:
    """The figures asked for, and what is known of each: rows, or why there are none."""

    def __init__(self, names: list[str], asked: TrialRequest, path: Path) -> None:
        self.asked, self.path, self.facts = (
            asked,
            path,
            {**machine(), "command": " ".join(sys.argv[1:])},
        )
        self.rows: dict[str, dict[str, Row]] = {name: {} for name in names}
        self.without: dict[str, str] = {}  # figure -> why it is not measured
        self.failed: dict[str, str] = {}  # figure -> traceback
        self.took: dict[str, list[float]] = {name: [] for name in names}
        self.more: dict[str, Any] = {}
        self.began = time.monotonic()

    def run(self) -> None:
        for name in self.rows:
            if why := getattr(FIGURES[name], "ready", lambda: None)():
                self.without[name] = why
                self.asked.say(f"{name}: not measured: {why}")
        wanted = {
            name: self.asked.repeats or getattr(FIGURES[name], "REPEATS", REPEATS)
            for name in self.rows
        }
        for repeat in range(max(wanted.values())):
            for name in list(self.rows)[:: 1 if repeat % 2 == 0 else -1]:
                if name not in self.without and name not in self.failed and repeat < wanted[name]:
                    self.measure(name, repeat)
                    self.write()
        self.write()

    def measure(self, name: str, repeat: int) -> None:
        begun = time.monotonic()
        try:
            for of, value in FIGURES[name].measure(self.asked, repeat).items():
                self.rows[name].setdefault(of, Row(of)).values.append(value)
        except NotHere as error:
            self.without[name] = str(error)
        except (Exception, SystemExit) as error:  # the other figures are not its fault
            self.failed[name] = traceback.format_exc()
            self.asked.say(f"{name}: FAILED, the others go on: {type(error).__name__}: {error}")
        self.took[name].append(round(time.monotonic() - begun, 1))
        self.asked.say(
            f"{name}: repeat {repeat + 1} took {self.took[name][-1]:.0f} s;"
            f" {time.monotonic() - self.began:.0f} s so far"
        )

    def write(self) -> None:
        kept = {}
        for name, rows in self.rows.items():
            kept[name] = {
                "title": FIGURES[name].TITLE,
                "took": self.took[name],
                "rows": {of: row.kept(judged=self.asked.share == 1) for of, row in rows.items()},
            }
            kept[name] |= {"not measured": self.without[name]} if name in self.without else {}
            kept[name] |= {"failed": self.failed[name]} if name in self.failed else {}
            kept[name] |= {"more": self.asked.more[name]} if name in self.asked.more else {}
        asked = {
            key: value
            for key, value in vars(self.asked).items()
            if isinstance(value, int | float | None)
        }
        self.path.parent.mkdir(parents=True, exist_ok=True)
        partial, whole = (
            self.path.with_suffix(".partial"),
            {"machine": self.facts, "asked": asked, "figures": kept},
        )
        partial.write_text(json.dumps(whole, indent=1, ensure_ascii=False), encoding="utf-8")
        partial.replace(self.path)
        self.path.with_suffix(".md").write_text(markdown(whole), encoding="utf-8")

    def table(self) -> Table:
        title = (
            f"{self.facts['cpu']}, {self.facts['cores']} cores, load before"
            f" {self.facts['load_before'][0]:.1f}"
        )
        table = Table(
            "figure", "of", "median", "lowest", "highest", "repeats", "goal", "reached", title=title
        )
        for name, rows in self.rows.items():
            told = FIGURES[name].TITLE
            if name in self.without or name in self.failed:
                table.add_row(
                    told,
                    (
                        f"not measured: {self.without[name]}"
                        if name in self.without
                        else f"FAILED: {self.failed[name].splitlines()[-1]}"
                    ),
                )
                told = ""
            for of, row in rows.items():
                kept = row.kept(judged=self.asked.share == 1)
                numbers = [
                    shown(kept[which], kept["unit"]) for which in ("median", "lowest", "highest")
                ]
                table.add_row(
                    told,
                    of,
                    *numbers,
                    str(len(row.values)),
                    kept["goal"] or "",
                    {None: "", True: "yes", False: "NO"}[kept["reached"]],
                )
                told = ""
            table.add_section()
        return table


def markdown(kept: Mapping[str, Any]) -> str:
    """The table in tests/README.md, from bench.json: rows that have a goal, and why others are not
    there.
    """
    lines = [
        "| figure | of | median | lowest to highest | goal | reached |",
        "|---|---|---|---|---|---|",
    ]
    for figure in kept["figures"].values():
        if why := figure.get("not measured") or ("it failed" if "failed" in figure else ""):
            lines.append(f"| {figure['title']} | not measured: {why} | | | | |")
        for of, row in figure["rows"].items():
            if row["goal"]:
                median, lowest, highest = (
                    shown(row[which], row["unit"]) for which in ("median", "lowest", "highest")
                )
                spread = f"{lowest} to {highest}" if len(row["values"]) > 1 else "one repeat"
                lines.append(
                    f"| {figure['title']} | {of} | {median} | {spread} | {row['goal']} |"
                    f" {'' if row['reached'] is None else 'yes' if row['reached'] else '**no**'} |"
                )
    return "\n".join(lines) + "\n"


def shown(value: float, unit: str) -> str:
    number = f"{value:.0f}" if value >= 100 else f"{value:.3g}" if value >= 2 else f"{value:.3f}"
    return number if unit == "×" else f"{number} {unit}"


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="make bench BENCH=…",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "figures", nargs="*", metavar="FIGURE", help=f"{', '.join(FIGURES)}; all if none is named"
    )
    parser.add_argument(
        "--repeats", type=int, default=None, help=f"instead of each figure's own, at most {REPEATS}"
    )
    parser.add_argument(
        "--members",
        type=int,
        default=None,
        help="networks trained together, instead of each figure's own",
    )
    parser.add_argument(
        "--share",
        type=float,
        default=1.0,
        help=(
            "of the points (scripts, joblib, tune, short_points, end_to_end) or of the updates, on"
            " both sides"
        ),
    )
    parser.add_argument(
        "--thin",
        type=int,
        default=18,
        help=(
            "others' commands are given every so-manieth point of those, and their time is scaled;"
            " 1: all"
        ),
    )
    parser.add_argument("--points", type=int, default=10_000, help="most points of cost_a_point")
    parser.add_argument("--json", type=Path, default=Path("outputs/bench/bench.json"))
    asked = parser.parse_args()
    if wrong := [name for name in asked.figures if name not in FIGURES]:
        parser.error(f"no such figure: {', '.join(wrong)}; there are {', '.join(FIGURES)}")
    if (
        not 0 < asked.share <= 1
        or (asked.repeats is not None and asked.repeats < 1)
        or asked.thin < 1
        or asked.points < 50
    ):
        parser.error(
            "--share must be above 0 and at most 1, --repeats and --thin at least 1, --points at"
            " least 50"
        )
    # read when a process starts
    if any(os.environ.get(name) != value for name, value in ENVIRONMENT.items()):
        os.execve(
            sys.executable,
            [sys.executable, "-m", "tests.bench", *sys.argv[1:]],
            {**os.environ, **ENVIRONMENT},
        )

    def say(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    what = TrialRequest(
        asked.repeats, asked.members, asked.share, asked.thin, asked.points, asked.json.parent, say
    )
    bench = Bench(asked.figures or list(FIGURES), what, asked.json)
    bench.run()
    Console(width=170).print(bench.table())
    print(asked.json)
    return 1 if bench.failed else 0


if __name__ == "__main__":
    sys.exit(main())
