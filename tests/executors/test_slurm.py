"""A real Slurm on this machine: the quick study through submitit, with a job cancelled, one
preempted, a command that leaves and comes back.
"""

from __future__ import annotations

import json
import re
import signal
from pathlib import Path

import pytest

from study.executors.slurm import Slurm
from study.interfaces import Group
from study.records import StudyError
from study.store import Store
from study.training.checkpoints import Checkpoints
from study.workers.job import ENDING, Job
from study.workers.queued import BATCH
from tests.campaigns.chaos import compare
from tests.support.clusters import LOCAL, SWEEP, called, command, ran, said, wait_until
from tests.support.helpers import point

SETTINGS = {
    "local": LOCAL,
    "device": "cpu",
    "cpus": 1,
    "gpus": 0,
    "memory_gb": None,
    "target_minutes": 10,
    "poll_seconds": 0.2,
    "ask_seconds": 120,
    "tries": 3,
    "search_jobs": 2,
    "lease_seconds": 10,
    "partition": None,
    "account": None,
    "time_minutes": 10,
    "signal_seconds": 30,
    "parallel": 100,
    "array": 1000,
    "options": {},
    "python": None,
}
ASKED = [
    "executor=slurm",
    "executor.cpus=1",
    "executor.time_minutes=10",
    "executor.signal_seconds=30",
    "executor.poll_seconds=0.2",
]


@pytest.mark.slow
def test_quick_study_cancelled_preempted_left_and_come_back_to(conf, tmp_path):
    """Nothing is lost or doubled, and every number is that of the local executor, bit for bit."""
    slow, pieces = tmp_path / "slow", tmp_path / "pieces"
    (pieces / "clip").mkdir(parents=True)
    (pieces / "clip" / "slow.yaml").write_text(
        f"_target_: tests.support.faults.Slow\nfile: {slow}\nseconds: 0.2\n"
    )
    slow.touch()
    trains = ["--config-dir", str(pieces), *SWEEP, "clip=slow", "updates=300"]
    sweep = [*trains, "executor.target_minutes=0.00065", *ASKED]
    folder = tmp_path / "slurm"
    store = Store(folder / "outputs" / "sweep")
    first = command(folder, *sweep)
    wait_until(
        lambda: len(trained(store)) == 2 or first.poll() is not None, "two jobs that train", folder
    )
    one, two = sorted(job for job, state in conf.states().items() if state == "RUNNING")
    conf.call("scancel", "--signal=USR2", one)  # what Slurm sends before the limit
    wait_until(lambda: conf.states()[one] == "PENDING", "it to queue itself again", folder)
    conf.call("scontrol", "hold", one)
    conf.call("scancel", two)
    wait_until(lambda: conf.states()[two] == "CANCELLED", "the other one to leave", folder)
    assert first.poll() is None, said(folder)
    first.send_signal(signal.SIGINT)
    first.wait(timeout=120)
    assert first.returncode == 130, said(folder)
    assert "resume from their checkpoints" in said(folder)
    assert "6 missing of 6 points" in said(folder)
    slow.unlink()
    wait_until(
        lambda: all(
            job == one or state in ("COMPLETED", "CANCELLED")
            for job, state in conf.states().items()
        ),
        "a third job to end, if there is one",
        folder,
    )
    kept, before, left = (
        Checkpoints(store.folder).updates(planned(folder)),
        set(conf.states()),
        set(planned(folder)) - set(store.ids()),
    )

    second = command(folder, *sweep)
    wait_until(
        lambda: (
            f"jobs of an earlier command are still there: {one}" in said(folder)
            or second.poll() is not None
        ),
        "the job to be found",
        folder,
    )
    wait_until(lambda: set(queued(store)) - before, "jobs for what was cancelled", folder)
    ids = queued(store)
    new = {id for job in set(ids) - before for id in ids[job]}
    assert new == left - ids[one], "what was cancelled is queued again, and nothing that still is"
    conf.call("scontrol", "release", one)
    second.wait(timeout=240)
    assert second.returncode == 0, said(folder)

    resumed = {
        id: told[0] for id in store.ids() if (told := store.result(id)["provenance"].get("resumed"))
    }
    assert resumed.keys() & ids[one], "what had begun goes on"
    assert resumed.keys() & ids[two], "that of the cancelled job too"
    assert resumed == kept, "each from the update that it was kept at"
    status, told = ran(tmp_path / "local", *trains, "executor.workers=2")
    assert status == 0, told
    assert compare(Store(tmp_path / "local" / "outputs" / "sweep"), store) == []
    assert not (store.folder / "jobs").exists()


def planned(folder: Path) -> list[str]:
    """Ids of the study's grid."""
    return [one["id"] for one in Store(folder / "outputs" / "sweep").study()["declaration"]["grid"]]


def queued(store: Store) -> dict[str, set[str]]:
    """Ids of the points of every job that has been queued, by its name."""
    found = {}
    for told in store.folder.glob(f"jobs/*/{BATCH}"):
        for number, name in enumerate(json.loads(told.read_text())["jobs"]):
            found[name] = set(Job.read(told.parent / f"{number}{ENDING}").ids)
    return found


def trained(store: Store) -> list[Path]:
    """Event files of jobs that have made an update."""
    return [
        path
        for path in store.folder.glob("jobs/*/*.events")
        if re.search(r'"update": [1-9]', path.read_text())
    ]


@pytest.mark.slow
def test_partition_that_does_not_exist_is_told_before_anything_is_queued(conf, tmp_path):
    before = set(conf.states())
    status, told = called(tmp_path, *SWEEP, *ASKED, "executor.partition=gpu-long")
    assert status == 2
    assert "invalid partition" in told
    assert "Partitions here: debug, blind" in told
    assert "Traceback" not in told
    assert not (tmp_path / "outputs" / "sweep" / "study.json").exists()
    assert set(conf.states()) <= before, "nothing was queued, for a moment either"


@pytest.mark.slow
def test_option_that_sbatch_does_not_know_is_told(conf, tmp_path):
    with pytest.raises(StudyError, match="slurm rejects such a job.*unrecognized option.*nonsense"):
        Slurm(**{**SETTINGS, "options": {"nonsense": 1}}).ready(tmp_path)


@pytest.mark.slow
def test_worker_without_the_package(conf, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # where a job begins is on its path
    monkeypatch.delenv("PYTHONPATH")
    with pytest.raises(
        StudyError,
        match=(
            r"machine n1 of the cluster has no rnn-gradient-study for /usr/bin/python3 \(No module"
            r" named"
        ),
    ):
        Slurm(**{**SETTINGS, "python": "/usr/bin/python3"}).ready(tmp_path)


@pytest.mark.slow
def test_worker_without_python(conf, tmp_path):
    with pytest.raises(StudyError, match="has no /nowhere/python"):
        Slurm(**{**SETTINGS, "python": "/nowhere/python"}).ready(tmp_path)


@pytest.mark.slow
def test_worker_with_other_code(conf, tmp_path, other_code, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        StudyError,
        match=r"machine n1 of the cluster has code of study/ [0-9a-f]{16} \(here [0-9a-f]{16}\)",
    ):
        Slurm(**{**SETTINGS, "python": str(other_code)}).ready(tmp_path)


@pytest.mark.slow
def test_folder_that_the_worker_does_not_see(conf):
    if not conf.blind:
        pytest.skip("no mount namespaces here: unshare -m is refused")
    with pytest.raises(
        StudyError,
        match=(
            f"machine n2 of the cluster does not see {conf.hidden}.*a folder that every machine"
            " shares"
        ),
    ):
        Slurm(**{**SETTINGS, "partition": "blind"}).ready(conf.hidden)
    assert not list(conf.hidden.iterdir())


@pytest.mark.slow
def test_no_machine_to_ask_is_told_and_is_no_error(conf, tmp_path):
    before = set(conf.states())
    executor = Slurm(**{**SETTINGS, "ask_seconds": 0.5, "options": {"begin": "now+1hour"}})
    assert "no machine answered within 0.5 s (BeginTime)" in str(executor.ready(tmp_path))
    assert "PENDING" not in [state for job, state in conf.states().items() if job not in before]


def test_no_slurm_on_the_path(tmp_path):
    status, told = called(tmp_path, *SWEEP, *ASKED, environment={"PATH": "/nowhere"})
    assert status == 2
    assert "slurm needs the command sbatch on the path" in told
    assert not (tmp_path / "outputs" / "sweep" / "study.json").exists()


def test_plan_shows_jobs_hours_and_array(tmp_path):
    status, told = called(
        tmp_path,
        *SWEEP,
        *ASKED,
        "updates=900000",
        "executor.target_minutes=3",
        "executor.parallel=2",
        "executor.time_minutes=5",
        "plan=true",
    )
    assert status == 0, told
    assert re.search(
        r"^\d+ jobs of 1 core: array 0-\d+%2, partition \(the default\), limit 5 min$", told, re.M
    ), told
    assert re.search(
        r"expected: .* per job, [\d.]+ core hours in all, about [\d.]+ (min|h) with 2 at once", told
    ), told


def test_settings_that_cannot_be():
    for key, value, told in (
        ("signal_seconds", 700, "less than time_minutes"),
        ("cpus", 0, "cpus"),
        ("parallel", 0, "parallel"),
        ("tries", 0, "tries"),
    ):
        with pytest.raises(ValueError, match=told):
            Slurm(**{**SETTINGS, key: value})
    with pytest.raises(StudyError, match=r"executor.gpus is 0"):
        Slurm(**{**SETTINGS, "device": "cuda"})
    assert Slurm(**{**SETTINGS, "device": "auto", "gpus": 2}).device == "cuda"


def test_groups_are_cut_and_packed_to_the_target():
    points = tuple(point(seed=seed) for seed in range(12))
    small = [Group(f"{number}", points[number : number + 1], 30.0) for number in range(12)]
    jobs = Slurm(**{**SETTINGS, "target_minutes": 2}).pack(small)
    assert [sum(group.cost for group in job) for job in jobs] == [120.0] * 3
    large = Slurm(**{**SETTINGS, "target_minutes": 2, "cpus": 2}).pack([Group("1", points, 1200.0)])
    assert sorted(len(job) for job in large) == [2, 2, 2, 3, 3], (
        "1200 s on two cores in jobs of 2 min, in groups of no more than 2 min"
    )
    assert all(group.cost <= 120.0 for job in large for group in job)
    assert sorted(of.id for job in large for group in job for of in group.points) == sorted(
        of.id for of in points
    )
    assert len(Slurm(**{**SETTINGS, "target_minutes": 1000}).pack(small)) == 1
