"""A Slurm cluster: job arrays of groups, submitted through submitit.

The command may be interrupted and called again; it finds the jobs that still wait or run. A job
whose time is nearly over (or that receives SIGUSR1 or SIGUSR2) saves what it is training and queues
itself again.
"""

from __future__ import annotations

import secrets
import shlex
import shutil
import signal
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from study.interfaces import Event, Group, duration, require
from study.records import StudyError
from study.workers.jobs import carry_out
from study.workers.preflight import PROGRAM, judge
from study.workers.queued import JobEnd
from study.workers.remote import RemoteExecutor
from study.workers.slurm_commands import (
    COMMANDS,
    ENDED,
    partitions,
    sbatch,
    scancel,
    show_job,
    sliced,
    squeue,
)

# Reasons to wait that need no attention.
USUAL = (
    "None",
    "Priority",
    "Resources",
    "Dependency",
    "JobArrayTaskLimit",
    "BeginTime",
    "Cleaning",
    "",
)
ANSWER_MINUTES = 5  # time limit of the job that asks a machine
UNKNOWN = "unknown"  # state of a job that Slurm has forgotten


class Slurm(RemoteExecutor):
    """`time_minutes`: a job's time limit; it receives a signal `signal_seconds` before. `parallel`:
    jobs of an array that run at once. `array`: longest array the cluster accepts (MaxArraySize).
    `options`: any other option of sbatch, by its long name. `python`: of the workers; null: the one
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
        self.partition, self.account = partition, account
        self.time_minutes, self.signal_seconds = time_minutes, signal_seconds
        self.parallel, self.array, self.options = parallel, array, dict(options)
        self.python = python or sys.executable
        self.waiting: dict[str, str] = {}  # job -> a reason to wait that needs attention

    def describe(self, groups: Sequence[Group]) -> str:
        if not groups:
            return "nothing to queue"
        jobs = self.pack(groups)
        seconds = [self.seconds(job) for job in jobs]
        at_once = min(self.parallel, len(jobs))
        arrays = " + ".join(
            f"0-{len(part) - 1}%{min(self.parallel, len(part))}"
            for part in sliced(jobs, self.array)
        )
        total = duration(max(max(seconds), sum(seconds) / at_once))
        text = (
            f"{len(jobs)} {'jobs' if len(jobs) > 1 else 'job'} of {self.job_size()}: array"
            f" {arrays}, partition {self.partition or '(the default)'}, limit"
            f" {self.time_minutes} min\n{self.expected_time(seconds)}, about {total} with"
            f" {at_once} at once; rough estimates"
        )
        if max(seconds) > 60 * self.time_minutes:
            text += (
                "\nthe longest exceed their limit: they save what they have and queue themselves"
                " again"
            )
        return text

    # --- before anything is queued ----------------------------------------------------------------

    def ready(self, folder: Path) -> str | None:
        for command in COMMANDS:
            if shutil.which(command) is None:
                raise StudyError(
                    f"executor: slurm needs the command {command} on the path; run this where jobs"
                    " are submitted, or use executor=local"
                )
        submitit()
        tested = sbatch(["--test-only", *self._flags(self.time_minutes)], "true")
        if tested.returncode:
            error = " ".join(tested.stderr.split()).removeprefix("sbatch: error: ")
            hint = partitions() if "partition" in error else ""
            raise StudyError(f"executor: slurm rejects such a job: {error}{hint}")
        return self._ask_machine(folder.resolve())

    def _ask_machine(self, folder: Path) -> str | None:
        """Run a short job of the same kind that shows whether its machine can train.

        Raises StudyError if it cannot; returns a note if no machine answered in time.
        """
        token = f".partial-{secrets.token_hex(4)}"
        answer = folder / f".partial-{secrets.token_hex(4)}"
        program = shlex.join([self.python, "-c", PROGRAM, str(folder), token, str(answer)])
        try:
            (folder / token).touch()
            flags = self._flags(min(ANSWER_MINUTES, self.time_minutes))
            queued = sbatch(["--parsable", "--output=/dev/null", *flags], program)
            if queued.returncode:
                error = " ".join(queued.stderr.split())
                raise StudyError(f"executor: slurm rejects such a job: {error}")
            status, node, why = self._wait_for(queued.stdout.strip().split(";")[0])
            if status is None:
                return (
                    f"no machine answered within {self.ask_seconds:g} s ({why}); jobs are queued"
                    " all the same, and each checks its machine before it trains"
                )
            judge(f"machine {node} of the cluster", folder, status, answer, self.python)
        finally:
            for path in (folder / token, answer):
                path.unlink(missing_ok=True)
        return None

    def _wait_for(self, job: str) -> tuple[int | None, str, str]:
        """(exit status, node, why it waits) of a job; status None if it did not start in time. It
        is cancelled in any case.
        """
        deadline, began = time.monotonic() + self.ask_seconds, False
        try:
            while True:
                shown = show_job(job)
                state = shown.get("JobState", "")
                if state in ENDED:
                    status = int(shown.get("ExitCode", "1:0").split(":")[0])
                    status = status or (0 if state == "COMPLETED" else 1)
                    return status, shown.get("NodeList", ""), ""
                began = began or state == "RUNNING"
                if time.monotonic() > deadline + (60 * ANSWER_MINUTES if began else 0):
                    return None, "", shown.get("Reason", "it does not answer")
                time.sleep(0.2)
        finally:
            scancel([job])

    def _flags(self, minutes: int) -> list[str]:
        """Options of sbatch for a job of this length."""
        flags = {
            "partition": self.partition,
            "account": self.account,
            "cpus-per-task": self.cpus,
            "gpus-per-node": self.gpus or None,
            "time": minutes,
            "mem": f"{round(self.memory_gb * 1024)}M" if self.memory_gb else None,
            "nodes": 1,
            "job-name": "rnn-gradient-study",
        }
        named = [f"--{name}={value}" for name, value in flags.items() if value is not None]
        return named + [
            f"--{name}" if value is True else f"--{name}={value}"
            for name, value in self.options.items()
        ]

    # --- jobs -------------------------------------------------------------------------------------

    def queue(self, folder: Path, paths: Sequence[Path]) -> list[str]:
        names: list[str] = []
        optional = {
            "partition": self.partition,
            "account": self.account,
            "gpus_per_node": self.gpus or None,
            "mem": f"{round(self.memory_gb * 1024)}MB" if self.memory_gb else None,
        }
        for part in sliced(paths, self.array):
            executor = submitit().SlurmExecutor(
                folder=folder / "logs", python=shlex.quote(self.python)
            )
            executor.update_parameters(
                job_name="rnn-gradient-study",
                time=self.time_minutes,
                cpus_per_task=self.cpus,
                array_parallelism=self.parallel,
                signal_delay_s=self.signal_seconds,
                additional_parameters={"requeue": True, **self.options},
                **{name: value for name, value in optional.items() if value is not None},
            )
            try:
                jobs = executor.map_array(in_job, [str(path) for path in part])
                names += [job.job_id for job in jobs]
            except Exception as error:  # submitit's own, of several kinds
                if names:
                    self.cancel(names)
                raise StudyError(f"executor: slurm rejects the jobs: {error}") from error
        return names

    def job_ends(self, names: Iterable[str]) -> Mapping[str, JobEnd]:
        jobs = squeue()
        if jobs is None:
            return {}
        found = {}
        for name in names:
            state, reason = jobs.get(name, (UNKNOWN, ""))
            if state == "CANCELLED":
                found[name] = JobEnd(
                    "it was cancelled; the same command continues its points", final=True
                )
            elif state == "COMPLETED":
                found[name] = JobEnd("it ended without its points")
            elif state == UNKNOWN:
                found[name] = JobEnd("Slurm does not know it any more")
            elif state in ENDED:
                found[name] = JobEnd(f"it ended as {state}")
            elif state == "PENDING" and reason not in USUAL:
                self.waiting[name] = reason
        return found

    def follow(self, *arguments: Any) -> Iterator[Event]:
        """Also reports why jobs wait, where that needs attention."""
        reported = set[str]()
        for event in super().follow(*arguments):
            yield event
            for reason in set(self.waiting.values()) - reported:
                reported.add(reason)
                yield {"event": "note", "text": f"jobs wait; Slurm gives the reason {reason}"}

    def alive(self, names: Sequence[str]) -> set[str]:
        jobs = (squeue() if names else None) or {}
        return {name for name in names if name in jobs and jobs[name][0] not in ENDED}

    def cancel(self, names: Sequence[str]) -> None:
        scancel(names)

    def queued_message(self, names: Sequence[str]) -> str:
        arrays = list(dict.fromkeys(name.split("_")[0] for name in names))
        several = f"{len(names)} jobs are" if len(names) > 1 else "1 job is"
        return (
            f"{several} queued as {', '.join(arrays)}. Ctrl-C leaves them running, and the same"
            f" command finds them again; scancel {' '.join(arrays)} ends them"
        )

    def log(self, folder: Path, name: str) -> str:
        found = sorted((folder / "logs").glob(f"{name}*_log.err"))
        return found[-1].read_text(encoding="utf-8", errors="replace") if found else ""


def in_job(path: str) -> str:
    """What submitit calls on the machine that trains. Queues the job again if its time is nearly
    over and something was gained.
    """
    outcome = carry_out(Path(path), (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2))
    if outcome.signal in (signal.SIGUSR1, signal.SIGUSR2):
        if not outcome.gained:
            raise SystemExit(
                "its time was over before anything was gained: executor.time_minutes is too short,"
                " or store.checkpoint_seconds too long"
            )
        for number in (signal.SIGTERM, signal.SIGCONT):  # sent by Slurm when it requeues a job
            signal.signal(number, signal.SIG_IGN)
        submitit().JobEnvironment()._requeue(0)
    if outcome.signal is not None or outcome.refused:
        raise SystemExit(1)
    return "over"


def submitit() -> Any:
    """The package, or a StudyError that says how to install it."""
    try:
        import submitit as package
    except ImportError as error:
        raise StudyError(
            "executor: slurm needs submitit; pip install 'rnn-gradient-study[slurm]'"
        ) from error
    return package
