"""Two commands on one storage finish one budget together, and one of them is
killed in the middle.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from optuna.trial import TrialState

from study.machine.orphans import descendants
from study.search.arms import slots_of
from study.search.liveness import WORKER
from study.search.storage import JOURNAL, open_storage
from tests import ROOT
from tests.search.helpers import plan, postgresql

pytestmark = pytest.mark.slow

TRIALS = 14
ARGUMENTS = [
    "search=lr",
    "search/objective=bowl",
    "search.objective.seconds=0.02",
    f"search.trials={TRIALS}",
    "search.together=1",
    "cell=rnn,gru",
    "task.form=row",
    "name=killed",
]


@pytest.fixture(scope="module")
def server():
    with postgresql() as address:
        yield address


@pytest.fixture(params=[JOURNAL, "postgresql"])
def where(request):
    return request.param if request.param == JOURNAL else request.getfixturevalue("server")


def start(folder: Path, where: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [
            sys.executable,
            "-m",
            "study",
            "-m",
            "hydra/sweeper=optuna",
            *ARGUMENTS,
            f"search.storage={where}",
            "search.per=[cell]",
            "executor.workers=1",
            "tracker=[]",
        ],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def test_the_number_of_trials_is_exact_when_a_command_is_killed(tmp_path, where):
    spec, _ = plan(tmp_path / "outputs", *ARGUMENTS, f"search.storage={where}", "search.per=[cell]")
    one, other = start(tmp_path, where), start(tmp_path, where)
    try:
        killed = kill_in_the_middle_of_a_trial(spec, one)
        told, _ = other.communicate(timeout=240)
        assert other.returncode == 0, told
    finally:
        for process in (one, other):
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
    storage = open_storage(where, spec.search_folder)
    found = [slot for arm in spec.arms for slot in slots_of(spec, arm, storage).slots()]
    assert len(found) == 2 * TRIALS
    assert all(
        sum(trial.state == TrialState.COMPLETE for trial in slot.trials) == 1 for slot in found
    )
    states = [trial.state for arm in spec.arms for trial in slots_of(spec, arm, storage).trials()]
    assert states.count(TrialState.COMPLETE) == 2 * TRIALS
    assert {TrialState.RUNNING, TrialState.WAITING}.isdisjoint(states)
    lost = [slot for slot in found if slot.failures]
    assert [slot.failures[0]._trial_id for slot in lost] == [killed]
    assert "worker process is gone" in lost[0].failures[0].user_attrs["reason"]
    assert lost[0].counted.params == lost[0].failures[0].params
    workers = {
        trial.user_attrs[WORKER]["pid"]
        for slot in found
        for trial in slot.trials
        if WORKER in trial.user_attrs
    }
    assert len(workers) == 2, "one of the two did nothing"
    assert f"{2 * TRIALS} trials finished" in told


def kill_in_the_middle_of_a_trial(spec, process: subprocess.Popen[str]) -> int:
    """SIGKILL to the command and its worker, once it has finished a trial and is running another;
    that one's id.
    """
    deadline = time.monotonic() + 120
    storage = open_storage(spec.settings.storage, spec.search_folder)
    while time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()[0]
        below = descendants(process.pid)
        try:
            trials = [trial for arm in spec.arms for trial in slots_of(spec, arm, storage).trials()]
        except KeyError:  # the studies are not there yet
            trials = []
        mine = [trial for trial in trials if trial.user_attrs.get(WORKER, {}).get("pid") in below]
        running = [
            trial
            for trial in mine
            if trial.state == TrialState.RUNNING
            and len(trial.intermediate_values) < 4
            and trial.params
        ]
        if running and any(trial.state == TrialState.COMPLETE for trial in mine):
            os.killpg(process.pid, signal.SIGKILL)
            return running[0]._trial_id
        time.sleep(0.02)
    raise AssertionError("the worker to be killed never ran a trial")
