"""A real Slurm of two nodes on this machine, on loopback, without systemd: munged, slurmctld and
two slurmds that are ours and end with us.

Node n1 is a machine like this one, in the partition `debug`; n2 is one that sees an empty folder
where `hidden` is, in `blind`.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

NEEDED = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scontrol")
START_SECONDS = 60

CONF = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket,cred_expire=5
CredType=cred/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
ReturnToService=2
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
SlurmdParameters=config_overrides
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
KillWait=20
SchedulerParameters=batch_sched_delay=0,sched_interval=2
NodeName=DEFAULT RealMemory=1000 State=UNKNOWN
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs=2
NodeName=n2 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} CPUs=1
PartitionName=debug Nodes=n1 Default=YES MaxTime=INFINITE State=UP
PartitionName=blind Nodes=n2 MaxTime=INFINITE State=UP
"""


@dataclass(frozen=True)
class Cluster:
    conf: Path
    # n2 sees nothing in it; None-like where this machine has no mount namespaces: see `blind`
    hidden: Path
    blind: bool

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "SLURM_CONF": str(self.conf)}

    def call(self, *command: str) -> str:
        return subprocess.run(
            command, env=self.environment, capture_output=True, text=True, timeout=60, check=True
        ).stdout

    def states(self) -> dict[str, str]:
        """{job: state} of all that Slurm knows."""
        lines = self.call(
            "squeue", "--array", "--noheader", "--states=all", "--format=%i %T"
        ).splitlines()
        return dict(line.split() for line in lines)


def why_not() -> str | None:
    """Why no Slurm can be started here."""
    path = f"{os.environ['PATH']}:/usr/sbin:/sbin"
    missing = [name for name in NEEDED if shutil.which(name, path=path) is None]
    if missing:
        return f"no Slurm here ({', '.join(missing)}): apt-get install slurm-wlm munge"
    return None if os.geteuid() == 0 else "Slurm's daemons are started as root only"


@contextlib.contextmanager
def cluster() -> Iterator[Cluster]:
    """Starts the daemons, waits until both nodes are idle, and ends them with all their jobs."""
    # munge refuses a folder that others may write to, and a long name of its socket
    folder = Path(tempfile.mkdtemp(prefix="slurm-"))
    processes: list[subprocess.Popen[bytes]] = []
    try:
        folder.chmod(0o711)
        for name in ("state", "spool-n1", "spool-n2", "hidden"):
            (folder / name).mkdir()
        key = folder / "munge" / "key"
        key.parent.mkdir(mode=0o711)
        key.write_bytes(secrets.token_bytes(1024))
        key.chmod(0o600)
        for path in (key.parent, key):
            shutil.chown(path, "munge", "munge")
        host = socket.gethostname().split(".")[0]
        conf = folder / "slurm.conf"
        conf.write_text(CONF.format(host=host, folder=folder, ports=free_ports(3)))
        environment = {
            **os.environ,
            "SLURM_CONF": str(conf),
            "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin",
        }

        def start(*command: str, **options: str) -> None:
            with (folder / "daemons.log").open("ab") as log:
                processes.append(
                    subprocess.Popen(
                        command,
                        env=environment,
                        cwd=folder,
                        stdout=log,
                        stderr=log,
                        stdin=subprocess.DEVNULL,
                        **options,
                    )
                )  # type: ignore[call-overload]

        own = [
            f"--{name}={key.parent / file}"
            for name, file in (
                ("key-file", "key"),
                ("socket", "socket"),
                ("pid-file", "pid"),
                ("log-file", "log"),
                ("seed-file", "seed"),
            )
        ]
        start("munged", "--foreground", "--force", *own, user="munge", group="munge")
        wait(lambda: (key.parent / "socket").exists(), folder)
        start("slurmctld", "-D", "-c")
        start("slurmd", "-D", "-N", "n1")
        blind = (
            subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode
            == 0
        )
        if blind:
            start(
                "unshare",
                "-m",
                "sh",
                "-c",
                f"mount -t tmpfs none {folder}/hidden && exec slurmd -D -N n2",
            )
        found = Cluster(conf, folder / "hidden", blind)
        os.environ["PATH"] = environment["PATH"]
        wait(lambda: node_idle(found, "n1") and (not blind or node_idle(found, "n2")), folder)
        yield found
        subprocess.run(
            ["scancel", "--me", "--signal=KILL", "--full"],
            env=environment,
            check=False,
            capture_output=True,
        )
        subprocess.run(["scancel", "--me"], env=environment, check=False, capture_output=True)
        time.sleep(0.5)
    finally:
        for process in reversed(processes):
            process.send_signal(signal.SIGTERM)
        for process in reversed(processes):
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=10)
            process.kill()
        shutil.rmtree(folder, ignore_errors=True)


def node_idle(of: Cluster, node: str) -> bool:
    told = subprocess.run(
        ["sinfo", "-h", "-n", node, "-o", "%T"],
        env=of.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    return told.stdout.strip() == "idle"


def wait(met, folder: Path) -> None:
    until = time.monotonic() + START_SECONDS
    while not met():
        if time.monotonic() > until:
            logs = "\n".join(
                f"{path.name}: {path.read_text(errors='replace')[-1500:]}"
                for path in sorted(folder.glob("*.log"))
            )
            raise RuntimeError(f"Slurm does not come up within {START_SECONDS} s\n{logs}")
        time.sleep(0.1)


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()
