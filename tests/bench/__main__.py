"""Measure, say, keep: one table, one JSON. Each figure is a ratio of CPU seconds, the two sides in turn in one run."""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.bench import kernels, one_by_one, probes, step_by_step

FIGURES = {"probes": probes, "one_by_one": one_by_one, "step_by_step": step_by_step, "kernels": kernels}


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench BENCH=…", description=__doc__)
    parser.add_argument("figures", nargs="*", choices=[*FIGURES, []], default=[], help="all if none is named")
    parser.add_argument("--members", type=int, default=18, help="networks trained together")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--share", type=float, default=1.0, help="of the updates, where that does not move the ratio much")
    parser.add_argument("--json", type=Path, default=Path("outputs/bench/bench.json"))
    asked = parser.parse_args()
    table = Table("figure", "of", "median", "lowest", "highest", "goal", title=f"digits, {asked.members} networks a group, {asked.repeats} repeats")
    kept = {}
    for name in asked.figures or FIGURES:
        figure = FIGURES[name]
        taken = figure.measure(asked.repeats, asked.members, asked.share, lambda line: print(line, file=sys.stderr, flush=True))
        kept[name] = {"title": figure.TITLE, "goal": figure.GOAL, "seconds": taken, "ratios": {of: [a / b for a, b in pairs] for of, pairs in taken.items()}}
        for place, (of, found) in enumerate(kept[name]["ratios"].items()):
            numbers = [f"{value:.3g}" if value >= 2 else f"{value:.3f}" for value in (statistics.median(found), min(found), max(found))]
            table.add_row(figure.TITLE if place == 0 else "", of, *numbers, figure.GOAL if place == 0 else "")
    Console(width=150).print(table)
    facts = {"machine": platform.machine(), "cores": os.cpu_count(), "python": platform.python_version(), "command": " ".join(sys.argv[1:])}
    asked.json.parent.mkdir(parents=True, exist_ok=True)
    asked.json.write_text(json.dumps({"facts": facts, "figures": kept}, indent=1), encoding="utf-8")
    print(asked.json)


if __name__ == "__main__":
    main()
