"""How much memory a process may use, as control groups limit it."""

from __future__ import annotations

import psutil

from study.machine.resources import cores, group_limits, memory


def test_the_limit_of_a_job_and_of_every_group_above_it_counts(tmp_path):
    job = tmp_path / "slurm" / "job_1" / "step_0"
    job.mkdir(parents=True)
    (job / "memory.max").write_text("max\n")
    (job.parent / "memory.max").write_text("4000\n")
    (job.parent.parent / "memory.max").write_text("9000\n")
    membership = tmp_path / "cgroup"
    membership.write_text("4:memory:/old\n0::/slurm/job_1/step_0\n")
    assert sorted(group_limits(tmp_path, membership)) == [4000, 9000]


def test_a_container_sees_its_own_group_as_root_and_other_systems_have_none(tmp_path):
    assert list(group_limits(tmp_path, tmp_path / "missing")) == []
    (tmp_path / "memory.max").write_text("5000\n")
    assert list(group_limits(tmp_path, tmp_path / "missing")) == [5000]
    (tmp_path / "cgroup").write_text("0::/../../elsewhere\n")
    assert list(group_limits(tmp_path, tmp_path / "cgroup")) == [5000]


def test_this_machine_has_some_of_both():
    assert cores() >= 1
    assert 2**20 < memory() <= psutil.virtual_memory().total
