"""Many quick points in one study: what everything but training costs a point.

    python -m tests.campaigns.load [--points 10000] [--tracked 300]

The real commands, one after the other: plan, train, train again (nothing to do), status, render;
then points with W&B offline. CPU seconds of the whole process tree count: wall time grows when
others use the machine. Training (prepare, updates, probes, evaluation) is measured apart, in groups
of the same plan, and taken off. Exit status 1 where a budget is exceeded.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from study.store import Store
from tests import ROOT

FACTORS = [
    "cell=rnn",
    "initializer=orthogonal,normal,identity,xavier_uniform,he",
    "optimizer.lr=.001,.002,.003,.004,.005",
    "clip=none,norm",
]
ARMS = 50
QUICK = [
    "task=adding",
    "task.steps=20",
    "task.examples=64",
    "hidden=8",
    "updates=20",
    "validate_every=20",
    "probe=[transport]",
    "executor.workers=2",
]
ORPHANS = 60.0  # seconds in which all processes of a command are gone
BUDGETS = {"bare": 30.0, "tracked": 70.0}  # CPU ms a point, beside training


def arguments(points: int, name: str, *more: str) -> list[str]:
    return [
        "-m",
        "study",
        "-m",
        f"name={name}",
        *FACTORS,
        f"seed=range({max(1, round(points / ARMS))})",
        *QUICK,
        *more,
    ]


def cost(folder: Path, *command: str) -> tuple[float, float]:
    """(CPU seconds, wall seconds) of a command and its children, those of them too that end after
    it: who forks the workers does.
    """
    # PR_SET_CHILD_SUBREAPER of linux/prctl.h: orphans become our children
    adopt, prctl = (36, ctypes.CDLL(None).prctl)
    prctl(adopt, 1, 0, 0, 0)
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
        "WANDB_MODE": "offline",
    }
    done = subprocess.run(
        [sys.executable, *command], cwd=folder, env=environment, capture_output=True, text=True
    )
    wall = time.monotonic() - began
    with contextlib.suppress(ChildProcessError):  # none is left
        while time.monotonic() < began + wall + ORPHANS:
            if os.waitpid(-1, os.WNOHANG) == (0, 0):
                time.sleep(0.02)
    prctl(adopt, 0, 0, 0, 0)
    if done.returncode:
        raise SystemExit(
            f"{' '.join(command)}: exit status"
            f" {done.returncode}\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
        )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, wall


TRAINING = """
import sys, time, yaml
from pathlib import Path
from study.training.engine import fixed_numerics, prepare, train, evaluate
from study.interfaces import Point
from study.store import Store
import torch
torch.set_num_threads(1)
store, size = Store(sys.argv[1]), int(sys.argv[2])
arms = {}
for id in store.ids():
    text = (store.point_folder(id) / "config.yaml").read_text()
    config = yaml.load(text, Loader=yaml.CSafeLoader)
    point = Point(id, config, store.result(id)["labels"], config["seed"])
    arms.setdefault(str([config["initializer"]]), []).append(point)
    if all(len(of) >= size for of in arms.values()) and len(arms) >= 5:
        break
spent = points = 0
for number, of in enumerate([*arms.values(), *arms.values()]):
    if number == 1:
        spent = points = 0  # the first one compiles
    begun = time.process_time()
    with fixed_numerics():
        training = prepare(of[:size], "cpu")
        train(training, lambda update: None)
        evaluate(training)
    spent, points = spent + time.process_time() - begun, points + len(of[:size])
print(spent / points)
"""


def training(folder: Path, size: int) -> float:
    """CPU seconds a point in groups of `size`, as the study trained them."""
    done = subprocess.run(
        [sys.executable, "-c", TRAINING, str(folder), str(size)],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise SystemExit(done.stderr[-2000:])
    return float(done.stdout.split()[-1])


def main() -> int:
    parser = argparse.ArgumentParser(
        description=str(__doc__), formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--points", type=int, default=10_000)
    parser.add_argument(
        "--tracked", type=int, default=300, help="points that are logged to W&B offline"
    )
    parser.add_argument(
        "--without", nargs="*", default=[], choices=["render"], help="parts left out"
    )
    asked = parser.parse_args()
    over = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)

        def measure(what: str, points: int, *command: str) -> float:
            cpu, wall = cost(folder, *command)
            print(
                f"{what:<28} {points:>6} points {cpu:>8.1f} CPU s {wall:>8.1f} s wall"
                f" {1000 * cpu / points:>7.1f} CPU ms a point",
                flush=True,
            )
            return cpu

        measure("plan", asked.points, *arguments(asked.points, "load", "tracker=[]", "plan=true"))
        whole = measure("train", asked.points, *arguments(asked.points, "load", "tracker=[]"))
        store = Store(folder / "outputs" / "load")
        made = len(store.ids())
        assert made == round(asked.points / ARMS) * ARMS, made
        each = training(store.folder, 16)
        bare = 1000 * (whole / made - each)
        print(
            f"training alone: {1000 * each:.1f} CPU ms a point; beside it: {bare:.1f} of"
            f" {BUDGETS['bare']:.0f} CPU ms",
            flush=True,
        )
        measure("again, nothing to train", made, *arguments(asked.points, "load", "tracker=[]"))
        measure("status, every byte read", made, "-m", "reports", "status", str(store.folder))
        if "render" not in asked.without:
            measure("render", made, "-m", "reports", "render", str(store.folder))
        size = sum(path.stat().st_size for path in store.folder.rglob("*") if path.is_file())
        page = store.folder / "report.html"
        megabytes = page.stat().st_size / 1e6 if "render" not in asked.without else 0
        print(
            f"on disk: {size / made / 1000:.0f} kB per point; report {megabytes:.1f} MB", flush=True
        )
        if asked.tracked:
            without = measure(
                "train, tracker=[]", asked.tracked, *arguments(asked.tracked, "bare", "tracker=[]")
            )
            tracked = measure(
                "train, W&B offline", asked.tracked, *arguments(asked.tracked, "tracked")
            )
            count = round(asked.tracked / ARMS) * ARMS
            logged = len(list((folder / "outputs" / "tracked" / "wandb").glob("offline-run-*")))
            assert logged == count, logged
            more = 1000 * (tracked - without) / count
            print(
                f"W&B offline: {more:.1f} CPU ms a point more; beside training {bare + more:.1f} of"
                f" {BUDGETS['tracked']:.0f}",
                flush=True,
            )
            over += bare + more > BUDGETS["tracked"]
        over += bare > BUDGETS["bare"]
    return 1 if over else 0


if __name__ == "__main__":
    sys.exit(main())
