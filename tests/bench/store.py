"""What many points cost: files, bytes, and time and memory of status, table and report over a
synthetic store. Nothing is trained.

    python -m tests.bench.store [--points 100000] [--report] [--compact]

The store has the declared size in points; each has its own folder and result.json, signed as the
tool signs it, and shares its other files (hard links) with those that are like it, so that they are
opened, read and checked as on any disk, from memory. Budgets are those of 100,000 points on 2
cores.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from study.store import Store
from study.store.digests import signed
from tests.bench.report import FACTORS, ROOT, memory_of
from tests.reports.synthetic import make

BUDGETS = {"status": 20.0, "report": 120.0}  # seconds, of 100,000 points
MEMORY, PAGE, POINTS = 3e9, 10e6, 100_000
TABLES = ("history", "profile", "states", "test", "measures")
ARMS = 60


def grow(store: Store, points: int) -> None:
    """Further seeds of every arm until there are so many points."""
    study = store.study()
    of_arm: dict[str, tuple[Mapping[str, Any], dict[str, Any]]] = {}
    for declared in study["declaration"]["grid"]:
        of_arm.setdefault(
            json.dumps(declared["labels"], sort_keys=True), (declared, store.result(declared["id"]))
        )
    grid, seeds = [], range(-(-points // len(of_arm)))
    for number, (declared, result) in enumerate(of_arm.values()):
        source = store.point_folder(declared["id"])
        linked = [path for path in source.iterdir() if path.name != "result.json"]
        for seed in seeds:
            id = f"{number + 1:04x}{seed:012x}"
            grid.append({**declared, "id": id, "seed": seed})
            folder = store.points_folder / id
            folder.mkdir(exist_ok=True)
            for path in linked:
                os.link(path, folder / path.name)
            row = {**result["row"], "id": id, "seed": seed}
            (folder / "result.json").write_bytes(
                signed(
                    {**result, "id": id, "row": row, "labels": {**result["labels"], "seed": seed}}
                )
            )
    study["declaration"] |= {"grid": grid, "seeds": list(seeds)}
    (store.folder / "study.json").write_bytes(signed(study))


def measure(*arguments: str) -> tuple[int, float, float, float]:
    """(exit status, wall seconds, CPU seconds, peak bytes) of `python -m …`."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
    )
    peak = 0
    while process.poll() is None:
        peak = max(peak, memory_of(process.pid))
        time.sleep(0.1)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (
        process.returncode,
        time.monotonic() - began,
        after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        float(peak),
    )


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--points", type=int, default=POINTS)
    parser.add_argument("--report", action="store_true", help="render the report too")
    parser.add_argument(
        "--compact",
        action="store_true",
        help="then compact the store, and measure everything again",
    )
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        seed = make(
            Path(name) / "store",
            factors=FACTORS,
            seeds=range(1),
            updates=400,
            steps=64,
            tables=TABLES,
        )
        first = [path.name for path in seed.points_folder.iterdir()]
        began = time.monotonic()
        grow(seed, asked.points)
        for id in first:
            subprocess.run(["rm", "-r", str(seed.point_folder(id))], check=True)
        files = list(seed.point_folder(seed.ids()[0]).iterdir())
        size = sum(path.stat().st_size for path in files)
        made = len(seed.ids())
        assert seed.result(seed.ids()[0])["files"], "without digests nothing would be read"
        print(
            f"{made:,} points, {len(files) + 1} files and folders and {size / 1e3:.0f} kB each,"
            f" made in {time.monotonic() - began:.0f} s",
            flush=True,
        )
        over, folder = 0, str(seed.folder)
        print(
            f"{'command':>8} {'wall s':>8} {'of':>6} {'CPU s':>8} {'ms a point':>11}"
            f" {'memory GB':>10}"
        )
        share = made / POINTS
        commands = [
            ("status", ["reports", "status", folder]),
            ("table", ["reports", "table", folder]),
        ]
        commands += [("report", ["reports", "render", folder])] if asked.report else []
        commands += [("compact", ["study.compact", folder]), *commands] if asked.compact else []
        for command, arguments in commands:
            status, wall, cpu, peak = measure(*arguments)
            budget = BUDGETS.get(command)
            exceeded = (
                status != 0
                or peak > MEMORY
                or (budget is not None and min(wall, cpu) > budget * max(share, 0.05))
            )
            over += exceeded
            shown = f"{budget * max(share, 0.05):>6.1f}" if budget else f"{'–':>6}"
            told = (
                f"{command:>8} {wall:>8.1f} {shown} {cpu:>8.1f} {1e3 * cpu / made:>11.3f}"
                f" {peak / 1e9:>10.2f}"
            )
            print(
                told + (f"  exit status {status}" if status else "  over" if exceeded else ""),
                flush=True,
            )
        if asked.compact:
            parts = [path for path in seed.parts_folder.rglob("*") if path.is_file()]
            print(
                f"compacted: {len(parts)} files,"
                f" {sum(path.stat().st_size for path in parts) / made / 1e3:.1f} kB a point (seeds"
                " of an arm share their tables here)"
            )
        page = seed.folder / "report.html"
        if page.exists():
            over += page.stat().st_size > PAGE
            print(
                f"page: {page.stat().st_size / 1e6:.1f} MB of"
                f" {PAGE / 1e6:.0f}{'  over' if page.stat().st_size > PAGE else ''}"
            )
    return 1 if over else 0


if __name__ == "__main__":
    sys.exit(main())
