"""A running Ray cluster, or a Ray of this machine: jobs are tasks, each a process of its own.

Tasks end with the command. If a node is lost, Ray starts its tasks again elsewhere, and they resume
from their checkpoints.
"""

from __future__ import annotations

import contextlib
import secrets
import socket
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from study.interfaces import Group, require
from study.records import StudyError
from study.workers.preflight import PROGRAM, judge
from study.workers.queued import JobEnd, QueuedJob
from study.workers.remote import RemoteExecutor

CONNECT_SECONDS = 5.0


class Ray(RemoteExecutor):
    """`address`: HOST:PORT of a running cluster's head, seen from a machine of the cluster; null: a
    Ray of this machine, as long as the command runs.

    `resources`: what a job takes besides cores, GPUs and memory, by the names that the cluster's
    nodes use. `python`: of the workers; null: the one that runs the command. `leave_seconds`: that
    jobs get to save what they are training when the command ends.
    """

    def __init__(
        self,
        *,
        address: str | None,
        resources: Mapping[str, float],
        python: str | None,
        leave_seconds: float,
        **settings: Any,
    ) -> None:
        super().__init__(**settings)
        require(leave_seconds >= 0, "ray", "leave_seconds", "at least 0", leave_seconds)
        self.address, self.resources = address, dict(resources)
        self.python, self.leave_seconds = python or sys.executable, leave_seconds
        self.tasks: dict[str, Any] = {}  # name -> reference to its result

    def describe(self, groups: Sequence[Group]) -> str:
        if not groups:
            return "nothing to queue"
        seconds = [self.seconds(job) for job in self.pack(groups)]
        where = f"the Ray cluster at {self.address}" if self.address else "a Ray of this machine"
        return (
            f"{len(seconds)} job{'s' if len(seconds) > 1 else ''} of {self.job_size()} as tasks on"
            f" {where}\n{self.expected_time(seconds)}, as many at once as the cluster has room for;"
            " rough estimates"
        )

    # --- before anything is queued ----------------------------------------------------------------

    def ready(self, folder: Path) -> str | None:
        """Connect, and ask every node that has room for a job whether it can train."""
        self._connect()
        ray = package()
        needed = {
            "CPU": float(self.cpus),
            "GPU": float(self.gpus),
            "memory": (self.memory_gb or 0) * 2**30,
            **self.resources,
        }
        nodes = [node for node in ray.nodes() if node["Alive"]]
        able = [
            node
            for node in nodes
            if all(
                node["Resources"].get(name, 0.0) >= amount
                for name, amount in needed.items()
                if amount
            )
        ]
        if not able:
            has = "; ".join(
                f"{node['NodeManagerAddress']}: {_short(node['Resources'])}" for node in nodes
            )
            ray.shutdown()
            raise StudyError(
                f"executor: no node of the Ray cluster has {_short(needed)}, which a job needs."
                f" Nodes: {has}"
            )
        try:
            self._ask_nodes(able, folder.resolve())
        except StudyError:
            ray.shutdown()
            raise
        return None

    def _connect(self) -> None:
        ray = package()
        if ray.is_initialized():
            return
        quiet = {"include_dashboard": False, "log_to_driver": False, "logging_level": "ERROR"}
        if self.address is None:
            ray.init(address="local", **quiet)
            return
        host, _, port = self.address.rpartition(":")
        if not host or not port.isdigit():
            raise StudyError(
                "executor: address of ray must be HOST:PORT of the cluster's head, or null for"
                f" this machine; got {self.address!r}"
            )
        try:
            socket.create_connection((host, int(port)), CONNECT_SECONDS).close()
        except OSError as error:
            raise StudyError(
                f"executor: no Ray listens at {self.address} ({error.strerror or error}); `ray"
                " status` on its head shows the address"
            ) from error
        try:
            ray.init(address=self.address, **quiet)
        except (RuntimeError, ConnectionError, ValueError, OSError) as error:
            raise StudyError(
                f"executor: cannot join what listens at {self.address} as a Ray cluster: {error}"
            ) from error

    def _ask_nodes(self, nodes: Sequence[Mapping[str, Any]], folder: Path) -> None:
        """Run a short task on each node that shows whether it can train. Raises StudyError."""
        ray = package()
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        token = f".partial-{secrets.token_hex(4)}"
        answers = [folder / f".partial-{secrets.token_hex(4)}" for _ in nodes]
        try:
            (folder / token).touch()
            here = [
                NodeAffinitySchedulingStrategy(node_id=node["NodeID"], soft=False) for node in nodes
            ]
            task = ray.remote(num_cpus=0, max_retries=0)(asking_task())
            tasks = [
                task.options(scheduling_strategy=at).remote(
                    [self.python, "-c", PROGRAM, str(folder), token, str(answer)]
                )
                for at, answer in zip(here, answers, strict=True)
            ]
            for node, reference, answer in zip(nodes, tasks, answers, strict=True):
                where = f"node {node['NodeManagerAddress']} of the Ray cluster"
                try:
                    status = ray.get(reference, timeout=self.ask_seconds)
                except ray.exceptions.RayError as error:
                    raise StudyError(
                        f"executor: {where} does not answer ({type(error).__name__})"
                    ) from error
                judge(where, folder, status, answer, self.python)
        finally:
            for path in (folder / token, *answers):
                path.unlink(missing_ok=True)

    # --- jobs -------------------------------------------------------------------------------------

    def queue(self, folder: Path, paths: Sequence[Path]) -> list[str]:
        self._connect()
        ray = package()
        names = [f"{folder.name}-{path.name.split('.')[0]}" for path in paths]
        for name, path in zip(names, paths, strict=True):
            task = ray.remote(training_task())
            options = {
                "num_cpus": self.cpus,
                "num_gpus": self.gpus,
                "resources": self.resources or None,
                "name": name,
                "max_retries": self.tries,
            }
            options |= {"memory": round(self.memory_gb * 2**30)} if self.memory_gb else {}
            self.tasks[name] = task.options(**options).remote(
                [self.python, "-m", "study.workers.jobs", str(path)],
                str(path.parent / f"{name}.log"),
                self.leave_seconds,
            )
        return names

    def job_ends(self, names: Iterable[str]) -> Mapping[str, JobEnd]:
        ray, found = package(), {}
        for name in names:
            if ray.wait([self.tasks[name]], timeout=0)[0]:
                try:
                    status = ray.get(self.tasks[name])
                    why = f"with status {status}" if status else "without its points"
                    found[name] = JobEnd(f"it ended {why}")
                except ray.exceptions.TaskCancelledError:
                    found[name] = JobEnd(
                        "it was cancelled; the same command continues its points", final=True
                    )
                except ray.exceptions.RayError as error:
                    message = (str(error).splitlines() or [""])[0]
                    found[name] = JobEnd(f"{type(error).__name__}: {message}")
        return found

    def cancel(self, names: Sequence[str]) -> None:
        for name in names:
            with contextlib.suppress(Exception):  # Ray's own, if the cluster is gone
                package().cancel(self.tasks[name])

    def leave(self, running: Sequence[QueuedJob]) -> None:
        """Let jobs save what they are training."""
        self.cancel([job.name for job in running])
        with contextlib.suppress(Exception):  # as above
            left = [self.tasks[job.name] for job in running]
            package().wait(left, num_returns=len(left), timeout=self.leave_seconds + 1)

    def queued_message(self, names: Sequence[str]) -> str:
        several = f"{len(names)} jobs are" if len(names) > 1 else "1 job is"
        return f"{several} queued as Ray tasks; Ctrl-C ends them and saves what they are training"

    def log(self, folder: Path, name: str) -> str:
        path = folder / f"{name}.log"
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""


def package() -> Any:
    """Ray, or a StudyError that says how to install it."""
    try:
        import ray
    except ImportError as error:
        raise StudyError(
            "executor: ray is not installed; pip install 'rnn-gradient-study[ray]'"
        ) from error
    return ray


def _short(resources: Mapping[str, float]) -> str:
    """Resources in words, such as CPU 4, memory 8 GB, without those that Ray adds by itself."""
    shown = {
        name: amount
        for name, amount in resources.items()
        if amount and not name.startswith(("node:", "object_store", "accelerator"))
    }
    return ", ".join(
        f"{name} {amount / 2**30:.0f} GB" if name == "memory" else f"{name} {amount:g}"
        for name, amount in shown.items()
    )


# Ray sends a nested function with its code, so that a node without this package can run it too.


def asking_task() -> Any:
    def ask(command: list[str]) -> int:
        import subprocess

        try:
            return subprocess.run(command, check=False, capture_output=True).returncode
        except OSError:
            return 127

    return ask


def training_task() -> Any:
    def train(command: list[str], log: str, leave_seconds: float) -> int:
        """Train in a process of its own, which ends with this one: Ray's process has threads and
        signal handlers of Ray's.
        """
        import os
        import subprocess
        import time
        from pathlib import Path

        with Path(log).open("ab") as file:
            process = subprocess.Popen(
                [*command, str(os.getpid())], stdout=file, stderr=file, stdin=subprocess.DEVNULL
            )
        try:
            while process.poll() is None:
                time.sleep(0.2)  # Ray cancels between two lines, not inside a waiting call
            return process.returncode
        except BaseException:  # cancelled
            process.terminate()
            try:
                process.wait(leave_seconds)
            finally:
                process.kill()
            raise

    return train
