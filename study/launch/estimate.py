"""How long a plan takes on this machine while it is idle: training, and all of it."""

from __future__ import annotations

from collections.abc import Sequence

from study.interfaces import Group
from study.machine.speed import slowness

# Seconds on the reference machine (study/machine/speed.py), fitted to the default study and quick.
UPDATE = 1e-3  # an update of a group, however small its networks are
START = 12.0  # until the first update, and at the end until trackers have logged the last points
PAGE, POINT = 6.0, 0.03  # the report of a small study, and for each point


def training(groups: Sequence[Group], workers: int, device: str) -> float:
    """Seconds that training these groups side by side takes."""
    seconds = [_group(group, device) for group in groups]
    return max(sum(seconds) / max(min(workers, len(groups)), 1), max(seconds, default=0.0))


def around(points: int) -> float:
    """Seconds that starting a launch and rendering the page of so many points take."""
    return slowness() * (START + PAGE + POINT * points)


def _group(group: Group, device: str) -> float:
    config = group.points[0].config
    if device != "cpu" or {"model", "trainer"} & config.keys():
        return group.cost  # of one's own models: timed here already
    return slowness() * (group.cost + UPDATE * config["updates"])
