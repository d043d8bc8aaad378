"""Time and peak memory of a large table through the command line: its plan, and a first update.

    python -m tests.bench.large_table [--rows 10000000]

The table has a time, six features and a target, a forecast. Budgets are those of 10,000,000 rows
on 2 quiet cores; memory is told against the size of the values in double precision.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv

ROWS, COLUMNS = 10_000_000, 8
SECONDS, TIMES = 60.0, 4.0  # of both; the aim for the memory is 2 times


def write(path: Path, rows: int) -> None:
    rng, row = np.random.default_rng(0), np.arange(rows)
    columns = {f"f{n}": rng.normal(size=rows).round(4) for n in range(COLUMNS - 2)}
    target = (np.sin(row / 50) + 0.1 * rng.normal(size=rows)).round(4)
    table = pa.table({"t": 60 * row + 1_700_000_000, **columns, "label": target})
    pyarrow.csv.write_csv(table, path)


def measured(folder: Path, *overrides: str) -> tuple[float, float]:
    """(seconds, bytes at the peak) of one command in a process of its own."""
    command = [sys.executable, "-m", "study", "-m", "task=csv", "task.path=large.csv"]
    command += ["task.target=label", "task.kind=forecast", "task.time=t", "cell=rnn", "hidden=8"]
    command += ["batch=8", "seed=0,1", "tracker=[]", "executor.workers=1", *overrides]
    began = time.monotonic()
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(command)} ended with {os.waitstatus_to_exitcode(status)}")
    return time.monotonic() - began, usage.ru_maxrss * 1024.0


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--rows", type=int, default=ROWS)
    rows = parser.parse_args().rows
    size, kept = 8.0 * rows * COLUMNS, True
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(folder / "large.csv", rows)
        for what, overrides in (("plan", ["plan=true"]), ("2 updates", ["updates=2", "name=s"])):
            seconds, peak = measured(folder, *overrides)
            kept &= rows < ROWS or (seconds <= SECONDS and peak <= TIMES * size)
            print(
                f"{what} of {rows:,} rows of {COLUMNS} columns: {seconds:.1f} s, peak"
                f" {peak / 1e9:.2f} GB, {peak / size:.1f} times the values"
            )
    sys.exit(0 if kept else 1)


if __name__ == "__main__":
    main()
