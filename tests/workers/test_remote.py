"""Jobs and what follows them, without any cluster: an executor whose jobs run in this process, or
end as they are told to.
"""

from __future__ import annotations

import json
import signal
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from study.config.paths import config_dirs
from study.interfaces import Executor, Group
from study.records import StudyError
from study.store import Store
from study.store.leases import Leases
from study.training.engine import run_group
from study.workers.job import EVENTS, Job, software
from study.workers.jobs import carry_out
from study.workers.packing import split
from study.workers.queued import JobEnd
from study.workers.remote import RemoteExecutor
from tests.support.helpers import point


class Inline(Executor):
    """Trains in this process."""

    def __init__(self, *, workers: int, device: str, max_members: int, signal_at: int) -> None:
        self.workers, self.max_members, self.signal_at = workers, max_members, signal_at

    def run(self, groups: Iterable[Group], folder: Path) -> Iterator[Mapping[str, Any]]:
        for number, group in enumerate(groups):
            if number == self.signal_at:
                signal.raise_signal(signal.SIGUSR1)
            run_group(group, folder, "cpu", lambda update: None)
            yield {"event": "stored", "group": group.name, "ids": [of.id for of in group.points]}


class Here(RemoteExecutor):
    """Carries jobs out at once, or lets them end as `ends` say, one after the other."""

    def __init__(self, *, ends: Sequence[JobEnd | None] = (), **settings: Any) -> None:
        super().__init__(**settings)
        self.ends, self.ended_as, self.queued, self.cancelled = list(ends), {}, [], []

    def queue(self, folder: Path, paths: Sequence[Path]) -> list[str]:
        names = [f"{len(self.queued) + number}" for number in range(len(paths))]
        for name, path in zip(names, paths, strict=True):
            self.queued.append(Job.read(path).ids)
            end = self.ends.pop(0) if self.ends else None
            if end is None:
                carry_out(path)
            self.ended_as[name] = end or JobEnd("it ended without its points")
        return names

    def job_ends(self, names: Iterable[str]) -> Mapping[str, JobEnd]:
        return {name: self.ended_as[name] for name in names}

    def cancel(self, names: Sequence[str]) -> None:
        self.cancelled += names

    def queued_message(self, names: Sequence[str]) -> str:
        return f"queued {', '.join(names)}"

    def log(self, folder: Path, name: str) -> str:
        return "Bus error"


def here(ends: Sequence[JobEnd | None] = (), **changes: Any) -> Here:
    local = {
        "_target_": "tests.workers.test_remote.Inline",
        "workers": 1,
        "device": "cpu",
        "max_members": 4,
        "signal_at": -1,
    }
    settings = {
        "local": {**local, **changes.pop("local", {})},
        "device": "cpu",
        "cpus": 1,
        "gpus": 0,
        "memory_gb": None,
        "target_minutes": 1,
        "poll_seconds": 0.01,
        "ask_seconds": 1,
        "tries": 3,
        "search_jobs": 2,
        "lease_seconds": 0.5,
    }
    return Here(ends=ends, **{**settings, **changes})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "study.json").write_text("{}")
    return tmp_path


def events(executor: Here, groups: Sequence[Group], folder: Path) -> list[Mapping[str, Any]]:
    return list(executor.run(groups, folder))


def group(*seeds: int) -> Group:
    return Group("1", tuple(point(seed=seed, updates=1, probe={}) for seed in seeds), 60.0)


def kinds(of: Sequence[Mapping[str, Any]], kind: str) -> list[Mapping[str, Any]]:
    return [event for event in of if event["event"] == kind]


def test_jobs_store_their_points_and_leave_nothing_behind(folder):
    executor = here()
    told = events(executor, [group(0, 1), group(2)], folder)
    assert (
        sorted(id for event in kinds(told, "stored") for id in event["ids"])
        == ["p0", "p1", "p2"]
        == Store(folder).ids()
    )
    assert executor.queued == [["p0", "p1"], ["p2"]]
    assert not (folder / "jobs").exists()
    assert not list((folder / "leases").iterdir())


def test_a_job_that_is_lost_is_queued_again(folder):
    executor = here([JobEnd("its node was lost")])
    told = events(executor, [group(0, 1)], folder)
    (again,) = kinds(told, "retried")
    assert (again["reason"], again["how"]) == ("job 0: its node was lost", "queued again as job 1")
    assert Store(folder).ids() == ["p0", "p1"]


def test_a_job_that_never_gains_anything_is_given_up_with_the_end_of_its_log(folder):
    executor = here([JobEnd("it ended as FAILED")] * 5)
    told = events(executor, [group(0)], folder)
    (given_up,) = kinds(told, "given up")
    assert (
        given_up["reason"]
        == "job 2: it ended as FAILED, 3 times without any progress; its log ends with: Bus error"
    )
    assert len(executor.queued) == 3


def test_a_cancelled_job_is_not_tried_again(folder):
    executor = here([JobEnd("it was cancelled", final=True)])
    told = events(executor, [group(0), group(1)], folder)
    (given_up,) = kinds(told, "given up")
    assert (given_up["ids"], given_up["reason"]) == (["p0"], "job 0: it was cancelled")
    assert Store(folder).ids() == ["p1"]


def test_a_machine_with_other_versions_stops_everything(folder, monkeypatch):
    monkeypatch.setattr("study.workers.remote.software", lambda: {**software(), "torch": "1.0"})
    executor = here()
    told = events(executor, [group(0)], folder)
    (stopped,) = kinds(told, "stopped")
    assert "job 0 was refused on its machine: this machine has torch 2." in stopped["reason"]
    assert "(here 1.0)" in stopped["reason"]
    assert executor.cancelled == ["0"]


def test_a_point_that_somebody_else_has_is_neither_queued_nor_trained(folder):
    with Leases(folder, 60) as other:
        assert other.take("p0")
        executor = here()
        told = events(executor, [group(0, 1)], folder)
        assert executor.queued == [["p1"]]
        assert kinds(told, "given up") == []
    assert Store(folder).ids() == ["p1"]


def test_a_job_told_to_leave_keeps_its_word_and_may_be_carried_out_again(folder):
    job = Job(
        str(folder),
        str(Path.cwd()),
        [],
        {
            "_target_": "tests.workers.test_remote.Inline",
            "workers": 1,
            "device": "cpu",
            "max_members": 4,
            "signal_at": 1,
        },
        "cpu",
        0.5,
        software(),
        {},
        [group(0), group(1)],
    )
    path = folder / "0.json.gz"
    job.write(path)
    assert Job.read(path) == job
    ended = carry_out(path, (signal.SIGUSR1,))
    assert (ended.signal, ended.gained) == (signal.SIGUSR1, True)
    assert Store(folder).ids() == ["p0"]
    said = [json.loads(line)["event"] for line in (folder / f"0{EVENTS}").read_text().splitlines()]
    assert said == ["began", "stored", "left"]
    assert carry_out(path, (signal.SIGUSR1,)).signal is None
    assert Store(folder).ids() == ["p0", "p1"]
    assert carry_out(path).gained is False


def test_a_folder_that_is_none_is_refused(tmp_path):
    job = Job(str(tmp_path), str(tmp_path), [], {}, "cpu", 0.5, software(), {}, [group(0)])
    job.write(tmp_path / "0.json.gz")
    assert "does not see the study's folder" in str(carry_out(tmp_path / "0.json.gz").refused)


def test_settings_of_the_executor_inside_are_checked_here():
    with pytest.raises(StudyError, match="unknown key 'wokers'"):
        here(local={"wokers": 3})


def test_a_group_is_cut_into_equal_parts():
    parts = split(Group("3", tuple(point(seed=seed) for seed in range(10)), 100.0), 30.0)
    assert [len(part.points) for part in parts] == [2, 3, 3, 2]
    assert [part.name for part in parts] == ["3.1", "3.2", "3.3", "3.4"]
    assert sum(part.cost for part in parts) == pytest.approx(100.0)
    assert len(split(Group("3", tuple(point(seed=seed) for seed in range(2)), 100.0), 1.0)) == 2


def test_a_command_without_arguments_has_no_folders():
    """`python -m study` alone."""
    assert config_dirs([]) == []
    assert config_dirs(["-m", "--config-dir", "mine"]) == ["mine"]
