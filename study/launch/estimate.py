"""How long a plan takes on this machine while it is idle: training, and all of it."""

from __future__ import annotations

from collections.abc import Sequence

from study.interfaces import Group
from study.machine.speed import slowness
from study.machine.taken import PAGE, POINT, ratio_taken

# Seconds on the reference machine (study/machine/speed.py), until this one has been timed
# (study/machine/taken.py).
UPDATE = 1e-3  # an update of a group, however small its networks are
START = 6.0  # until training starts, and at the end until trackers have logged the last points


def training(groups: Sequence[Group], workers: int, device: str) -> float:
    """Seconds that training these groups side by side takes, as far as it was timed here."""
    return expected(groups, workers, device) * (ratio_taken("training") or 1.0)


def expected(groups: Sequence[Group], workers: int, device: str) -> float:
    """As `training`, from the costs of groups and the machine's speed alone."""
    seconds = [_group(group, device) for group in groups]
    return max(sum(seconds) / max(min(workers, len(groups)), 1), max(seconds, default=0.0))


def around(points: int) -> float:
    """Seconds that starting a launch and rendering the page of so many points take."""
    start, page = ratio_taken("start") or slowness(), ratio_taken("page") or slowness()
    return start * START + page * (PAGE + POINT * points)


def _group(group: Group, device: str) -> float:
    config = group.points[0].config
    if device != "cpu" or {"model", "trainer"} & config.keys():
        return group.cost  # of one's own models: timed here already
    return slowness() * (group.cost + UPDATE * config["updates"])
