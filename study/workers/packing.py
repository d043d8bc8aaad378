"""Divides groups among jobs by their expected seconds."""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Sequence
from dataclasses import replace

from study.interfaces import Group


def pack(groups: Sequence[Group], target: float, workers: int) -> list[list[Group]]:
    """The groups of each job, the longest job first.

    Jobs are about equally long, and last about `target` seconds if there is enough to do. `workers`
    train side by side in each.
    """
    parts = [part for group in groups for part in split(group, target)]
    total = sum(part.cost for part in parts)
    count = max(1, min(math.ceil(total / (target * workers)), len(parts)))
    jobs: list[list[Group]] = [[] for _ in range(count)]
    loads = [(0.0, number) for number in range(count)]
    for part in sorted(parts, key=lambda part: -part.cost):
        load, number = heapq.heappop(loads)
        jobs[number].append(part)
        heapq.heappush(loads, (load + part.cost, number))
    return sorted((job for job in jobs if job), key=lambda job: -sum(group.cost for group in job))


def split(group: Group, seconds: float) -> list[Group]:
    """Equal parts of a group, none longer than `seconds` unless it is a single point; they may run
    side by side.
    """
    points = group.points
    most = max(1, math.floor(seconds * len(points) / group.cost)) if group.cost > 0 else len(points)
    count = math.ceil(len(points) / most)
    bounds = [round(number * len(points) / count) for number in range(count + 1)]
    parts = [
        part
        for start, end in itertools.pairwise(bounds)
        if (part := group.only(points[start:end])) is not None
    ]
    if count == 1:
        return parts
    return [replace(part, name=f"{group.name}.{number}") for number, part in enumerate(parts, 1)]


def without(group: Group, ids: set[str]) -> Group | None:
    """A group without these points; None if none is left."""
    return group.only(point for point in group.points if point.id not in ids)
