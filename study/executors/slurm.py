"""A Slurm cluster, by submitit: job arrays of groups.

The command may be left and called again; it finds the jobs that still wait or run.

A job whose time is nearly over (or that is told so by SIGUSR1 or SIGUSR2) keeps what it is training
and queues itself again.
"""

from __future__ import annotations

import contextlib
import re
import secrets
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from study.interfaces import Event, Group, require
from study.records import StudyError
from study.training.groups import duration
from study.workers.jobs import carry_out
from study.workers.preflight import PROGRAM, judge
from study.workers.remote import Fate, Remote

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
)
USUAL = (
    "None",
    "Priority",
    "Resources",
    "Dependency",
    "JobArrayTaskLimit",
    "BeginTime",
    "Cleaning",
    "",
)  # reasons to wait that nobody has to mend
COMMANDS = ("sbatch", "squeue", "scontrol", "scancel")
ANSWER_MINUTES = 5  # limit of the job that asks


class Slurm(Remote):
    """`time_minutes` is a job's limit, `signal_seconds` before which it is told; `parallel` jobs of
    an array run at once; `array` is the longest one that the cluster takes (MaxArraySize).
    `options`: whatever else sbatch knows, by its long name. `python`: of the workers; null: the one
    that runs the command.
    """

    def __init__(
        self,
        *,
        partition: str | None,
        account: str | None,
        time_minutes: int,
        signal_seconds: int,
        parallel: int,
        array: int,
        options: Mapping[str, Any],
        python: str | None,
        **settings: Any,
    ) -> None:
        super().__init__(**settings)
        require(time_minutes >= 1, "slurm", "time_minutes", "at least 1", time_minutes)
        require(
            0 < signal_seconds < 60 * time_minutes,
            "slurm",
            "signal_seconds",
            "greater than 0 and less than time_minutes",
            signal_seconds,
        )
        require(parallel >= 1, "slurm", "parallel", "at least 1", parallel)
        require(array >= 1, "slurm", "array", "at least 1", array)
        self.partition, self.account, self.time_minutes, self.signal_seconds = (
            partition,
            account,
            time_minutes,
            signal_seconds,
        )
        self.parallel, self.array, self.options, self.python = (
            parallel,
            array,
            dict(options),
            python or sys.executable,
        )
        self.waiting: dict[str, str] = {}  # job -> a reason to wait that somebody has to mend

    def describe(self, groups: Sequence[Group]) -> str:
        if not groups:
            return "nothing to queue"
        jobs = self.pack(groups)
        seconds, several = [self.seconds(job) for job in jobs], "jobs" if len(jobs) > 1 else "job"
        at_once = min(self.parallel, len(jobs))
        arrays = " + ".join(
            f"0-{len(part) - 1}%{min(self.parallel, len(part))}"
            for part in sliced(jobs, self.array)
        )
        told = (
            f"{len(jobs)} {several} of {self.each()}: array {arrays}, partition"
            f" {self.partition or '(the default)'}, limit {self.time_minutes} min\n"
        )
        told += (
            f"{self.expected(seconds)}, about {duration(max(max(seconds), sum(seconds) / at_once))}"
            f" with {at_once} at once; rough estimates"
        )
        if max(seconds) > 60 * self.time_minutes:
            told += (
                "\nthe longest outlast their limit: they keep what they have and queue themselves"
                " again"
            )
        return told

    # --- before anything is queued ----------------------------------------------------------------

    def ready(self, folder: Path) -> str | None:
        for command in COMMANDS:
            if shutil.which(command) is None:
                raise StudyError(
                    f"executor: slurm needs the command {command} on the path; run this where jobs"
                    " are submitted, or use executor=local"
                )
        submitit()
        tested = self.sbatch(
            ["--test-only", *self.flags(self.time_minutes), *self.further()], "true"
        )
        if tested.returncode:
            said = " ".join(tested.stderr.split()).removeprefix("sbatch: error: ")
            raise StudyError(
                "executor: slurm does not take such a job:"
                f" {said}{self.partitions() if 'partition' in said else ''}"
            )
        return self.ask(folder.resolve())

    def ask(self, folder: Path) -> str | None:
        """A short job of the same kind tells whether its machine sees the folder and has what is
        needed.
        """
        token, answer = (
            f".partial-{secrets.token_hex(4)}",
            folder / f".partial-{secrets.token_hex(4)}",
        )
        program = shlex.join([self.python, "-c", PROGRAM, str(folder), token, str(answer)])
        try:
            (folder / token).touch()
            asked = self.sbatch(
                [
                    "--parsable",
                    "--output=/dev/null",
                    *self.flags(min(ANSWER_MINUTES, self.time_minutes)),
                    *self.further(),
                ],
                program,
            )
            if asked.returncode:
                raise StudyError(
                    f"executor: slurm does not take such a job: {' '.join(asked.stderr.split())}"
                )
            job = asked.stdout.strip().split(";")[0]
            status, node, why = self.awaited(job)
            if status is None:
                return (
                    f"no machine could be asked within {self.ask_seconds:g} s ({why}); jobs are"
                    " queued, and each looks before it trains"
                )
            judge(f"machine {node} of the cluster", folder, status, answer, self.python)
        finally:
            for path in (folder / token, answer):
                path.unlink(missing_ok=True)
        return None

    def awaited(self, job: str) -> tuple[int | None, str, str]:
        """(exit status, node, why it waits) of a job; status None if it has not begun in time: it
        is then taken back.
        """
        until, began = time.monotonic() + self.ask_seconds, False
        try:
            while True:
                told = dict(
                    re.findall(r"(\w+)=(\S*)", run("scontrol", "show", "job", "-o", job).stdout)
                )
                state = told.get("JobState", "")
                if state in ENDED:
                    return (
                        int(told.get("ExitCode", "1:0").split(":")[0])
                        or (0 if state == "COMPLETED" else 1),
                        told.get("NodeList", ""),
                        "",
                    )
                began = began or state == "RUNNING"
                if time.monotonic() > until + (60 * ANSWER_MINUTES if began else 0):
                    return None, "", told.get("Reason", "it does not answer")
                time.sleep(0.2)
        finally:
            run("scancel", job)

    def flags(self, minutes: int) -> list[str]:
        told = {
            "partition": self.partition,
            "account": self.account,
            "cpus-per-task": self.cpus,
            "gpus-per-node": self.gpus or None,
            "time": minutes,
        }
        told |= {
            "mem": f"{round(self.memory_gb * 1024)}M" if self.memory_gb else None,
            "nodes": 1,
            "job-name": "rnn-gradient-study",
        }
        return [f"--{name}={value}" for name, value in told.items() if value is not None]

    def further(self) -> list[str]:
        return [
            f"--{name}" if value is True else f"--{name}={value}"
            for name, value in self.options.items()
        ]

    def sbatch(self, flags: Sequence[str], command: str) -> subprocess.CompletedProcess[str]:
        return run("sbatch", *flags, text=f"#!/bin/sh\nexec {command}\n")

    def partitions(self) -> str:
        names = (
            run("sinfo", "--noheader", "--format=%R").stdout.split()
            if shutil.which("sinfo")
            else []
        )
        return f". Partitions here: {', '.join(dict.fromkeys(names))}" if names else ""

    # --- jobs -------------------------------------------------------------------------------------

    def queue(self, folder: Path, paths: Sequence[Path]) -> list[str]:
        names: list[str] = []
        for part in sliced(paths, self.array):
            executor = submitit().SlurmExecutor(
                folder=folder / "logs", python=shlex.quote(self.python)
            )
            asked = {
                "partition": self.partition,
                "account": self.account,
                "gpus_per_node": self.gpus or None,
            }
            asked |= {"mem": f"{round(self.memory_gb * 1024)}MB" if self.memory_gb else None}
            executor.update_parameters(
                job_name="rnn-gradient-study",
                time=self.time_minutes,
                cpus_per_task=self.cpus,
                array_parallelism=self.parallel,
                signal_delay_s=self.signal_seconds,
                additional_parameters={"requeue": True, **self.options},
                **{name: value for name, value in asked.items() if value is not None},
            )
            try:
                names += [
                    job.job_id for job in executor.map_array(in_job, [str(path) for path in part])
                ]
            except Exception as error:  # submitit's own, of several kinds
                if names:
                    self.cancel(names)
                raise StudyError(f"executor: slurm does not take the jobs: {error}") from error
        return names

    def fates(self, names: Iterable[str]) -> Mapping[str, Fate]:
        told = self.squeue()
        if told is None:
            return {}  # the controller does not answer: nobody knows
        found = {}
        for name in names:
            state, reason = told.get(name, ("gone", ""))
            if state == "CANCELLED":
                found[name] = Fate(
                    "it was cancelled; the same command goes on with its points", final=True
                )
            elif state == "COMPLETED":
                found[name] = Fate("it ended without them")
            elif state == "gone" or state in ENDED:
                found[name] = Fate(
                    "Slurm does not know it any more" if state == "gone" else f"it ended as {state}"
                )
            elif state == "PENDING" and reason not in USUAL:
                self.waiting[name] = reason
        return found

    def follow(self, *arguments: Any) -> Iterator[Event]:
        said = set[str]()
        for event in super().follow(*arguments):
            yield event
            for reason in set(self.waiting.values()) - said:
                said.add(reason)
                yield {
                    "event": "note",
                    "text": f"jobs wait for a reason that Slurm gives as {reason}",
                }

    def alive(self, names: Sequence[str]) -> set[str]:
        told = self.squeue() if names else {}
        return {
            name
            for name in names
            if told and told.get(name, ("gone", ""))[0] not in (*ENDED, "gone")
        }

    def squeue(self) -> dict[str, tuple[str, str]] | None:
        """{job: (state, reason)} of this user's jobs, those that have just ended among them."""
        told = run("squeue", "--me", "--array", "--noheader", "--states=all", "--format=%i|%T|%r")
        if told.returncode:
            return None
        lines = (line.strip().split("|", 2) for line in told.stdout.splitlines())
        return {line[0]: (line[1], line[2]) for line in lines if len(line) == 3}

    def cancel(self, names: Sequence[str]) -> None:
        for part in sliced(names, 500):
            run("scancel", *part)

    def told(self, names: Sequence[str]) -> str:
        arrays = ", ".join(dict.fromkeys(name.split("_")[0] for name in names))
        several = f"{len(names)} jobs are" if len(names) > 1 else "1 job is"
        return (
            f"{several} queued as {arrays}. Ctrl-C leaves them running, the same command comes back"
            f" to them; scancel {arrays.replace(',', '')} ends them"
        )

    def log(self, folder: Path, name: str) -> str:
        found = sorted((folder / "logs").glob(f"{name}*_log.err"))
        return found[-1].read_text(encoding="utf-8", errors="replace") if found else ""


def in_job(path: str) -> str:
    """What submitit calls on the machine that trains.

    Told that the time is over, the job queues itself again, if it has come further.
    """
    ended = carry_out(Path(path), (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2))
    if ended.told in (signal.SIGUSR1, signal.SIGUSR2):
        if not ended.gained:
            raise SystemExit(
                "its time was over before anything was gained: executor.time_minutes is too short,"
                " or store.checkpoint_seconds too long"
            )
        for number in (
            signal.SIGTERM,
            signal.SIGCONT,
        ):  # what Slurm sends to a job that is queued again
            signal.signal(number, signal.SIG_IGN)
        submitit().JobEnvironment()._requeue(0)
    if ended.told is not None or ended.refused:
        raise SystemExit(1)
    return "over"


def submitit() -> Any:
    try:
        import submitit as package
    except ImportError as error:
        raise StudyError(
            "executor: slurm needs submitit; pip install 'rnn-gradient-study[slurm]'"
        ) from error
    return package


def run(*command: str, text: str | None = None) -> subprocess.CompletedProcess[str]:
    with contextlib.suppress(subprocess.TimeoutExpired):
        return subprocess.run(
            command, input=text, capture_output=True, text=True, timeout=60, check=False
        )
    return subprocess.CompletedProcess(
        command, 124, "", f"{command[0]} does not answer within 60 s"
    )


def sliced(items: Sequence[Any], length: int) -> list[Sequence[Any]]:
    return [items[start : start + length] for start in range(0, len(items), length)]
