"""Processes are forked from one that imports for them: what they inherit, and that nothing outlives
whoever started it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from study.launch import run as launcher
from study.machine.orphans import descendants
from study.machine.processes import _settings_of_children, start, warm
from study.machine.signals import LEAVE
from tests import ROOT
from tests.support.faults import children, gone


def tell(connection, name):
    """What a process was born with."""
    connection.send(
        (
            os.getpid(),
            os.environ.get(name),
            os.environ["OMP_NUM_THREADS"],
            signal.pthread_sigmask(signal.SIG_BLOCK, ()),
        )
    )


def told(name):
    process, connection = start(tell, name)
    found = connection.recv()
    process.join(30)
    assert process.exitcode == 0
    return found


def forkers() -> list[int]:
    return [
        pid
        for pid in children(os.getpid())
        if "multiprocessing.forkserver" in Path(f"/proc/{pid}/cmdline").read_text()
    ]


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nothing is forked")
def test_a_process_has_the_environment_of_when_it_was_started_and_one_that_forks_may_be_killed(
    monkeypatch,
):
    first = told("WHERE")
    monkeypatch.setenv("WHERE", "here")
    second = told("WHERE")
    assert (first[1], second[1]) == (None, "here")
    assert first[2] == second[2] == "1"
    assert signal.SIGINT in second[3], "Ctrl-C is the launcher's affair"
    assert {signal.SIGTERM, signal.SIGUSR1}.isdisjoint(second[3])
    (forker,) = forkers()
    os.kill(forker, signal.SIGKILL)
    assert gone([forker])
    assert told("WHERE")[1] == "here"


def test_a_signal_that_comes_while_a_process_starts_is_heard_when_it_is_there_and_ends_it():
    sent = threading.Timer(0.02, os.kill, (os.getpid(), signal.SIGINT))
    before = signal.signal(
        signal.SIGINT, signal.default_int_handler
    )  # what a shell starts in the background ignores Ctrl-C
    try:
        warm(["study.store.digests"])
        with pytest.raises(KeyboardInterrupt):
            sent.start()
            for _ in range(1000):
                process, connection = start(tell, "WHERE")
                connection.recv()
                process.join(30)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)
    assert gone([forked for pid in children(os.getpid()) for forked in descendants(pid)])


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nothing is forked")
def test_the_one_that_forks_ends_with_its_launcher_also_while_it_imports():
    code = (
        "from study.machine.orphans import descendants; from study.machine.processes import warm;"
        " import os; warm(['torch', 'sklearn.datasets']); print(*descendants(os.getpid()))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert ran.returncode == 0, ran.stderr
    assert len(ran.stdout.split()) == 2, "Python's resource tracker, and the one that forks"
    assert gone([int(pid) for pid in ran.stdout.split()])
    assert ran.stderr == ""


def test_own_pieces_are_imported_ahead_and_nothing_if_only_the_plan_is_wanted(monkeypatch):
    asked: list[list[str]] = []
    monkeypatch.setattr(launcher, "warm", asked.append)
    config = {
        "plan": False,
        "cell": {"_target_": "study.cells.lstm.LSTM"},
        "task": {"_target_": "mine.Task"},
        "probe": {"a": {"_target_": "study.probes.loss.Loss"}},
    }
    launcher.prepare(config)
    launcher.prepare({**config, "plan": True})
    assert asked == [["study.cells.lstm", "study.probes.loss"]]


def test_handlers_come_back_also_where_signals_are_heard_meanwhile(monkeypatch):
    def leave(number, frame):
        raise SystemExit(number)

    def heard(number, handler, real=signal.signal):
        was = real(number, handler)
        if handler is leave:
            signal.raise_signal(number)
        return was

    numbers = (signal.SIGINT, *LEAVE)
    before = {number: signal.signal(number, leave) for number in numbers}
    try:
        monkeypatch.setattr(signal, "signal", heard)
        with pytest.raises(SystemExit), _settings_of_children():
            pass
        monkeypatch.undo()
        assert all(signal.getsignal(number) is leave for number in numbers)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()).isdisjoint(numbers)
