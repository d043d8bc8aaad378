"""Time and peak memory of a large table through the command line: its plan, and a first update.

    python -m tests.bench.large_table [--rows 10000000]

The table has a time, six features and a target, a forecast. Memory is the peak beyond what a
process has that has imported the task and read nothing, against the size of the values in double
precision. "start" is the time of the same command with a table of SMALL rows. Budgets are those of
10,000,000 rows on 2 quiet cores.
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
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.csv
import yaml

from study.tasks.csv import Csv
from study.tasks.shared.cells import Style
from study.tasks.shared.table_files import read_table
from tests import ROOT

ROWS, SMALL, COLUMNS = 10_000_000, 1_000, 8
SECONDS, TIMES = 60.0, 2.0  # of both commands


def write(path: Path, rows: int) -> None:
    rng, row = np.random.default_rng(0), np.arange(rows)
    columns = {f"f{n}": rng.normal(size=rows).round(4) for n in range(COLUMNS - 2)}
    target = (np.sin(row / 50) + 0.1 * rng.normal(size=rows)).round(4)
    table = pa.table({"t": 60 * row + 1_700_000_000, **columns, "label": target})
    pyarrow.csv.write_csv(table, path)


def measured(path: Path, *overrides: str) -> tuple[float, float, float]:
    """(seconds, of a core, bytes at the peak) of one command in a process of its own."""
    command = [sys.executable, "-m", "study", "-m", "task=csv", f"task.path={path.name}"]
    command += ["task.target=label", "task.kind=forecast", "task.time=t", "cell=rnn", "hidden=8"]
    command += ["batch=8", "seed=0,1", "tracker=[]", "executor.workers=1", *overrides]
    return _run(command, path.parent)


def _run(command: list[str], folder: Path) -> tuple[float, float, float]:
    began = time.monotonic()
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(command)} ended with {os.waitstatus_to_exitcode(status)}")
    seconds, cpu = time.monotonic() - began, usage.ru_utime + usage.ru_stime
    return seconds, cpu, usage.ru_maxrss * 1024.0


def stages(path: Path) -> dict[str, float]:
    """Seconds by what is done with a table, in this process, and GB before and at the peak."""
    before = psutil.Process().memory_info().rss
    times = [time.monotonic()]
    table = read_table(str(path), separator=",", encoding=None, style=Style(), text=["t"])
    times.append(time.monotonic())
    del table
    declared = yaml.safe_load((ROOT / "conf" / "task" / "csv.yaml").read_text(encoding="utf-8"))
    known = {key: value for key, value in declared.items() if key not in ("defaults", "_target_")}
    known |= {"path": str(path), "target": "label", "kind": "forecast", "time": "t"}
    times.append(time.monotonic())
    task = Csv(**known)
    task.load()
    times.append(time.monotonic())
    task.data_hash()
    times.append(time.monotonic())
    read, _, load, hashed = np.diff(times).round(2).tolist()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {
        "read s": read,
        "check, order and split s": round(load - read, 2),
        "hash s": hashed,
        "before GB": round(before / 1e9, 3),
        "peak GB": round(peak / 1e9, 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--stages", type=Path, help="a table to read in this process")
    asked = parser.parse_args()
    if asked.stages is not None:
        print(json.dumps(stages(asked.stages)))
        return
    rows, kept = asked.rows, True
    size = 8.0 * rows * COLUMNS
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(folder / "large.csv", rows)
        write(folder / "small.csv", SMALL)
        command = [
            sys.executable,
            "-m",
            "tests.bench.large_table",
            "--stages",
            f"{folder}/large.csv",
        ]
        found = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
        print(json.dumps({"rows": rows, "columns": COLUMNS, "values GB": size / 1e9, **found}))
        for what, overrides in (("plan", ["plan=true"]), ("2 updates", ["updates=2"])):
            start, *_ = measured(folder / "small.csv", *overrides, "name=small")
            seconds, cpu, peak = measured(folder / "large.csv", *overrides, "name=large")
            times = (peak / 1e9 - found["before GB"]) / (size / 1e9)
            kept &= rows < ROWS or (seconds <= SECONDS and times <= TIMES)
            told = {
                "command": what,
                "seconds": round(seconds, 1),
                "CPU s": round(cpu, 1),
                "start s": round(start, 1),
                "rows a second": round(rows / (seconds - start)),
                "peak GB": round(peak / 1e9, 2),
                "times the values": round(times, 2),
            }
            print(json.dumps(told), flush=True)
    sys.exit(0 if kept else 1)


if __name__ == "__main__":
    main()
