"""Pieces that go wrong at a chosen update, as pieces of a user's may, and ways to run a command and
to end it.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from study.interfaces import ClipRule, Point, Tracker
from study.store import Store
from tests import ROOT
from tests.support.helpers import hears_ctrl_c

LOCAL = {
    "_target_": "study.executors.local.Local",
    "workers": 1,
    "max_members": 4,
    "device": "cpu",
    "timeout_minutes": None,
    "deaths": 3,
    "same_failures": 5,
    "leave_seconds": 20,
}


class Fault(ClipRule):
    """Leaves gradients alone until update `at` of this training; then does `how`."""

    def __init__(self, *, how: str, at: int) -> None:
        self.how, self.at = how, at

    def init(self, params: Tensor, slices: Mapping[str, tuple[slice, tuple[int, ...]]]) -> Any:
        return params.new_zeros(len(params), 1)

    def __call__(self, grads: Tensor, params: Tensor, state: Any) -> tuple[Tensor, Any]:
        if int(state[0]) == self.at:
            if self.how == "raise":
                raise RuntimeError(f"gate jammed at update {self.at}")
            if self.how == "memory":
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")
            if self.how == "allocate":
                torch.empty(2**58, dtype=torch.uint8)
            if self.how == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            if self.how == "loop":
                while True:
                    pass
            if self.how == "nan":
                grads = grads * torch.nan
        return grads, state + 1


class DiesOnce(ClipRule):
    """The worker is killed the first time that training comes to each of the updates `at`, as if
    from outside.
    """

    def __init__(self, *, marks: str, at: list[int]) -> None:
        self.marks, self.at = Path(marks), at

    def init(self, params: Tensor, slices: Mapping[str, tuple[slice, tuple[int, ...]]]) -> Any:
        return params.new_zeros(len(params), 1)

    def __call__(self, grads: Tensor, params: Tensor, state: Any) -> tuple[Tensor, Any]:
        update = int(state[0])
        if update in self.at and not (self.marks / f"{update}").exists():
            (self.marks / f"{update}").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return grads, state + 1


class Told(ClipRule):
    """Leaves a file for every member whose training begins anew, named by its first weights and the
    process; takes `seconds` an update.
    """

    def __init__(self, *, marks: str, seconds: float) -> None:
        self.marks, self.seconds = Path(marks), seconds

    def init(self, params: Tensor, slices: Mapping[str, tuple[slice, tuple[int, ...]]]) -> Any:
        # the launcher only tries the rule
        for row in params if multiprocessing.parent_process() else ():
            name = hashlib.blake2b(row.numpy().tobytes(), digest_size=4).hexdigest()
            launcher = (
                process.pid if (process := multiprocessing.parent_process()) else os.getppid()
            )
            (self.marks / f"{name}.{launcher}.{os.getpid()}").touch()

    def __call__(self, grads: Tensor, params: Tensor, state: Any) -> tuple[Tensor, Any]:
        time.sleep(self.seconds)
        return grads, state


class Slow(ClipRule):
    """Takes `seconds` an update as long as a file is there: what interrupts training meets it,
    whatever the machine's speed.
    """

    def __init__(self, *, file: str, seconds: float) -> None:
        self.file, self.seconds = Path(file), seconds

    def init(self, params: Tensor, slices: Mapping[str, tuple[slice, tuple[int, ...]]]) -> Any:
        return ()

    def __call__(self, grads: Tensor, params: Tensor, state: Any) -> tuple[Tensor, Any]:
        if self.file.exists():
            time.sleep(self.seconds)
        return grads, state


class Counted(NamedTuple):
    """A state of a class of its own."""

    seen: Tensor
    recent: list[Tensor]
    told: dict[str, Any]


class Nested(ClipRule):
    """Scales gradients by what its nested state holds, so that a state that is not given back shows
    in every number.
    """

    def __init__(self, *, amount: float) -> None:
        self.amount = amount

    def init(self, params: Tensor, slices: Mapping[str, tuple[slice, tuple[int, ...]]]) -> Any:
        return Counted(
            params.new_zeros(len(params)),
            [],
            {"updates": 0, "last": None, "by": (params.new_ones(len(params), 2),)},
        )

    def __call__(self, grads: Tensor, params: Tensor, state: Any) -> tuple[Tensor, Any]:
        seen, recent, told = state
        norm = grads.double().norm(dim=1)
        recent = [*recent, norm][-3:]
        factor = 1 / (1 + self.amount * (sum(recent) + seen + told["updates"]))
        told = {"updates": told["updates"] + 1, "last": "norm", "by": (told["by"][0] * 0.5,)}
        return grads * factor[:, None].to(grads.dtype), Counted(seen + 1, recent, told)


class Opaque(ClipRule):
    """Keeps a generator in its state, which no file of tensors can hold."""

    def init(self, params: Tensor, slices: Mapping[str, tuple[slice, tuple[int, ...]]]) -> Any:
        return torch.Generator()

    def __call__(self, grads: Tensor, params: Tensor, state: Any) -> tuple[Tensor, Any]:
        return grads, state


class LiveSink(Tracker):
    """Notes the updates of each batch of rows that it receives, slowly, and what becomes of points
    then.
    """

    def __init__(self, *, path: str, rows: int) -> None:
        self.path = Path(path)

    def open(self, study: str, folder: Path) -> None:
        """Nothing is needed."""

    def update(self, point: Point, rows: Sequence[Mapping[str, Any]]) -> None:
        time.sleep(0.5)
        self._note(f"{point.id} rows {' '.join(str(row['update']) for row in rows)}")

    def fail(self, point: str, reason: str) -> None:
        self._note(f"{point} failed {reason}")

    def log(self, result: Mapping[str, Any], folder: Path) -> None:
        self._note(f"{result['id']} stored")

    def close(self) -> None:
        """Nothing is open."""

    def _note(self, line: str) -> None:
        with self.path.open("a") as file:
            file.write(line + "\n")


class Sink(Tracker):
    """Notes what it hears; at `when` (open, log, close; log: of the second point) it does `how`."""

    def __init__(self, *, path: str, when: str, how: str) -> None:
        self.path, self.when, self.how = Path(path), when, how
        self.heard = 0

    def open(self, study: str, folder: Path) -> None:
        self._at("open")

    def log(self, result: Mapping[str, Any], folder: Path) -> None:
        self.heard += 1
        if self.heard == 2:
            self._at("log")
        with self.path.open("a") as file:
            file.write(f"{result['id']}\n")

    def close(self) -> None:
        self._at("close")

    def _at(self, when: str) -> None:
        if when == self.when:
            if self.how == "print":
                print("a word,", end=" ")
                print("and a line")
                return
            if self.how == "raise":
                raise OSError(28, "No space left on device")
            if self.how == "die":
                os.kill(os.getpid(), signal.SIGKILL)
            # a service of its own, as wandb's
            helper = subprocess.Popen(["sleep", "1000"], start_new_session=True)
            self.path.with_suffix(".helper").write_text(str(helper.pid))
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
            while True:
                time.sleep(1)


# --- commands -------------------------------------------------------------------------------------


def command(folder: Path, *arguments: str, host: str | None = None) -> subprocess.Popen[str]:
    """The real command, in a session of its own. `host`: as if on another machine."""
    run = ["-m", "study"]
    if host is not None:
        run = [
            "-c",
            (
                f"import study.store.leases as leases; leases.machine_id = lambda: {host!r}\nfrom"
                " study.__main__ import main; main()"
            ),
        ]
    return subprocess.Popen(
        [sys.executable, *run, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        preexec_fn=hears_ctrl_c,
    )


def children(pid: int) -> list[int]:
    try:
        return [
            int(child)
            for task in Path(f"/proc/{pid}/task").iterdir()
            for child in (task / "children").read_text().split()
        ]
    except OSError:
        return []


def workers(pid: int) -> list[int]:
    """Worker processes of a command, forked by a process of its own; not Python's own resource
    tracker.
    """
    found = []
    for child in children(pid):
        try:
            told = Path(f"/proc/{child}/cmdline").read_text()
        except OSError:
            continue
        found += (
            children(child)
            if "multiprocessing.forkserver" in told
            else [child]
            if "spawn_main" in told
            else []
        )
    return found


def gone(pids: list[int]) -> bool:
    """Whether these processes end; Python's own resource tracker takes a moment
    after its parent.
    """
    return until(
        lambda: (
            not any(
                Path(f"/proc/{pid}").exists() and " Z " not in Path(f"/proc/{pid}/stat").read_text()
                for pid in pids
            )
        ),
        10,
    )


def until(what: Callable[[], Any], seconds: float = 120) -> Any:
    """The first true answer, or the last one after so many seconds."""
    deadline = time.monotonic() + seconds
    while not (answer := what()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return answer


def end(process: subprocess.Popen[str]) -> None:
    """Nothing of a test that failed goes on behind it."""
    for pid in [*workers(process.pid), process.pid]:
        try:
            os.kill(pid, signal.SIGCONT)
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    process.communicate()


def statuses(store: Store) -> dict[str, str]:
    return {id: str(store.result(id)["row"]["status"]) for id in store.ids()}
