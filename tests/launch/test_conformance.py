"""Hydra's own suites for launchers and sweepers, run against ours where they speak of behaviour.

They launch an application of Hydra's tests, whose keys are foo and bar; ours launches studies. What
a suite asks for and does not get is refused with a message, and listed here with the reason.
"""

from __future__ import annotations

import contextlib

import pytest
from hydra.test_utils.launcher_common_tests import (
    BatchedSweeperTestSuite,
    IntegrationTestSuite,
    LauncherTestSuite,
)

from study.hydra_plugins import Finished, register

APPLICATION = "there is no such key"  # of the suite's application, in our refusal
# Test of the suite -> how our refusal begins; None: it passes.
LAUNCHER = {
    "test_sweep_1_job": APPLICATION,
    "test_sweep_2_jobs": APPLICATION,
    "test_not_sweeping_hydra_overrides": None,
    "test_sweep_1_job_strict": APPLICATION,
    "test_sweep_1_job_strict_and_bad_key": None,
    "test_sweep_2_optimizers": APPLICATION,
    "test_sweep_over_unspecified_mandatory_default": APPLICATION,
    "test_sweep_and_override": APPLICATION,
    "test_sweep_with_custom_resolver": APPLICATION,
}
# What the other suites ask for, and why it is not ours. That batches of a sweeper are one study is
# in test_command_line.py, and that names and folders of jobs are refused in test_hydra_settings.py.
OTHERS = {
    BatchedSweeperTestSuite: {
        "test_sweep_2_jobs_2_batches": "a launch of ours is one study, and has no job folders"
    },
    IntegrationTestSuite: {
        "test_custom_task_name": "hydra.job.name: name=… names a study",
        "test_custom_sweeper_run_workdir": "hydra.sweep.dir: points are in store.folder/name",
        "test_get_orig_dir_multirun": "hydra.job.chdir: no process leaves the command's folder",
        "test_to_absolute_path_multirun": "hydra.job.chdir: as above",
    },
}


@pytest.mark.parametrize("name", LAUNCHER)
def test_launcher(name, hydra_restore_singletons, hydra_sweep_runner, tmpdir, capsys):
    register()
    refusal = LAUNCHER[name]
    with pytest.raises(Finished) if refusal else contextlib.nullcontext():
        getattr(LauncherTestSuite(), name)(hydra_sweep_runner, "study", [], tmpdir)
    assert (refusal or "") in capsys.readouterr().err


def test_every_test_of_the_suites_is_listed():
    """A later Hydra may have more."""
    for suite, listed in {LauncherTestSuite: LAUNCHER, **OTHERS}.items():
        assert {name for name in dir(suite) if name.startswith("test_")} == listed.keys()
