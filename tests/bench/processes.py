"""A command watched: its lines with their times, and the CPU seconds of each of its processes,
children of children too.
"""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from study.machine.orphans import descendants, end

LOOK_SECONDS = 0.25  # what a process used after the last look is missed


@dataclass(frozen=True)
class Seen:
    command: str
    parent: int
    seconds: float


@dataclass(frozen=True)
class Watched:
    """`lines`: (seconds since the start, line). `processes`: pid -> what was last seen of it."""

    seconds: float
    lines: list[tuple[float, str]]
    processes: dict[int, Seen]
    root: int

    def said(self) -> str:
        return "\n".join(line for _, line in self.lines)

    def cpu(self) -> dict[str, float]:
        """CPU seconds by kind of process."""
        trackers = {seen.parent for seen in self.processes.values() if "wandb-core" in seen.command}
        found: dict[str, float] = {}
        for pid, seen in self.processes.items():
            kind = (
                "launcher"
                if pid == self.root
                else (
                    "W&B's service"
                    if "wandb-core" in seen.command
                    else "tracker"
                    if pid in trackers
                    else "workers"
                )
            )
            found[kind] = found.get(kind, 0.0) + seen.seconds
        return found


def watched(
    command: Sequence[str], folder: Path, environment: Mapping[str, str], limit: float
) -> Watched:
    begun = time.monotonic()
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    lines: list[tuple[float, str]] = []

    def read() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            lines.append((time.monotonic() - begun, line.rstrip()))

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    seen: dict[int, Seen] = {}
    try:
        while process.poll() is None:
            for pid in (process.pid, *descendants(process.pid)):
                if (now := look(pid)) is not None:
                    seen[pid] = now
            if time.monotonic() - begun > limit:
                raise TimeoutError(f"no end after {limit:.0f} s")
            time.sleep(LOOK_SECONDS)
    except BaseException:
        end(process)
        process.wait()
        raise
    seconds = time.monotonic() - begun
    reader.join(timeout=5)
    if process.returncode:
        raise RuntimeError(
            f"exit status {process.returncode}\n" + "\n".join(line for _, line in lines)[-3000:]
        )
    return Watched(seconds, lines, seen, process.pid)


def look(pid: int) -> Seen | None:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        command = (
            Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        )
    except (OSError, IndexError):
        return None
    if fields[0] in ("Z", "X"):
        return None
    return Seen(
        command, int(fields[1]), (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    )
