"""How far `plan` is from what its experiments take, start-up and page included.

    python -m tests.bench.estimates [--experiments 10]

The cheapest experiments by their own plans, each trained once into a folder of its own, after one
that is not counted: this machine is timed by then. Exit status 1 where an estimate is off by more
than its goal. To be run on a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from study.config.paths import conf_folder
from tests.bench.commands import ENVIRONMENT, LIMIT

GOAL = 1.5  # the larger of estimate and truth, divided by the smaller
FIRST = "quick"
ALL_OF_IT = re.compile(r"start-up\s+and\s+report\s+([\d.]+)\s+(s|min|h),")
SECONDS = {"s": 1.0, "min": 60.0, "h": 3600.0}


def _run(folder: Path, *arguments: str) -> str:
    command = [sys.executable, "-m", "study.commands", *arguments, f"store.folder={folder}"]
    ended = subprocess.run(
        command, env=os.environ | ENVIRONMENT, capture_output=True, text=True, timeout=LIMIT
    )
    return ended.stdout + ended.stderr


def planned(folder: Path, experiment: str) -> float | None:
    """Seconds that the plan of an experiment names; None if it cannot be planned here."""
    found = ALL_OF_IT.search(_run(folder, "plan", f"experiment={experiment}"))
    return float(found[1]) * SECONDS[found[2]] if found else None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--experiments", type=int, default=10)
    wanted = parser.parse_args().experiments
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        _run(folder, "run", "--report", f"experiment={FIRST}")
        names = sorted(path.stem for path in (conf_folder() / "experiment").glob("*.yaml"))
        plans = {name: planned(folder, name) for name in names if name != FIRST}
        cheapest = sorted((seconds, name) for name, seconds in plans.items() if seconds is not None)
        worst = 1.0
        for _, name in cheapest[:wanted]:
            expected = planned(folder, name)
            assert expected is not None
            begun = time.monotonic()
            _run(folder, "run", "--report", f"experiment={name}")
            took = time.monotonic() - begun
            off = max(expected / took, took / expected)
            worst = max(worst, off)
            print(
                f"{name}: planned {expected:.0f} s, took {took:.0f} s, off by {off:.2f}", flush=True
            )
    print(f"off by {worst:.2f} at most (goal {GOAL})")
    return int(worst > GOAL)


if __name__ == "__main__":
    raise SystemExit(main())
