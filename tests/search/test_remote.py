"""Two jobs of each executor for other machines share one search in PostgreSQL, and its budget is
kept exactly.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from optuna.trial import TrialState

from study.search.arms import slots_of
from study.search.liveness import WORKER
from study.search.storage import open_storage
from tests.search.helpers import plan, postgresql
from tests.support.clusters import ROOT, called, ran

pytestmark = pytest.mark.slow

TRIALS = 10
SEARCH = [
    "search=lr",
    "search/objective=bowl",
    "search.objective.seconds=0.3",
    f"search.trials={TRIALS}",
    "search.together=1",
    "cell=rnn,gru",
]
SEARCH += ["search.per=[cell]", "task.form=row", "name=shared"]
JOBS = [
    "hydra/sweeper=optuna",
    "tracker=[]",
    "executor.cpus=1",
    "executor.target_minutes=0.00033",
    "executor.poll_seconds=0.2",
    "executor.search_jobs=2",
]


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with postgresql() as address:
        yield address


@pytest.fixture
def ray_cluster() -> Iterator[str]:
    pytest.importorskip("ray", reason="no Ray here: pip install 'rnn-gradient-study[ray]'")
    from ray.cluster_utils import Cluster

    before = dict(os.environ)
    os.environ |= {
        "PYTHONPATH": str(ROOT),
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_memory_monitor_refresh_ms": "0",
        "RAY_worker_niceness": "0",
    }
    nodes = Cluster(
        initialize_head=True,
        head_node_args={"node_ip_address": "127.0.0.2", "num_cpus": 2, "include_dashboard": False},
    )
    try:
        yield nodes.address
    finally:
        nodes.shutdown()
        os.environ.clear()
        os.environ.update(before)


@pytest.mark.parametrize("executor", ["slurm", pytest.param("ray", marks=pytest.mark.cluster)])
def test_two_jobs_share_one_search(executor, request, server, tmp_path):
    if executor == "slurm":
        request.getfixturevalue("conf")
        asked = ["executor=slurm", "executor.time_minutes=10"]
    else:
        asked = ["executor=ray", f"executor.address={request.getfixturevalue('ray_cluster')}"]
    name = f"name=shared-{executor}"
    status, told = ran(tmp_path, *SEARCH, name, *JOBS, *asked, f"search.storage={server}")
    assert status == 0, told
    spec, _ = plan(tmp_path / "outputs", *SEARCH, name, f"search.storage={server}")
    storage = open_storage(server, spec.search_folder)
    found = [slot for arm in spec.arms for slot in slots_of(spec, arm, storage).slots()]
    assert len(found) == 2 * TRIALS
    assert all(
        sum(trial.state == TrialState.COMPLETE for trial in slot.trials) == 1 for slot in found
    )
    workers = {
        trial.user_attrs[WORKER]["pid"]
        for slot in found
        for trial in slot.trials
        if WORKER in trial.user_attrs
    }
    assert len(workers) >= 2, told
    assert "the tuned study: " in told and "python -m study -m --config-dir" in told
    assert not list((spec.folder / "jobs").glob("*"))


def test_a_search_elsewhere_needs_a_database(tmp_path):
    status, told = called(tmp_path, *SEARCH, *JOBS, "executor=ray")
    assert status == 2
    assert "keeps its trials in a database: search.storage=postgresql://" in told
