"""Whole commands, timed: this program on a grid of points, and what a user would start for the same
points instead.
"""

from __future__ import annotations

import functools
import itertools
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import yaml

from study.config.paths import conf_folder
from study.machine.orphans import end
from study.machine.resources import cores
from study.store import Store
from tests.bench.figure import TrialRequest
from tests.bench.processes import Watched, watched

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
LIMIT = 1800.0  # seconds of one command
# Offline, and nothing calls home. Threads, denormals and the allocator are those of our own workers
# (tests.bench starts with them).
ENVIRONMENT = {
    "WANDB_MODE": "offline",
    "WANDB_ERROR_REPORTING": "false",
    "WANDB_SILENT": "true",
    "RAY_USAGE_STATS_ENABLED": "0",
    "PYTHONWARNINGS": "ignore",
}
# factors that decide nothing of what a point costs, the first to be thinned out first
SAME_COST = ("seed", "clip", "initializer")
# as nobody would type it: no core waits for a long last point
SLOWEST_FIRST = {"cell": ["gru", "lstm", "rnn"], "depth": ["2", "1"]}


@dataclass(frozen=True)
class Work:
    """A grid of points of the digits task: what both sides are given."""

    factors: tuple[tuple[str, tuple[str, ...]], ...]
    form: str = "pixel"
    updates: int = 400
    every: int = 25

    @property
    def points(self) -> list[dict[str, str]]:
        names = [name for name, _ in self.factors]
        return [
            dict(zip(names, levels, strict=True))
            for levels in itertools.product(*(levels for _, levels in self.factors))
        ]

    def thinned(self, share: float, turn: int) -> Work:
        """At most this share of the points, in every cell and depth as many: factors that cost
        nothing keep one level, another each turn.
        """
        wanted, factors = share * len(self.points), dict(self.factors)
        for name in SAME_COST:
            excess = math.prod(len(levels) for levels in factors.values()) / max(wanted, 1e-9)
            levels = factors[name]
            number = max(1, math.floor(len(levels) / excess + 1e-9))
            taken = {(turn + place) % len(levels) for place in range(number)}
            factors[name] = tuple(level for place, level in enumerate(levels) if place in taken)
        return replace(self, factors=tuple(factors.items()))


def default_study() -> Work:
    """The grid of `digits`, in the order that leaves no core waiting."""
    params = yaml.safe_load((conf_folder() / "experiment" / "digits.yaml").read_text())["hydra"][
        "sweeper"
    ]["params"]
    levels = {name: tuple(str(of).split(",")) for name, of in params.items()}
    ordered = {
        **{
            name: tuple(level for level in of if level in levels[name])
            for name, of in SLOWEST_FIRST.items()
        }
    }
    assert all(len(ordered[name]) == len(levels[name]) for name in ordered), (
        "a level of the default study has no place in SLOWEST_FIRST"
    )
    return Work(
        factors=tuple(
            {**ordered, **{name: of for name, of in levels.items() if name not in ordered}}.items()
        )
    )


def environment() -> dict[str, str]:
    return {**os.environ, **ENVIRONMENT, "PYTHONPATH": str(ROOT)}


def command(arguments: Sequence[str], folder: Path) -> float:
    """Wall seconds; an error with the end of what it said where it fails."""
    begun = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, *arguments],
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        said, _ = process.communicate(timeout=LIMIT)
    except BaseException:
        end(process)
        process.wait()
        raise
    if process.returncode:
        raise RuntimeError(
            f"{Path(arguments[0]).name}: exit status {process.returncode}\n{said[-3000:]}"
        )
    return time.monotonic() - begun


# --- this program ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Ours:
    """One run of the three commands of `make sweep`: wall seconds of all, by phase, CPU seconds by
    process.
    """

    seconds: float
    phases: dict[str, float]
    cpu: dict[str, float]
    points: int


@functools.cache
def ours(work: Work, repeat: int) -> Ours:
    """`python -m study`, `reports render`, `study.artifacts`; once a repeat, whatever figures need
    it.
    """
    with temporary() as folder:
        typed = [f"{name}={','.join(levels)}" for name, levels in work.factors]
        typed += [
            f"task.form={work.form}",
            f"updates={work.updates}",
            f"validate_every={work.every}",
            "device=cpu",
            "name=bench",
        ]
        before = time.time()
        study = watched(
            [sys.executable, "-m", "study", "-m", "experiment=digits", *typed],
            folder,
            environment(),
            LIMIT,
        )
        store = Store(folder / "outputs" / "bench")
        report = command(["-m", "reports", "render", str(store.folder)], folder)
        artifacts = command(["-m", "study.artifacts", str(store.folder)], folder)
        results = [store.result(id)["row"] for id in store.ids()]
        if len(results) != len(work.points) or any(
            row["status"] not in ("done", "diverged") for row in results
        ):
            raise RuntimeError(
                f"{len(results)} of {len(work.points)} points are stored:"
                f" {[row['status'] for row in results]}\n{study.said()[-2000:]}"
            )
        logged = len(list((store.folder / "wandb").glob("offline-run-*")))
        if logged < len(results) or not (store.folder / "report.html").exists():
            raise RuntimeError(
                f"{logged} of {len(results)} points were logged to W&B; report:"
                f" {(store.folder / 'report.html').exists()}\n{study.said()[-2000:]}"
            )
        phases = split(study, before, store, sum(row["seconds"] for row in results))
        return Ours(
            study.seconds + report + artifacts,
            {**phases, "report": report, "artifacts to W&B": artifacts},
            study.cpu(),
            len(results),
        )


def split(study: Watched, before: float, store: Store, trained: float) -> dict[str, float]:
    """Wall seconds of `python -m study` by what it waits for.

    Training: both what workers measured, over the workers.
    """
    planned = next(when for when, line in study.lines if ": training " in line)
    stored = (
        max((store.point_folder(id) / "result.json").stat().st_mtime for id in store.ids()) - before
    )
    return {
        "imports and planning": planned,
        "training (its share of a core)": trained / cores(),
        "worker start, storing, waiting for the last group": stored - planned - trained / cores(),
        "trackers' rest and the end": study.seconds - stored,
    }


# --- what a user would start instead --------------------------------------------------------------


@dataclass(frozen=True)
class Theirs:
    """Wall seconds of `of` points of `whole`: all, those until the first point began, and those
    that cores had nothing left to do at the end.
    """

    seconds: float
    fixed: float
    idle: float
    of: int
    whole: int

    @property
    def scaled(self) -> float:
        """What all points would take: what is there once is counted once."""
        once = self.fixed + self.idle
        return once + (self.seconds - once) * self.whole / self.of


def idle(ended: Sequence[float], workers: int) -> float:
    """Seconds that a worker had, in the mean, after its last point: those points are the last ones
    to end.
    """
    return sum(max(ended) - last for last in sorted(ended)[-workers:]) / workers


def settings(work: Work, folder: Path) -> dict[str, object]:
    return {
        "form": work.form,
        "updates": work.updates,
        "validate_every": work.every,
        "out": str(folder / "runs"),
    }


def scripts(work: Work, folder: Path) -> None:
    """(a1) a process a point, as many at a time as cores."""

    def one(point: dict[str, str]) -> None:
        command(
            [
                str(HERE / "script.py"),
                *(
                    f"--{name}={value}"
                    for name, value in {**point, **settings(work, folder)}.items()
                ),
            ],
            folder,
        )

    with ThreadPoolExecutor(cores()) as pool:
        for _ in pool.map(one, work.points):
            pass


def joblib_launcher(work: Work, folder: Path) -> None:
    """(a2) Hydra's joblib launcher, which reuses its workers."""
    factors = [f"{name}={','.join(levels)}" for name, levels in work.factors]
    typed = [f"{name}={value}" for name, value in settings(work, folder).items()]
    command(
        [
            str(HERE / "script_hydra.py"),
            "-m",
            "hydra/launcher=joblib",
            f"hydra.launcher.n_jobs={cores()}",
            *factors,
            *typed,
        ],
        folder,
    )


def ray_tune(work: Work, folder: Path) -> None:
    """(b) Ray Tune, one CPU a trial."""
    factors = {
        name: [int(level) if level.isdigit() else level for level in levels]
        for name, levels in work.factors
    }
    command(
        [
            str(HERE / "script_tune.py"),
            json.dumps(factors),
            json.dumps(settings(work, folder)),
            str(cores()),
            str(folder),
        ],
        folder,
    )


WAYS = {"scripts": scripts, "joblib": joblib_launcher, "tune": ray_tune}


def theirs(way: str, work: Work, thin: int, repeat: int) -> Theirs:
    """A thinned grid by one of WAYS; every point must have left what it was to leave."""
    part = work.thinned(1 / thin, repeat)
    with temporary() as folder:
        before, begun = time.time(), time.monotonic()
        WAYS[way](part, folder)
        seconds = time.monotonic() - begun
        results = [json.loads(path.read_text()) for path in (folder / "runs").glob("*.json")]
        runs = len(list((folder / "runs" / "wandb").glob("offline-run-*")))
        if len(results) != len(part.points) or runs != len(part.points):
            raise RuntimeError(
                f"{way}: {len(results)} results and {runs} W&B runs of {len(part.points)} points"
            )
        fixed = 0.0 if way == "scripts" else min(result["began"] for result in results) - before
        left = idle([result["ended"] for result in results], cores())
        return Theirs(seconds, fixed, left, len(part.points), len(work.points))


def ratio_to(
    figure: str, way: str, work: Work, asked: TrialRequest, repeat: int
) -> tuple[Theirs, Ours]:
    """Both sides, in turn; said as they come, and kept whole in the JSON under
    the figure's name.
    """
    work = work.thinned(asked.share, repeat)
    order = ["them", "us"] if repeat % 2 == 0 else ["us", "them"]
    given = {
        side: theirs(way, work, asked.thin, repeat) if side == "them" else ours(work, repeat)
        for side in order
    }
    them, us = given["them"], given["us"]
    assert isinstance(them, Theirs) and isinstance(us, Ours)
    told = (
        f"{them.seconds:.1f} s for {them.of} of {them.whole} points ({them.fixed:.1f} s before the"
        f" first, {them.idle:.1f} s idle at the end), so {them.scaled:.0f} s for all"
    )
    asked.more.setdefault(figure, []).append(
        {"them": asdict(them) | {"scaled": them.scaled}, "us": asdict(us), "work": asdict(work)}
    )
    asked.say(
        f"repeat {repeat + 1}: {figure}: {told}; {us.seconds:.1f} s by this program for {us.points}"
    )
    return them, us


@contextmanager
def temporary() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as name:
        yield Path(name).resolve()
