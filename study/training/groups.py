"""Cut points into groups that are trained together, and estimate their cost."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence

import torch

from study.config.network import member_bytes
from study.config.setup import Setup, set_up
from study.interfaces import Group, Point
from study.machine.resources import memory
from study.modules.cost import seconds_per_update
from study.modules.network import ModuleNetwork
from study.records import StudyError

# Roughly how many times slower than the compiled kernel: study/kernels/table.yaml.
SLOWER = {"fused": 1.8, "reference": 2.7}
PENALIZED = 2.0  # how many times slower than without it a penalty that reads states is, about


def cost(setup: Setup) -> float:
    """Estimated seconds that one core needs to train a point.

    Multiply-adds and element-wise work of the recurrence, timed once on a Xeon with AVX-512. Used
    only to balance workers and to estimate how long a study takes.
    """
    if setup.trainer is not None:
        return UNKNOWN
    if isinstance(setup.model, ModuleNetwork):
        return _cost_of_module(setup, setup.model)
    facts, model, hidden = setup.task.facts, setup.stack, setup.hidden
    nanoseconds = 0.0  # per example and step, forward and backward
    for number in range(1, setup.depth + 1):
        tensors = [parameter for layer, parameter in model.parameters.values() if layer == number]
        recurrent = sum(
            tensor.shape[0]
            for tensor in tensors
            if tensor.role == "recurrent" and len(tensor.block) == 2
        )
        # Diagonal cells have no product per step.
        rows = recurrent or max((tensor.shape[0] for tensor in tensors), default=hidden)
        columns = hidden + (model.read if number == 1 else hidden)
        nanoseconds += 50 + rows * 1.9 + recurrent * 0.036 * columns
    if setup.penalty is not None and setup.penalty.reads_states:
        nanoseconds *= PENALIZED
    validations = setup.updates / setup.validate_every + 3
    validated = 0.4 * validations * len(setup.task.split("validation").x)
    examples = setup.updates * setup.drawn + validated
    return facts.steps * examples * nanoseconds * SLOWER.get(model.kernel, 1.0) * 1e-9


def _cost_of_module(setup: Setup, model: ModuleNetwork) -> float:
    """As `cost`, from the time of one update, which is measured."""
    seconds = seconds_per_update(model, setup.batch)
    validations = setup.updates / setup.validate_every + 3
    validated = 0.4 * validations * len(setup.task.split("validation").x) / setup.batch
    return seconds * (setup.updates + validated)


UNKNOWN = 60.0  # seconds that a trainer of the user's own is taken to need: all need the same
WORKER_BYTES = 0.7e9  # memory that a worker needs besides its group
SHARE = 0.8  # of all memory, planned for groups


def group_memory(device_type: str, workers: int, total: float | None = None) -> float:
    """Bytes that a group may need when `workers` train one group each; infinite if unknown.

    `total`: bytes of memory to share, None for this machine's. On GPUs, the smallest one counts.
    """
    if device_type == "cpu":
        return max(SHARE * (memory() if total is None else total) / workers - WORKER_BYTES, 0.0)
    gpus = torch.cuda.device_count()
    return min(
        (
            SHARE * torch.cuda.get_device_properties(gpu).total_memory / math.ceil(workers / gpus)
            for gpu in range(gpus)
        ),
        default=math.inf,
    )


def groups(
    points: Sequence[Point],
    workers: int,
    max_members: int,
    updates_made: Mapping[str, int],
    space: float = math.inf,
    device_type: str = "cpu",
) -> list[Group]:
    """Cut points into groups of equal structure, the longest first.

    `workers` finish at about the same time, and each group fits into `space` bytes (see
    `group_memory`). `updates_made`: id -> updates of the point's checkpoint, equal within a group.
    A point's numbers do not depend on the cut. On a GPU a group takes about as long as a single
    point, so there are no more groups than workers need.
    """
    if max_members < 1:
        raise StudyError(f"executor: max_members must be at least 1, got {max_members}")
    by_key: dict[tuple[str, int], list[Point]] = {}
    setups: dict[tuple[str, int], Setup] = {}  # of the first point of each key
    for point in points:
        setup = set_up(point.config)
        key = (setup.group_key, updates_made.get(point.id, 0))
        by_key.setdefault(key, []).append(point)
        setups.setdefault(key, setup)
    costs = {
        key: cost(setup) * max(1 - key[1] / setup.updates, 0.01) for key, setup in setups.items()
    }
    total = sum(costs[key] * len(members) for key, members in by_key.items())
    # Large groups are faster; several rounds per worker even out errors of the estimate.
    rounds = 1 if device_type == "cuda" else 2
    share = total / (rounds * workers)
    cut = []
    for number, (key, members) in enumerate(by_key.items(), start=1):
        fitting = min(space / member_bytes(setups[key]), max_members)
        fit = max(1, min(max_members, int(fitting)))
        parts = max(
            math.ceil(len(members) / fit),
            min(math.ceil(costs[key] * len(members) / share), math.ceil(len(members) / 4)),
        )
        bounds = [round(part * len(members) / parts) for part in range(parts + 1)]
        for part, (start, end) in enumerate(itertools.pairwise(bounds), start=1):
            cut.append(
                Group(
                    name=f"{number}.{part}",
                    points=tuple(members[start:end]),
                    cost=costs[key] * (end - start),
                )
            )
    return sorted(cut, key=lambda group: -group.cost)
