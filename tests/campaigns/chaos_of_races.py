"""A campaign of faults over races (make certain): SIGKILL to the command and to workers at random
times, while they train and between, and the same command again until the race is over.

    python -m tests.campaigns.chaos_of_races [--kills 50] [--seed 0]

Looks, decisions and what is said of them at the end must be those of a race that nobody disturbed,
and every table of the race and of its fresh seeds as `tests.campaigns.chaos` compares them.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from study.store import Store
from study.store.race import NAME, read_race
from tests.campaigns.chaos import (
    COMMON,
    MAIN_SHARE,
    PATIENCE,
    Report,
    compare,
    newest,
    wait_for_training,
)
from tests.support.faults import command, end, gone, workers

# Four arms of seconds each, of which two leave at a later look; then the first on fresh seeds.
RACE = [
    *COMMON,
    "hydra/sweeper=certain",
    *["task=adding", "task.steps=10", "task.examples=64", "hidden=8", "probe=[transport]"],
    *["cell=rnn,gru", "clip=none,norm", "initializer=orthogonal", "seed=0,1"],
    *["updates=200", "validate_every=50", "executor.max_members=1"],
    *["study.certain.looks=[3,4,5]", "study.certain.max_seeds=6", "study.certain.examples=false"],
    *["study.confirm.arms=1", "study.confirm.seeds=2"],
]
TRAINING_SHARE = 0.5  # of the kills wait until something was trained; the others fall anywhere


def race(folder: Path, rng: random.Random, kills: int, pause: float, report: Report) -> None:
    """Run one race to its end, killing on the way until `kills` are made in all."""
    folder.mkdir()
    while True:
        process, begun = command(folder, *RACE), time.time()
        report.launches += 1
        try:
            said = _until_killed(process, folder, rng, kills, pause, report, begun)
        finally:
            end(process)
        if said is not None or report.wrong:
            break
    if said is not None and process.returncode != 0:
        report.wrong.append(f"the command ended with status {process.returncode}: {said}")
    report.sweeps += 1


def _until_killed(
    process: subprocess.Popen[str],
    folder: Path,
    rng: random.Random,
    kills: int,
    pause: float,
    report: Report,
    begun: float,
) -> str | None:
    """What the command said at its own end; None if it was killed before, or hangs."""
    while sum(report.kills.values()) < kills:
        if rng.random() < TRAINING_SHARE:
            wait_for_training(folder, max(begun, newest(folder)), process)
        try:
            return process.communicate(timeout=rng.uniform(0.0, pause))[0]
        except subprocess.TimeoutExpired:
            of = workers(process.pid)
        if of and rng.random() >= 2 * MAIN_SHARE:
            try:
                os.kill(rng.choice(of), signal.SIGKILL)
                report.kills["a worker"] += 1
            except ProcessLookupError:
                continue
        else:
            process.send_signal(signal.SIGKILL)
            process.communicate()
            report.kills["the command, training" if of else "the command, between"] += 1
            if not gone(of):
                report.wrong.append("a worker outlived the command")
            return None
    try:
        return process.communicate(timeout=PATIENCE)[0]
    except subprocess.TimeoutExpired:
        report.wrong.append(f"nothing ends for {PATIENCE:.0f} s")
        return None


def decided(store: Store) -> dict[str, Any]:
    """Everything that certain.json holds, but for seconds."""
    found = read_race(store.folder) or {}
    return {key: value for key, value in found.items() if key not in ("seconds", "digest")}


def differences(calm: Path, disturbed: Path) -> list[str]:
    """Everything in which a disturbed race is not the undisturbed one."""
    one, other = (Store(folder / "outputs" / "chaos") for folder in (calm, disturbed))
    then, now = decided(one), decided(other)
    wrong = [
        f"{NAME}: {key} is {now.get(key)} instead of {then.get(key)}"
        for key in sorted({*then, *now})
        if then.get(key) != now.get(key)
    ]
    fresh = (Store(store.folder / "chaos-confirm") for store in (one, other))
    return wrong + compare(one, other) + compare(*fresh)


def campaign(where: Path, *, seed: int, kills: int, pause: float) -> Report:
    """An undisturbed race, then disturbed ones until so many kills are made."""
    rng, report, begun = random.Random(seed), Report(), time.monotonic()
    race(where / "calm", rng, 0, pause, Report())
    if len(decided(Store(where / "calm" / "outputs" / "chaos"))["looks"]) < 3:
        raise RuntimeError("the undisturbed race has too few looks to show anything")
    while sum(report.kills.values()) < kills and not report.wrong:
        folder = where / f"race{report.sweeps}"
        race(folder, rng, kills, pause, report)
        report.wrong += differences(where / "calm", folder)
        store = Store(folder / "outputs" / "chaos")
        report.resumed += sum(
            len(store.result(id)["provenance"].get("resumed", ())) for id in store.ids()
        )
    report.seconds = time.monotonic() - begun
    return report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    print(f"races: seed {asked.seed}, at least {asked.kills} SIGKILLs; some minutes", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        report = campaign(Path(folder), seed=asked.seed, kills=asked.kills, pause=8.0)
    print("\n".join(report.lines()))
    sys.exit(1 if report.wrong else 0)


if __name__ == "__main__":
    main()
