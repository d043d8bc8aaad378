"""Inputs that nobody meant to write, by hypothesis: overrides, experiment YAML, files of a store,
points.parquet.

    python -m tests.campaigns.fuzz [--inputs 15500] [--seed 0] [--only FAMILY] [--keep FOLDER]

Each goes through a real entry point in this process. Wrong is: an exception that would be a bare
traceback, more than LIMIT seconds, a change of any file outside the study's folder, a damaged point
that counts as done, other values of a mangled table (tests/campaigns/own_tables.py), which is kept
in FOLDER. What is found is told once a place.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from rich.console import Console

from study.__main__ import main as command
from tests import ROOT
from tests.campaigns.box import Box, Found, late
from tests.campaigns.damage import declarations, points, results, tables
from tests.campaigns.damage_in_training import checkpoints, leases, render
from tests.campaigns.inputs import BASE, EXPERIMENT, FORBIDDEN, LAST, OVERRIDES, mutated, spoiled
from tests.campaigns.own_tables import judged

# bytes of addresses: a network that is too large must be told, not fill the machine
MEMORY = 24 * 2**30
SHARES = {  # of all inputs, relative to each other
    "own_tables": 0.476,
    "overrides": 0.03,
    "yaml": 0.03,
    "results": 0.24,
    "declarations": 0.14,
    "tables": 0.2,
    "points": 0.06,
    "checkpoints": 0.14,
    "leases": 0.155,
    "render": 0.005,
}


def run(arguments: list[str]) -> None:
    before = sys.argv
    sys.argv = [str(ROOT / "study" / "__main__.py"), *arguments]
    try:
        command()
    finally:
        sys.argv = before


def overrides(box: Box) -> Callable[..., None]:
    @given(st.booleans(), OVERRIDES)
    def one(several: bool, typed: list[str]) -> None:
        typed = [
            text
            for text in typed
            if not any(mark in text for mark in FORBIDDEN) and "\0" not in text
        ]
        with box.trying("overrides", typed):
            run(
                [
                    *(["-m"] if several else []),
                    *(one for one in BASE if several or "," not in one),
                    *typed,
                    *LAST,
                ]
            )

    return one


def experiments(box: Box) -> Callable[..., None]:
    folder = box.inside / "conf" / "experiment"
    folder.mkdir(parents=True)
    whole = ("# @package _global_\n" + yaml.safe_dump(EXPERIMENT, sort_keys=False)).encode()

    @given(st.one_of(mutated(EXPERIMENT), spoiled(whole)))
    def one(made: Any) -> None:
        data = (
            made
            if isinstance(made, bytes)
            else (
                "# @package _global_\n" + yaml.safe_dump(made, sort_keys=False, allow_unicode=True)
            ).encode(errors="surrogatepass")
        )
        if any(mark.encode() in data for mark in ("_target_", "hydra/")):
            return
        (folder / "fuzzed.yaml").write_bytes(data)
        with box.trying("yaml", data):
            run(["-m", "--config-dir", str(folder.parent), "experiment=fuzzed", *LAST])

    return one


def own_tables(box: Box) -> Callable[..., None]:
    """Mangled tables: refused with a line, or read to the values of the clean one."""
    folder = box.inside / "outputs" / "tables"
    folder.mkdir(parents=True)

    @given(st.integers(0, 2**32 - 1))
    def one(number: int) -> None:
        with box.trying("own_tables", number) as said:
            _, wrong, path = judged(number, folder)
            said.append(wrong)
        if said and wrong:
            if box.found.keep is not None:
                box.found.keep.mkdir(parents=True, exist_ok=True)
                for each in (path, path.with_name("clean.csv")):
                    shutil.copy(each, box.found.keep / f"{number}-{each.name}")
            box.wrong("own_tables", wrong, number)

    return one


FAMILIES: dict[str, Callable[[Box], Callable[..., None]]] = {
    "own_tables": own_tables,
    "overrides": overrides,
    "yaml": experiments,
    "results": results,
    "declarations": declarations,
    "tables": tables,
    "points": points,
    "checkpoints": checkpoints,
    "leases": leases,
    "render": render,
}


def campaign(
    inputs: int,
    number: int,
    only: str | None = None,
    say: Callable[[str], None] = lambda text: None,
    keep: Path | None = None,
) -> Found:
    """Every family its share of the inputs."""
    found = Found(keep=keep)
    before = signal.signal(signal.SIGALRM, late)
    limit = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, limit[1]))
    random_before = random.getstate()
    try:
        with tempfile.TemporaryDirectory() as folder:
            for family, make_one in FAMILIES.items():
                if only in (None, family):
                    began, cpu = time.monotonic(), time.process_time()
                    (Path(folder) / family).mkdir()
                    one = make_one(Box(Path(folder) / family, found))
                    count = max(1, round(SHARES[family] / sum(SHARES.values()) * inputs))
                    checks = list(HealthCheck)
                    warnings.simplefilter("ignore")
                    seed(number)(
                        settings(
                            max_examples=count,
                            deadline=None,
                            database=None,
                            phases=[Phase.generate],
                            suppress_health_check=checks,
                        )(one)
                    )()
                    say(
                        f"{family}: {found.tried[family]} inputs, {time.monotonic() - began:.0f} s,"
                        f" {time.process_time() - cpu:.0f} CPU s, {len(found.wrong)} wrong"
                    )
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limit)
        signal.signal(signal.SIGALRM, before)
        random.setstate(random_before)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--inputs", type=int, default=15_500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=FAMILIES)
    parser.add_argument("--keep", type=Path, default=ROOT / "build" / "fuzz")
    asked = parser.parse_args()
    os.environ.setdefault("WANDB_MODE", "offline")
    console = Console(stderr=True)
    found = campaign(
        asked.inputs,
        asked.seed,
        asked.only,
        lambda text: console.print(text, markup=False, highlight=False),
        asked.keep,
    )
    print("\n".join(found.lines()))
    sys.exit(1 if found.wrong else 0)


if __name__ == "__main__":
    main()
