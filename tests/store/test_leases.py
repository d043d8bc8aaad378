"""Two launches, one store: a claim has one owner, a lost one is followed, and nothing is trained
twice or counted twice.
"""

from __future__ import annotations

import os
import signal
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from study.store import Store
from study.store.leases import Leases
from tests.support.faults import command, end, statuses, until, workers
from tests.training.test_engine import same_point


class Clock:
    """A monotonic clock that is set by hand."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def launch(tmp_path):
    """Launches as if on other machines: nobody's process can be looked up, no thread gives signs of
    life.
    """

    def make(host: str, seconds: float = 60.0, clock: Clock | None = None) -> Leases:
        leases = Leases(tmp_path, seconds, host=host, clock=clock or Clock())
        leases.folder.mkdir(exist_ok=True)
        leases.beat()
        return leases

    return make


def test_a_lease_has_one_owner(launch):
    one, other = launch("a"), launch("b")
    assert one.take("p")
    assert one.take("p"), "it is ours"
    assert not other.take("p")
    assert other.take("q")
    assert one.holders() == {"p": one.owner, "q": other.owner}
    one.release(["p", "never"])
    assert other.take("p")
    assert not one.mine("p")


@pytest.mark.parametrize("after", ["nobody", "a lost owner"])
def test_of_many_at_once_one_gets_it(launch, after, monkeypatch):
    """All have seen that it is free before the first of them takes it."""
    clock = Clock()
    many = [launch(f"h{number}", clock=clock) for number in range(16)]
    if after != "nobody":
        dead = launch("dead", seconds=10.0)
        dead.take("p")
        assert not any(leases.take("p") for leases in many)
        clock.now = 11.0
    barrier, got, open_now = threading.Barrier(len(many)), [], os.open

    def open_together(*arguments: Any) -> int:
        barrier.wait(timeout=60)
        return open_now(*arguments)

    monkeypatch.setattr("study.store.leases.os.open", open_together)

    def run(leases: Leases) -> None:
        if leases.take("p"):
            got.append(leases.owner)

    threads = [threading.Thread(target=run, args=(leases,)) for leases in many]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == 1
    assert many[0].holders() == {"p": got[0]}


def test_silence_is_measured_by_the_observers_own_clock(launch):
    clock = Clock()
    owner, observer = launch("a", seconds=10.0), launch("b", seconds=99.0, clock=clock)
    owner.take("p")
    for now in (0.0, 9.0, 18.0, 27.0):
        clock.now = now
        assert not observer.take("p")
        owner.beat()
    clock.now = 36.0
    assert not observer.take("p"), "the last beat is seen now"
    clock.now = 45.0
    assert not observer.take("p"), "silent for 9 of the 10 seconds that it asked for itself"
    clock.now = 47.0
    assert observer.take("p")
    assert not owner.mine("p")
    assert observer.mine("p")
    owner.beat()
    owner.release(["p"])
    assert observer.mine("p"), "who was taken over gives nothing back"
    assert not owner.take("p")


def test_the_wall_clock_and_the_dates_of_files_play_no_part(launch):
    clock = Clock()
    owner, observer = launch("a"), launch("b", clock=clock)
    owner.take("p")
    for path in owner.folder.iterdir():
        os.utime(path, (0, 0))
    assert not observer.take("p")
    for path in owner.folder.iterdir():
        os.utime(path, (2**33, 2**33))
    clock.now = 59.0
    assert not observer.take("p")
    clock.now = 61.0
    assert observer.take("p")


def test_a_process_of_this_machine_that_is_gone_is_lost_at_once(tmp_path):
    child = os.fork()
    if child == 0:
        leases = Leases(tmp_path, 60.0)
        leases.folder.mkdir()
        leases.beat()
        leases.take("p")
        os._exit(0)
    os.waitpid(child, 0)
    with Leases(tmp_path, 60.0) as leases:
        assert leases.take("p")
    assert list(leases.folder.iterdir()) == [], "nothing of the one that is gone stays"


def test_a_lost_claim_that_was_followed_is_nobodys_any_more(launch):
    """Else every launch that comes later would have to wait for the silence of the one that was
    lost.
    """
    clock = Clock()
    dead, heir = launch("dead", seconds=10.0), launch("heir", clock=clock)
    dead.take("p")
    heir.take("p")
    clock.now = 11.0
    assert heir.take("p")
    heir.release(["p"])
    assert launch("later").take("p")


def test_who_is_killed_between_making_and_signing_is_lost_in_time(launch, tmp_path):
    clock = Clock()
    leases = launch("a", seconds=10.0, clock=clock)
    (leases.folder / "p.0").touch()
    assert not leases.take("p")
    clock.now = 11.0
    assert leases.take("p")


@pytest.mark.parametrize("name", ["p.00", "p.b.1.2", "p.²", "p.٣", "p.-1", "p." + "9" * 40, "p."])
def test_a_file_that_is_no_lease_is_none(launch, name):
    """p.00 was read as number 0, whose file p.0 was then waited for without end."""
    leases = launch("a")
    (leases.folder / name).write_bytes(b"\xff")
    assert leases.take("p")
    assert leases.holders()["p"] == leases.owner


def test_a_lease_with_a_hostile_owner_is_lost_in_time(launch, tmp_path):
    clock = Clock()
    leases = launch("a", seconds=10.0, clock=clock)
    (leases.folder / "p.0").write_bytes(b"../../\x00\xff")
    (leases.folder / "q.0").write_text("z-1-2-b")
    (leases.folder / "z-1-2-b").write_text("nan 1")
    assert not leases.take("p") and not leases.take("q")
    clock.now = 11.0
    assert leases.take("p") and leases.take("q")


def test_everything_is_given_back_at_the_end(tmp_path):
    with pytest.raises(KeyboardInterrupt), Leases(tmp_path, 60.0) as leases:
        leases.take("p")
        raise KeyboardInterrupt
    assert list(leases.folder.iterdir()) == []


def test_launches_that_write_the_study_at_once_are_all_kept(tmp_path):
    store, launches = (
        Store(tmp_path),
        [Leases(tmp_path, 60.0, host=f"h{number}") for number in range(8)],
    )

    def run(leases: Leases) -> None:
        with leases:
            with leases.alone("study.json"):
                store.declare({"fingerprint": {}}, {"id": leases.id})
            with leases.alone("study.json"):
                store.finish_launch(leases.id, done=1)

    threads = [threading.Thread(target=run, args=(leases,)) for leases in launches]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(launch["id"] for launch in store.study()["launches"]) == sorted(
        leases.id for leases in launches
    )
    assert all(launch["done"] == 1 for launch in store.study()["launches"])


# --- the command ----------------------------------------------------------------------------------

ARGUMENTS = [
    "experiment=quick",
    "cell=rnn",
    "initializer=orthogonal",
    "seed=range(8)",
    "hidden=8",
    "updates=60",
    "validate_every=30",
]
ARGUMENTS += ["tracker=[]", "probe=[]", "executor.workers=1", "executor.max_members=2", "clip=told"]


def study(folder: Path, host: str, *more: str):
    return command(folder, "-m", "--config-dir", str(folder), *ARGUMENTS, *more, host=host)


@pytest.fixture
def place(tmp_path):
    """A folder whose clip rule leaves a mark for every member that begins."""
    (tmp_path / "clip").mkdir()
    (tmp_path / "marks").mkdir()
    (tmp_path / "clip" / "told.yaml").write_text(
        f"_target_: tests.support.faults.Told\nmarks: {tmp_path / 'marks'}\nseconds: 0.02\n"
    )
    return tmp_path


def begun(folder: Path) -> Counter[str]:
    """How often the training of each member began, by its first weights."""
    return Counter(path.name.split(".")[0] for path in (folder / "marks").iterdir())


@pytest.mark.slow
def test_two_launches_share_the_work_and_one_that_stood_still_does_no_harm(place):
    """First both run to their end; then, as another study, one is stopped past its leases' expiry
    and goes on after the other has finished.
    """
    together = share(place)
    for path in (place / "marks").iterdir():
        path.unlink()
    store = Store(place / "outputs" / "still")
    one = study(place, "a", "name=still", "store.lease_seconds=2")
    try:
        assert until(lambda: len(begun(place)) == 2), one.communicate()[0]
        held = {one.pid, *workers(one.pid)}
        for pid in held:
            os.kill(pid, signal.SIGSTOP)
        assert len(store.ids()) < 8
        other = study(place, "b", "name=still", "store.lease_seconds=2")
        told, _ = other.communicate(timeout=120)
        assert other.returncode == 0, told
        before = {
            path: path.read_bytes() for path in store.points_folder.rglob("*") if path.is_file()
        }
        assert list(statuses(store).values()) == ["done"] * 8
        for pid in held:
            os.kill(pid, signal.SIGCONT)
        told, _ = one.communicate(timeout=120)
    finally:
        end(one)
    assert one.returncode == 0, told
    assert "was suspended for too long" in told
    assert {
        path: path.read_bytes() for path in store.points_folder.rglob("*") if path.is_file()
    } == before, "the first result is kept"
    assert sorted(launch["done"] for launch in store.study()["launches"]) == [8, 8]
    assert len(store.points()) == 8
    for id in together.ids():
        same_point(together, store, id)


def share(place: Path) -> Store:
    one, other = study(place, "a"), study(place, "b")
    try:
        told = [process.communicate(timeout=120)[0] for process in (one, other)]
    finally:
        for process in (one, other):
            end(process)
    assert [one.returncode, other.returncode] == [0, 0], told
    store = Store(place / "outputs" / "quick")
    assert list(statuses(store).values()) == ["done"] * 8
    assert list(begun(place).values()) == [1] * 8, "a point was trained twice"
    parents = {path.name.split(".")[1] for path in (place / "marks").iterdir()}
    assert parents == {str(one.pid), str(other.pid)}, "one of them did nothing"
    assert all("8 done of 8 points" in text for text in told)
    assert [launch["done"] for launch in store.study()["launches"]] == [8, 8]
    assert list((store.folder / "leases").iterdir()) == []
    return store
