"""A Ray cluster, running already at `address`, or one of this machine: jobs are tasks, each a
process of its own where Ray puts it.

Tasks end with the command. One whose node is lost is started again elsewhere by Ray, and goes on
from its checkpoints.
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
from study.workers.remote import Fate, Queued, Remote

CONNECT_SECONDS = 5.0


class Ray(Remote):
    """`address`: HOST:PORT of a running cluster's head, seen from a machine of the cluster; null:
    this machine, for the command's time.

    `resources`: what a job takes beside cores, GPUs and memory, by the names that the cluster's
    nodes give it. `python`: of the workers; null: the one that runs the command. `leave_seconds`:
    that jobs have to keep what they are training when the command ends.
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
        self.address, self.resources, self.python, self.leave_seconds = (
            address,
            dict(resources),
            python or sys.executable,
            leave_seconds,
        )
        self.tasks: dict[str, Any] = {}  # name -> reference to its result

    def describe(self, groups: Sequence[Group]) -> str:
        if not groups:
            return "nothing to queue"
        seconds = [self.seconds(job) for job in self.pack(groups)]
        where = f"the Ray cluster at {self.address}" if self.address else "a Ray of this machine"
        told = (
            f"{len(seconds)} job{'s' if len(seconds) > 1 else ''} of {self.each()} as tasks on"
            f" {where}\n{self.expected(seconds)}"
        )
        return f"{told}, as many at once as the cluster has room for; rough estimates"

    # --- before anything is queued ----------------------------------------------------------------

    def ready(self, folder: Path) -> str | None:
        """Connects; asks every node that has room for a job."""
        self.connect()
        ray = package()
        asked = {
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
                for name, amount in asked.items()
                if amount
            )
        ]
        if not able:
            has = "; ".join(
                f"{node['NodeManagerAddress']}: {_short(node['Resources'])}" for node in nodes
            )
            ray.shutdown()
            raise StudyError(
                f"executor: no node of the Ray cluster has {_short(asked)}, which a job asks for."
                f" Nodes: {has}"
            )
        try:
            self.ask(able, folder.resolve())
        except StudyError:
            ray.shutdown()
            raise
        return None

    def connect(self) -> None:
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
                " status` on its head tells the address"
            ) from error
        try:
            ray.init(address=self.address, **quiet)
        except (RuntimeError, ConnectionError, ValueError, OSError) as error:
            raise StudyError(
                f"executor: what listens at {self.address} is no Ray that this one can join:"
                f" {error}"
            ) from error

    def ask(self, nodes: Sequence[Mapping[str, Any]], folder: Path) -> None:
        """A short task on each node tells whether it sees the folder and has what is needed."""
        ray = package()
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        token = f".partial-{secrets.token_hex(4)}"
        answers = [folder / f".partial-{secrets.token_hex(4)}" for _ in nodes]
        try:
            (folder / token).touch()
            here = [
                NodeAffinitySchedulingStrategy(node_id=node["NodeID"], soft=False) for node in nodes
            ]
            task = ray.remote(num_cpus=0, max_retries=0)(asking())
            asked = [
                task.options(scheduling_strategy=at).remote(
                    [self.python, "-c", PROGRAM, str(folder), token, str(answer)]
                )
                for at, answer in zip(here, answers, strict=True)
            ]
            for node, reference, answer in zip(nodes, asked, answers, strict=True):
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
        self.connect()
        ray = package()
        names = [f"{folder.name}-{path.name.split('.')[0]}" for path in paths]
        for name, path in zip(names, paths, strict=True):
            task = ray.remote(training())
            asked = {
                "num_cpus": self.cpus,
                "num_gpus": self.gpus,
                "resources": self.resources or None,
                "name": name,
                "max_retries": self.tries,
            }
            asked |= {"memory": round(self.memory_gb * 2**30)} if self.memory_gb else {}
            self.tasks[name] = task.options(**asked).remote(
                [self.python, "-m", "study.workers.jobs", str(path)],
                str(path.parent / f"{name}.log"),
                self.leave_seconds,
            )
        return names

    def fates(self, names: Iterable[str]) -> Mapping[str, Fate]:
        ray, found = package(), {}
        for name in names:
            if ray.wait([self.tasks[name]], timeout=0)[0]:
                try:
                    status = ray.get(self.tasks[name])
                    found[name] = Fate(
                        "it ended without them" if status == 0 else f"it ended with status {status}"
                    )
                except ray.exceptions.TaskCancelledError:
                    found[name] = Fate(
                        "it was cancelled; the same command goes on with its points", final=True
                    )
                except ray.exceptions.RayError as error:
                    found[name] = Fate(
                        f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
                    )
        return found

    def cancel(self, names: Sequence[str]) -> None:
        for name in names:
            with contextlib.suppress(Exception):  # Ray's own, where the cluster is gone
                package().cancel(self.tasks[name])

    def leave(self, running: Sequence[Queued]) -> None:
        """Jobs keep what they are training."""
        self.cancel([one.name for one in running])
        with contextlib.suppress(Exception):  # as above
            left = [self.tasks[one.name] for one in running]
            package().wait(left, num_returns=len(left), timeout=self.leave_seconds + 1)

    def told(self, names: Sequence[str]) -> str:
        several = f"{len(names)} jobs are" if len(names) > 1 else "1 job is"
        return f"{several} queued as Ray tasks; Ctrl-C ends them, keeping what they are training"

    def log(self, folder: Path, name: str) -> str:
        path = folder / f"{name}.log"
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""


def package() -> Any:
    try:
        import ray
    except ImportError as error:
        raise StudyError(
            "executor: ray is not installed; pip install 'rnn-gradient-study[ray]'"
        ) from error
    return ray


def _short(resources: Mapping[str, float]) -> str:
    """CPU 4, memory 8 GB; what Ray keeps for itself is left out."""
    shown = {
        name: amount
        for name, amount in resources.items()
        if amount and not name.startswith(("node:", "object_store", "accelerator"))
    }
    return ", ".join(
        f"{name} {amount / 2**30:.0f} GB" if name == "memory" else f"{name} {amount:g}"
        for name, amount in shown.items()
    )


# Functions inside functions are sent whole: a node without this package can run them, and say so.


def asking() -> Any:
    def ask(command: list[str]) -> int:
        import subprocess

        try:
            return subprocess.run(command, check=False, capture_output=True).returncode
        except OSError:
            return 127

    return ask


def training() -> Any:
    def train(command: list[str], log: str, leave_seconds: float) -> int:
        """A process of its own: Ray's has threads and handlers of signals that are not ours.

        It ends with this one.
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
                time.sleep(
                    0.2
                )  # Ray's cancelling is heard between two lines, not inside a call that waits
            return process.returncode
        except BaseException:  # cancelled
            process.terminate()
            try:
                process.wait(leave_seconds)
            finally:
                process.kill()
            raise

    return train
