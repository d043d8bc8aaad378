"""What the tests of executors on other machines share: a small sweep, the command, and waiting."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from tests import ROOT
from tests.support.commands import call
from tests.support.helpers import hears_ctrl_c

SWEEP = [
    "experiment=quick",
    "name=sweep",
    "cell=rnn,gru",
    "initializer=orthogonal",
    "seed=0,1,2",
    "hidden=8",
    "probe=[transport]",
    "tracker=[]",
]
PATIENCE = 240.0
LOCAL = {
    "_target_": "study.executors.local.Local",
    "workers": "auto",
    "device": "cpu",
    "max_members": 24,
    "timeout_minutes": 30,
    "deaths": 5,
    "same_failures": 5,
    "leave_seconds": 20,
}


def command(
    folder: Path, *arguments: str, environment: Mapping[str, str] | None = None
) -> subprocess.Popen[str]:
    """`python -m study -m …` in a folder of its own, heard through a file: it
    outlives no reader.
    """
    folder.mkdir(exist_ok=True)
    environment = {**(environment or os.environ), "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    with (folder / "said").open("w") as said:
        return subprocess.Popen(
            [sys.executable, "-m", "study", "-m", *arguments],
            cwd=folder,
            env=environment,
            stdout=said,
            stderr=said,
            text=True,
            preexec_fn=hears_ctrl_c,
        )


def said(folder: Path) -> str:
    return (folder / "said").read_text()


def ran(
    folder: Path,
    *arguments: str,
    environment: Mapping[str, str] | None = None,
    patience: float = PATIENCE,
) -> tuple[int, str]:
    """Exit status and words of a command that is waited for."""
    process = command(folder, *arguments, environment=environment)
    try:
        process.wait(timeout=patience)
    finally:
        process.kill()
    return process.returncode, said(folder)


def called(
    folder: Path, *arguments: str, environment: Mapping[str, str] | None = None
) -> tuple[int, str]:
    """Exit status and words of a command in this process, for what it refuses or only plans."""
    folder.mkdir(exist_ok=True)
    done = call(folder, "study", "-m", *arguments, environment=environment)
    return done.returncode, done.stdout + done.stderr


def wait_until(
    met: Callable[[], object], what: str, folder: Path | None = None, patience: float = PATIENCE
) -> None:
    until = time.monotonic() + patience
    while not met():
        assert time.monotonic() < until, f"waited for {what} for {patience:.0f} s" + (
            f"\n{said(folder)}" if folder else ""
        )
        time.sleep(0.1)
