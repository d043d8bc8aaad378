"""A real Ray cluster of two nodes on loopback: a study through it, one node
killed in the middle.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from study.executors.ray import Ray as RayExecutor
from study.records import StudyError
from study.store import Store
from tests.campaigns.chaos import compare
from tests.support.clusters import LOCAL, ROOT, SWEEP, called, command, ran, said, wait_until
from tests.support.slurm import free_ports

pytestmark = pytest.mark.slow

ray = pytest.importorskip("ray", reason="no Ray here: pip install 'rnn-gradient-study[ray]'")

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
    "address": None,
    "resources": {},
    "python": None,
    "leave_seconds": 20,
}
ASKED = ["executor=ray", "executor.poll_seconds=0.2", "store.lease_seconds=5"]


class Cluster:
    """A head that trains nothing, and nodes: processes of their own on addresses of loopback."""

    def __init__(self) -> None:
        from ray.cluster_utils import Cluster as Nodes

        self.nodes = Nodes(
            initialize_head=True,
            head_node_args={
                "node_ip_address": "127.0.0.2",
                "num_cpus": 0,
                "include_dashboard": False,
            },
        )
        self.address = self.nodes.address

    def add(self, address: str, **resources: Any) -> Any:
        return self.nodes.add_node(node_ip_address=address, num_cpus=1, **resources)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Begun where no package lies: that is the first place where its workers look for one."""
    before, here = dict(os.environ), Path.cwd()
    os.chdir(tmp_path_factory.mktemp("nowhere"))
    # Ray ends tasks when the whole machine runs short of memory, whoever has it.
    os.environ |= {
        "PYTHONPATH": str(ROOT),
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_memory_monitor_refresh_ms": "0",
        "RAY_worker_niceness": "0",
    }
    try:
        made = Cluster()
        made.add("127.0.0.3", resources={"first": 10})
        made.add("127.0.0.4", resources={"second": 10})
    finally:
        os.chdir(here)
    try:
        yield made
    finally:
        made.nodes.shutdown()
        os.environ.clear()
        os.environ.update(before)


def test_study_with_a_node_killed_in_the_middle(cluster, tmp_path):
    """Its job goes on elsewhere, nothing is lost or doubled, and every number is that of the local
    executor, bit for bit.
    """
    sweep = [
        *SWEEP,
        "updates=6000",
        "executor.target_minutes=0.013",
        "store.checkpoint_seconds=1",
        *ASKED,
        f"executor.address={cluster.address}",
    ]
    folder = tmp_path / "ray"
    store = Store(folder / "outputs" / "sweep")
    process = command(folder, *sweep)
    wait_until(
        lambda: (
            len({path.name[:16] for path in store.folder.glob("checkpoints/*.safetensors")}) >= 4
            or process.poll() is not None
        ),
        "checkpoints",
        folder,
    )
    assert process.poll() is None, said(folder)
    lost = next(node for node in cluster.nodes.worker_nodes if node.node_ip_address == "127.0.0.4")
    cluster.nodes.remove_node(lost, allow_graceful=False)
    process.wait(timeout=240)
    assert process.returncode == 0, said(folder)
    resumed = [id for id in store.ids() if store.result(id)["provenance"].get("resumed")]
    assert resumed
    assert len(resumed) < 6, "the other node was not disturbed"
    status, told = ran(tmp_path / "local", *SWEEP, "updates=6000", "executor.workers=2")
    assert status == 0, told
    assert compare(Store(tmp_path / "local" / "outputs" / "sweep"), store) == []
    assert not (store.folder / "jobs").exists()


def test_ctrl_c_ends_the_tasks_and_keeps_what_they_have(cluster, tmp_path):
    sweep = [
        *SWEEP,
        "updates=200000",
        "executor.leave_seconds=100",
        *ASKED,
        f"executor.address={cluster.address}",
    ]
    process = command(tmp_path, *sweep)
    store = Store(tmp_path / "outputs" / "sweep")
    wait_until(
        lambda: (
            any('"progress"' in path.read_text() for path in store.folder.glob("jobs/*/*.events"))
            or process.poll() is not None
        ),
        "training",
        tmp_path,
    )
    assert process.poll() is None, said(tmp_path)
    assert running(store.folder), "or nothing below would see that it ended"
    process.send_signal(signal.SIGINT)
    process.wait(timeout=200)
    assert process.returncode == 130, said(tmp_path)
    assert re.search(r"\d of the missing points resume from their checkpoints", said(tmp_path)), (
        said(tmp_path)
    )
    assert "Traceback" not in said(tmp_path)
    wait_until(lambda: not running(store.folder), "the job to end")


def running(folder: Path) -> list[str]:
    """Processes that carry out a job of this study."""
    found = subprocess.run(
        ["pgrep", "-f", f"study.workers.jobs {folder}/"],
        capture_output=True,
        text=True,
        check=False,
    )
    return found.stdout.split()


def test_address_where_no_ray_listens(tmp_path):
    (port,) = free_ports(1)
    status, told = called(tmp_path, *SWEEP, *ASKED, f"executor.address=127.0.0.1:{port}")
    assert status == 2
    assert f"no Ray listens at 127.0.0.1:{port} (Connection refused)" in told
    assert "Traceback" not in told
    assert not (tmp_path / "outputs" / "sweep" / "study.json").exists()


def test_address_that_is_none(tmp_path):
    status, told = called(tmp_path, *SWEEP, *ASKED, "executor.address=somewhere")
    assert status == 2
    assert "must be HOST:PORT" in told


def refused(cluster: Cluster, folder: Path, **settings: Any) -> str:
    """What is told of a cluster that cannot train."""
    with pytest.raises(StudyError) as told:
        RayExecutor(**{**SETTINGS, "address": cluster.address, **settings}).ready(folder)
    assert not ray.is_initialized()
    assert not list(folder.iterdir())
    return str(told.value)


def test_more_than_any_node_has(cluster, tmp_path):
    assert "no node of the Ray cluster has CPU 64, which a job needs. Nodes: 127.0.0." in refused(
        cluster, tmp_path, cpus=64
    )


def test_worker_without_the_package(cluster, tmp_path, tmp_path_factory):
    python = tmp_path_factory.mktemp("bare") / "python"
    python.write_text('#!/bin/sh\nPYTHONPATH= exec /usr/bin/python3 "$@"\n')
    python.chmod(0o755)
    told = refused(cluster, tmp_path, python=str(python))
    assert f"of the Ray cluster has no rnn-gradient-study for {python} (No module named" in told


def test_worker_with_other_code(cluster, tmp_path, other_code):
    assert "of the Ray cluster has code of study/" in refused(
        cluster, tmp_path, python=str(other_code)
    )


def test_folder_that_a_node_does_not_see(cluster, tmp_path):
    """A node in a mount namespace of its own, where the folder of results is another one."""
    if subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode:
        pytest.skip("no mount namespaces here: unshare -m is refused")
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    start = (
        f"mount -t tmpfs none {hidden} && exec {Path(sys.executable).parent / 'ray'} start --block"
    )
    start += (
        f" --address={cluster.address} --node-ip-address=127.0.0.5 --num-cpus=1"
        " --resources='{\"blind\": 1}'"
    )
    node = subprocess.Popen(
        ["unshare", "-m", "sh", "-c", start], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        wait_until(
            lambda: any(one["Resources"].get("blind") for one in alive(cluster)), "the blind node"
        )
        assert f"node 127.0.0.5 of the Ray cluster does not see {hidden}" in refused(
            cluster, hidden, resources={"blind": 1}
        )
    finally:
        node.send_signal(signal.SIGTERM)
        node.wait(timeout=30)


def alive(cluster: Cluster) -> list[dict[str, Any]]:
    return [node for node in cluster.nodes.global_state.node_table() if node["Alive"]]


def test_plan_shows_jobs_and_hours(tmp_path):
    status, told = called(tmp_path, *SWEEP, *ASKED, "updates=400000", "plan=true")
    assert status == 0, told
    assert re.search(r"^\d+ jobs of 1 core as tasks on a Ray of this machine$", told, re.M), told
    assert "core hours in all, as many at once as the cluster has room for" in told
