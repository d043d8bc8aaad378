"""Slurm's commands, run and read."""

from __future__ import annotations

import contextlib
import re
import shutil
import subprocess
from collections.abc import Sequence
from typing import Any

COMMANDS = ("sbatch", "squeue", "scontrol", "scancel")
ENDED = (
    "BOOT_FAIL",
    "CANCELLED",
    "COMPLETED",
    "DEADLINE",
    "FAILED",
    "NODE_FAIL",
    "OUT_OF_MEMORY",
    "PREEMPTED",
    "TIMEOUT",
)  # states of jobs that have ended
ANSWER_SECONDS = 60  # that a command may take
NAMES = 500  # jobs per command line


def run(*command: str, text: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command with `text` as its input; exit status 124 if it takes too long."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        return subprocess.run(
            command, input=text, capture_output=True, text=True, timeout=ANSWER_SECONDS, check=False
        )
    message = f"{command[0]} does not answer within {ANSWER_SECONDS} s"
    return subprocess.CompletedProcess(command, 124, "", message)


def sbatch(flags: Sequence[str], command: str) -> subprocess.CompletedProcess[str]:
    return run("sbatch", *flags, text=f"#!/bin/sh\nexec {command}\n")


def squeue() -> dict[str, tuple[str, str]] | None:
    """{job: (state, reason)} of this user's jobs, recently ended ones included; None if Slurm does
    not answer.
    """
    answer = run("squeue", "--me", "--array", "--noheader", "--states=all", "--format=%i|%T|%r")
    if answer.returncode:
        return None
    lines = (line.strip().split("|", 2) for line in answer.stdout.splitlines())
    return {line[0]: (line[1], line[2]) for line in lines if len(line) == 3}


def show_job(job: str) -> dict[str, str]:
    """What scontrol shows of a job, such as JobState."""
    return dict(re.findall(r"(\w+)=(\S*)", run("scontrol", "show", "job", "-o", job).stdout))


def scancel(names: Sequence[str]) -> None:
    for part in sliced(names, NAMES):
        run("scancel", *part)


def partitions() -> str:
    """The cluster's partitions as an appendix to a message."""
    if not shutil.which("sinfo"):
        return ""
    names = run("sinfo", "--noheader", "--format=%R").stdout.split()
    return f". Partitions here: {', '.join(dict.fromkeys(names))}" if names else ""


def sliced(items: Sequence[Any], length: int) -> list[Sequence[Any]]:
    return [items[start : start + length] for start in range(0, len(items), length)]
