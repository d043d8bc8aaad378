"""How long a plan takes on this machine while it is idle: training, and all of it."""

from __future__ import annotations

from collections.abc import Sequence

from study.interfaces import Group
from study.machine.processes import age, is_command
from study.machine.speed import slowness
from study.machine.taken import PAGE, POINT, note_taken, ratio_taken
from study.store import Damaged, Store

# Seconds on the reference machine (study/machine/speed.py), until this one has been timed
# (study/machine/taken.py).
UPDATE = 1e-3  # an update of a group, however small its networks are
START = 6.0  # all that is not training: until it starts, and until trackers logged the last points
TIMED = 500  # points at most that are read to see how long their training took


def training(groups: Sequence[Group], workers: int, device: str) -> float:
    """Seconds that training these groups side by side takes, as far as it was timed here."""
    seconds = [_group(group, device) for group in groups]
    together = max(sum(seconds) / max(min(workers, len(groups)), 1), max(seconds, default=0.0))
    return together * (ratio_taken(_training_on(device)) or 1.0)


def note_times(
    store: Store, groups: Sequence[Group], trained: Sequence[str], workers: int, device: str
) -> None:
    """Remember how long training and everything around it took in this launch.

    Training counts as its processes timed it, by updates that were made, so neither points that
    ended early nor time without work teach that this machine is fast or slow.
    """
    wanted = taken = 0.0
    stored = set(trained[:TIMED])
    for group in groups:
        share = _group(group, device) / len(group.points)
        for point in (point for point in group.points if point.id in stored):
            try:
                row = store.result(point.id)["row"]
            except Damaged:
                continue
            if row.get("seconds") and row.get("updates"):
                wanted += share * row.get("updates_done", row["updates"]) / row["updates"]
                taken += row["seconds"]
    if not taken:
        return
    note_taken(_training_on(device), taken, wanted)
    if is_command() and len(stored) == len(trained):
        note_taken("start", age() - taken / max(min(workers, len(groups)), 1), START)


def around(points: int) -> float:
    """Seconds that starting a launch and rendering the page of so many points take."""
    start, page = ratio_taken("start") or slowness(), ratio_taken("page") or slowness()
    return start * START + page * (PAGE + POINT * points)


def _training_on(device: str) -> str:
    return "training" if device == "cpu" else f"training on {device}"


def _group(group: Group, device: str) -> float:
    config = group.points[0].config
    if device != "cpu" or {"model", "trainer"} & config.keys():
        return group.cost  # of one's own models: timed here already
    return slowness() * (group.cost + UPDATE * config["updates"])
