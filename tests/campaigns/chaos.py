"""A campaign of faults: SIGKILL to workers and to the command at random times over a real sweep,
then completion.

python -m tests.campaigns.chaos [--kills 100] [--seed 0] [--short] [--trainers]

Every table of every point and the points table must equal, bit for bit, those of a run that nobody
disturbed (but for the seconds it took and the provenance), no point may be missing, doubled or
marked failed, and nothing may be left running. A sweep that is complete before the campaign is over
is compared, and another one begins.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from study.new import main as write_piece
from study.records import TABLES
from study.store import Store
from study.training.by_trainer import FOLDER as TRAINED
from tests.support.faults import command, end, gone, until, workers

COMMON = ["-m", "name=chaos", "tracker=[]", "executor.workers=2", "store.checkpoint_seconds=0.3"]
SIZES = ["hidden=16", "validate_every=100"]
SWEEP = [
    *SIZES,
    "task.form=row",
    "cell=rnn,lstm,gru",
    "initializer=orthogonal,normal",
    "seed=range(4)",
    "updates=1000",
    "executor.max_members=3",
]
SHORT = [
    *SIZES,
    "task=adding",
    "task.steps=20",
    "task.examples=64",
    "cell=rnn",
    "initializer=orthogonal",
    "seed=range(4)",
    "updates=900",
]
SHORT += ["executor.max_members=1", "probe=[transport]"]
# Points of a trainer of the user's own, the one that study.new writes.
LOOPED = [
    "--config-dir=mine",
    "trainer=looped",
    "task.form=row",
    "updates=600",
    "validate_every=40",
]
TRAINERS = [*LOOPED, "hidden=8,16", "trainer.lr=0.01,0.03", "seed=range(6)"]
MAIN_SHARE = 0.2  # of the kills go to the command itself
TRAINING_SHARE = 0.6  # of the kills wait until something was trained since the one before
PATIENCE = 600.0  # seconds without a kill or an end, after which something hangs


@dataclass
class Report:
    """What was done, and everything that should not be."""

    kills: Counter[str] = field(default_factory=Counter)
    sweeps: int = 0
    launches: int = 0
    resumed: int = 0
    wrong: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def lines(self) -> list[str]:
        told = ", ".join(f"{number} of {what}" for what, number in sorted(self.kills.items()))
        went = (
            f"{self.sweeps} sweeps completed in {self.launches} launches; points went on from"
            f" checkpoints {self.resumed} times"
        )
        return [
            f"{sum(self.kills.values())} SIGKILLs ({told}) in {self.seconds:.0f} s",
            went,
            *(self.wrong or ["nothing missing, doubled, failed or different"]),
        ]


def sweep(
    folder: Path,
    arguments: Sequence[str],
    rng: random.Random,
    kills: int,
    pause: float,
    report: Report,
) -> Store:
    """Run one sweep to its end, killing on the way until `kills` are made in all."""
    process = command(folder, *COMMON, *arguments)
    report.launches += 1
    last, since = time.monotonic(), 0.0
    try:
        while True:
            left = sum(report.kills.values()) < kills
            if left and rng.random() < TRAINING_SHARE:
                wait_for_training(folder, since, process)
            try:
                told, _ = process.communicate(timeout=rng.uniform(0.0, pause) if left else 5.0)
            except subprocess.TimeoutExpired:
                told = None
            if told is not None:
                if process.returncode != 0:
                    report.wrong.append(
                        f"the command ended with status {process.returncode}: {told}"
                    )
                report.sweeps += 1
                return Store(folder / "outputs" / "chaos")
            if time.monotonic() - last > PATIENCE:
                report.wrong.append(f"nothing happens for {PATIENCE:.0f} s")
                return Store(folder / "outputs" / "chaos")
            of = workers(process.pid)
            if not left or not of:
                continue
            last, since = time.monotonic(), newest(folder)
            if rng.random() < MAIN_SHARE:
                process.send_signal(signal.SIGKILL)
                process.communicate()
                report.kills["the command"] += 1
                if not gone(of):
                    report.wrong.append("a worker outlived the command")
                process = command(folder, *COMMON, *arguments)
                report.launches += 1
            else:
                try:
                    os.kill(rng.choice(of), signal.SIGKILL)
                    report.kills["a worker"] += 1
                except ProcessLookupError:
                    continue
    finally:
        end(process)


def wait_for_training(folder: Path, since: float, process: subprocess.Popen[str]) -> None:
    until(lambda: newest(folder) > since or process.poll() is not None, PATIENCE)


def newest(folder: Path) -> float:
    """When a checkpoint was last written or taken away, the engine's or a trainer's."""
    study = folder / "outputs" / "chaos"
    found = [study / "checkpoints", *(study / TRAINED).glob("*/last.pt")]
    return max((path.stat().st_mtime for path in found if path.exists()), default=0.0)


def prepare(folder: Path, arguments: Sequence[str]) -> Path:
    folder.mkdir()
    if "--config-dir=mine" in arguments:
        with contextlib.redirect_stdout(io.StringIO()):
            write_piece(["trainer", "looped", "--into", str(folder / "mine")])
    return folder


def campaign(
    where: Path, *, seed: int, kills: int, arguments: Sequence[str], pause: float
) -> Report:
    """An undisturbed sweep, then disturbed ones until so many kills are made, each compared with
    it.
    """
    rng, report, begun = random.Random(seed), Report(), time.monotonic()
    calm = prepare(where / "calm", arguments)
    ran = command(calm, *COMMON, *arguments)
    told, _ = ran.communicate(timeout=PATIENCE)
    if ran.returncode != 0:
        raise RuntimeError(told)
    while sum(report.kills.values()) < kills and not report.wrong:
        folder = prepare(where / f"chaos{report.sweeps}", arguments)
        store = sweep(folder, arguments, rng, kills, pause, report)
        report.wrong += compare(Store(calm / "outputs" / "chaos"), store)
        report.resumed += sum(
            len(store.result(id)["provenance"].get("resumed", ())) for id in store.ids()
        )
    report.seconds = time.monotonic() - begun
    return report


def compare(calm: Store, store: Store) -> list[str]:
    """Everything in which a disturbed study is not the undisturbed one."""
    wrong = []
    if (
        there := sorted(
            path.name for path in store.points_folder.iterdir() if not path.name.startswith(".")
        )
    ) != calm.ids():
        wrong.append(f"points {there} instead of {calm.ids()}")
    tables = [
        pd.read_parquet(each.folder / "points.parquet").drop(columns="seconds")
        for each in (calm, store)
    ]
    if not tables[0].equals(tables[1]):
        same_shape = tables[0].shape == tables[1].shape
        shown = tables[0].compare(tables[1]) if same_shape else tables[1]
        wrong.append(f"points.parquet differs:\n{shown}")
    for id in set(there) & set(calm.ids()):
        wrong += [
            f"{id}: {name} differs"
            for name in TABLES
            if not calm.table(name, [id]).equals(store.table(name, [id]))
        ]
        one, other = calm.weights(id), store.weights(id)
        wrong += [
            f"{id}: weights differ" for name in one if not np.array_equal(one[name], other[name])
        ]
    for name, pattern in (
        ("checkpoints", "*"),
        (TRAINED, "*"),
        ("leases", "*"),
        ("points", ".*"),
        (".", ".*"),
    ):
        left = [path.name for path in (store.folder / name).glob(pattern)]
        wrong += [f"left in {name}: {left}"] if left else []
    return wrong


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--short", action="store_true", help="the sweep that runs among the tests")
    parser.add_argument("--trainers", action="store_true", help="points of a trainer of one's own")
    asked = parser.parse_args()
    print(
        f"chaos: seed {asked.seed}, at least {asked.kills} SIGKILLs over a sweep of"
        f" {4 if asked.short else 24} points; some minutes",
        flush=True,
    )
    with tempfile.TemporaryDirectory() as folder:
        report = campaign(
            Path(folder),
            seed=asked.seed,
            kills=asked.kills,
            arguments=TRAINERS if asked.trainers else SHORT if asked.short else SWEEP,
            pause=5.0,
        )
    print("\n".join(report.lines()))
    sys.exit(1 if report.wrong else 0)


if __name__ == "__main__":
    main()
