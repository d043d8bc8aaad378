"""Which points are trained together, and what that may cost."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence

import torch

from study.config.network import member_bytes
from study.config.setup import Setup, set_up
from study.interfaces import Group, Point
from study.machine.resources import memory
from study.records import StudyError

# Times slower than the compiled kernel, about: study/kernels/table.yaml.
SLOWER = {"fused": 1.8, "reference": 2.7}


def cost(setup: Setup) -> float:
    """Estimated seconds of one core to train a point: multiply-adds and element-wise work of the
    recurrence, as measured once on a Xeon with AVX-512.

    Used only to balance workers and to estimate how long a study takes.
    """
    facts, model, hidden = setup.task.facts, setup.model, setup.hidden
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
    validations = setup.updates / setup.validate_every + 3
    validated = 0.4 * validations * len(setup.task.split("validation").x)
    examples = setup.updates * setup.batch + validated
    return facts.steps * examples * nanoseconds * SLOWER.get(model.kernel, 1.0) * 1e-9


# what a worker needs beside its group; of the memory there is, what groups may be planned for
WORKER_BYTES, SHARE = (0.7e9, 0.8)


def room(device_type: str, workers: int, there: float | None = None) -> float:
    """Bytes that a group may need where `workers` train one each: of `there` bytes (None: this
    machine's memory), or of the smallest GPU's.

    Infinite where that is unknown.
    """
    if device_type == "cpu":
        return max(SHARE * (memory() if there is None else there) / workers - WORKER_BYTES, 0.0)
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
    begun: Mapping[str, int],
    space: float = math.inf,
    device_type: str = "cpu",
) -> list[Group]:
    """Groups of equal structure, longest first, cut so that `workers` finish at about the same time
    and that each fits into `space` bytes (see `room`).

    `begun`: id -> updates that a checkpoint has of a point; those of one group have made the same.
    A point's numbers do not depend on the cut. On a GPU a group takes about as long as a point, so
    there is no more cutting than workers need.
    """
    if max_members < 1:
        raise StudyError(f"executor: max_members must be at least 1, got {max_members}")
    by_key: dict[tuple[str, int], list[Point]] = {}
    setups: dict[tuple[str, int], Setup] = {}  # of the first point of each key
    for point in points:
        setup = set_up(point.config)
        key = (setup.group_key, begun.get(point.id, 0))
        by_key.setdefault(key, []).append(point)
        setups.setdefault(key, setup)
    costs = {
        key: cost(setup) * max(1 - key[1] / setup.updates, 0.01) for key, setup in setups.items()
    }
    total = sum(costs[key] * len(of) for key, of in by_key.items())
    # large groups are faster, several rounds a worker even out what the estimate gets wrong
    rounds = 1 if device_type == "cuda" else 2
    share = total / (rounds * workers)
    made = []
    for number, (key, of) in enumerate(by_key.items(), start=1):
        fitting = min(space / member_bytes(setups[key]), max_members)
        fit = max(1, min(max_members, int(fitting)))
        parts = max(
            math.ceil(len(of) / fit),
            min(math.ceil(costs[key] * len(of) / share), math.ceil(len(of) / 4)),
        )
        bounds = [round(part * len(of) / parts) for part in range(parts + 1)]
        for part, (start, end) in enumerate(itertools.pairwise(bounds), start=1):
            made.append(
                Group(
                    name=f"{number}.{part}",
                    points=tuple(of[start:end]),
                    cost=costs[key] * (end - start),
                )
            )
    return sorted(made, key=lambda group: -group.cost)
