"""Budgets of the report, measured: size, time and memory of the page over synthetic stores of 200
and 1,000 points.

    python -m tests.bench.report [--points 200 1000]

Each page is rendered in a process of its own, as `python -m reports render` does it. Exit status 1
where a budget is exceeded. Wall time is what a user waits and grows when others use the machine;
CPU time does not.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests import ROOT
from tests.reports.synthetic import make

# points: bytes, seconds on 2 cores, bytes of memory
BUDGETS = {200: (5e6, 15.0, 1.5e9), 1000: (10e6, 40.0, 1.5e9)}
FACTORS = {
    "cell": ["rnn", "lstm", "gru"],
    "initializer": ["orthogonal", "xavier_uniform", "normal", "pytorch", "identity"],
    "clip": ["none", "norm"],
    "depth": [1, 2],
}


def memory_of(process: int) -> int:
    """Bytes of a process and its children; pages they share count once."""
    try:
        text = Path(f"/proc/{process}/smaps_rollup").read_text()
        children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    except OSError:
        return 0  # it has just ended
    own = next(
        (int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith("Pss:")), 0
    )
    return own + sum(memory_of(int(child)) for child in children)


def measure(points: int, folder: Path) -> tuple[int, int, float, float, int]:
    """(points made, bytes, wall seconds, CPU seconds, peak bytes) of a store of about so many
    points with every table.
    """
    arms = 60
    tables = ("history", "profile", "states", "test", "measures")
    store = make(
        folder / f"points-{points}",
        factors=FACTORS,
        seeds=range(round(points / arms)),
        updates=400,
        steps=64,
        diverged=(3, 50),
        failed=(9,),
        tables=tables,
    )
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, "-m", "reports", "render", str(store.folder)],
        env=environment,
        stdout=subprocess.DEVNULL,
    )
    peak = 0
    while process.poll() is None:
        peak = max(peak, memory_of(process.pid))
        time.sleep(0.1)
    wall, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    if process.returncode:
        raise SystemExit(process.returncode)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return len(store.ids()), (store.folder / "report.html").stat().st_size, wall, cpu, peak


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--points", type=int, nargs="+", choices=BUDGETS, default=list(BUDGETS))
    over = 0
    print(
        f"{'points':>7} {'page MB':>8} {'of':>5} {'wall s':>7} {'of':>5} {'CPU s':>7}"
        f" {'memory GB':>10} {'of':>5}"
    )
    with tempfile.TemporaryDirectory() as folder:
        for points in parser.parse_args().points:
            size, seconds, memory = BUDGETS[points]
            made, found, wall, cpu, peak = measure(points, Path(folder))
            exceeded = found > size or min(wall, cpu) > seconds or peak > memory
            over += exceeded
            line = (
                f"{made:>7} {found / 1e6:>8.2f} {size / 1e6:>5.0f} {wall:>7.1f} {seconds:>5.0f}"
                f" {cpu:>7.1f} {peak / 1e9:>10.2f} {memory / 1e9:>5.1f}"
            )
            print(line + ("  over" if exceeded else ""), flush=True)
    return 1 if over else 0


if __name__ == "__main__":
    sys.exit(main())
