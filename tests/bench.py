"""make bench: what the probes cost, as ratios taken side by side in one run. Never part of the tests: machines differ.

Each structure of the default study (cell × depth, its clip rules and initializers in one group) is trained twice, once with its
default probes and once without, in turn; the sums over structures give one ratio a repeat.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.utils import create_config_search_path
from hydra.types import RunMode
from rich.console import Console
from rich.table import Table

from study.composition import compose_all, declared
from study.grouping import group_key
from study.interfaces import Point
from study.paths import conf_folder
from study.planning import make_plan
from study.plugins import register
from study.training import fixed_numerics, prepare, train


def structures(experiment: str, members: int) -> dict[str, list[Point]]:
    """The first points of each group of a committed study, by cell and depth."""
    register()
    loader = ConfigLoaderImpl(create_config_search_path(str(conf_folder().resolve())))
    first = loader.load_configuration("config", [f"experiment={experiment}"], run_mode=RunMode.MULTIRUN)
    of = declared(loader, dict(first.hydra.sweeper.params), [f"experiment={experiment}", "tracker=[]", "device=cpu"])
    plan = make_plan(compose_all(loader, "config", of), of, experiment)
    groups: dict[str, list[Point]] = {}
    for point in plan.points:
        groups.setdefault(group_key(point.config), []).append(point)
    return {f"{points[0].labels['cell']} depth {points[0].config['depth']}": points[:: max(1, len(points) // members)][:members] for points in groups.values()}


def seconds(points: Sequence[Point]) -> float:
    """CPU seconds of all updates, with validations and probes, without set-up: other processes do not count."""
    with fixed_numerics():
        training = prepare(points, "cpu")
        start = time.process_time()
        train(training, lambda update: None)
        return time.process_time() - start


def bare(points: Sequence[Point]) -> list[Point]:
    return [replace(point, config={**point.config, "probe": {}}) for point in points]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--experiment", default="digits")
    parser.add_argument("--members", type=int, default=6, help="networks trained together")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path, default=Path("outputs/bench/probes.json"))
    asked = parser.parse_args()
    console = Console()
    of = structures(asked.experiment, asked.members)
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in of}
    for repeat in range(asked.repeats):
        for name, points in of.items():
            order = (points, bare(points)) if repeat % 2 == 0 else (bare(points), points)
            times = [seconds(each) for each in order]
            with_probes, without = times if repeat % 2 == 0 else times[::-1]
            taken[name].append((with_probes, without))
            print(f"repeat {repeat + 1}: {name}: {with_probes:.1f} s with probes, {without:.1f} s without", file=sys.stderr)
    ratios = {name: [a / b for a, b in pairs] for name, pairs in taken.items()}
    ratios["the whole study"] = [sum(pairs[r][0] for pairs in taken.values()) / sum(pairs[r][1] for pairs in taken.values()) for r in range(asked.repeats)]
    table = Table("training with default probes / without", "median", "lowest", "highest", title=f"{asked.experiment}, {asked.members} members a group")
    for name, found in ratios.items():
        table.add_row(name, f"{statistics.median(found):.3f}", f"{min(found):.3f}", f"{max(found):.3f}")
    console.print(table)
    facts = {"machine": platform.machine(), "cores": os.cpu_count(), "python": platform.python_version(), "command": " ".join(sys.argv[1:])}
    asked.json.parent.mkdir(parents=True, exist_ok=True)
    asked.json.write_text(json.dumps({"facts": facts, "seconds": taken, "ratios": ratios}, indent=1), encoding="utf-8")
    console.print(f"{asked.json}", highlight=False)


if __name__ == "__main__":
    main()
