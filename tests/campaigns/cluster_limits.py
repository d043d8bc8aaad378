"""make cluster: on a real Slurm, jobs that outlast their time limit; a race through Slurm and Ray.

Minutes: Slurm counts limits in minutes, and looks every half of one.
"""

from __future__ import annotations

import re

import pytest

from study.store import Store
from tests.campaigns import chaos_of_races
from tests.campaigns.chaos import compare
from tests.search.test_remote import ray_cluster  # noqa: F401, a fixture
from tests.support.clusters import SWEEP, ran, said, wait_until
from tests.support.clusters import command as start


def test_a_study_that_outlasts_its_jobs_limit_completes(conf, tmp_path):
    """Each job is told before its minute is over, keeps what it has and queues itself again;
    numbers are the local executor's, bit for bit.
    """
    sweep = [
        *SWEEP,
        "updates=20000",
        "executor=slurm",
        "executor.cpus=1",
        "executor.time_minutes=1",
        "executor.signal_seconds=30",
        "executor.poll_seconds=1",
    ]
    folder = tmp_path / "slurm"
    process = start(folder, *sweep)
    store = Store(folder / "outputs" / "sweep")
    wait_until(lambda: process.poll() is not None, "the study", folder, patience=1500)
    assert process.returncode == 0, said(folder)
    assert "queued again as" not in said(folder), (
        "jobs queue themselves again, and the command has nothing to mend"
    )
    assert re.search(r"Restarts=[1-9]", conf.call("scontrol", "show", "job", "-o")), (
        "no job was queued again"
    )
    resumed = [store.result(id)["provenance"].get("resumed", []) for id in store.ids()]
    assert all(resumed), resumed
    status, told = ran(
        tmp_path / "local", *SWEEP, "updates=20000", "executor.workers=2", patience=1500
    )
    assert status == 0, told
    assert compare(Store(tmp_path / "local" / "outputs" / "sweep"), store) == []


@pytest.mark.parametrize("executor", ["slurm", "ray"])
def test_a_race_elsewhere_decides_as_here(executor, request, tmp_path):
    race = [one for one in chaos_of_races.RACE[1:] if not one.startswith("executor.")]
    asked = ["executor.cpus=1", "executor.poll_seconds=0.2"]
    if executor == "slurm":
        request.getfixturevalue("conf")
        asked += ["executor=slurm", "executor.time_minutes=10"]
    else:
        asked += ["executor=ray", f"executor.address={request.getfixturevalue('ray_cluster')}"]
    status, told = ran(tmp_path / "elsewhere", *race, *asked, patience=900)
    assert status == 0, told
    status, told = ran(tmp_path / "here", *race, "executor.workers=2", patience=900)
    assert status == 0, told
    assert chaos_of_races.differences(tmp_path / "here", tmp_path / "elsewhere") == []
