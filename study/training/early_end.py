"""Members that end before their last update, where the study declares it (`stop`).

Whether a member ends depends on its own validations only, and the numbers of the members that stay
do not change by a bit (study/training/members.py).
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch

from study.training.members import keep_members
from study.training.probing import next_stages, probe
from study.training.state import Training


def members_ending(training: Training, count: int) -> dict[int, str]:
    """{member: reason} for those of the first `count` members that end at the last validation.

    Reasons are those of records.ENDED: solved or diverged.
    """
    alive = training.alive.tolist()
    found = {}
    for member, setup in enumerate(training.setups[:count]):
        checks = setup.stop.solved_checks
        if not alive[member]:
            if setup.stop.diverged:
                found[member] = "diverged"
        elif checks is not None and solved(training, member, checks):
            found[member] = "solved"
    return found


def solved(training: Training, member: int, checks: int) -> bool:
    """Whether the last `checks` validations all meet the task's criterion."""
    facts, last = training.task.facts, training.validations[-checks:]
    scores = torch.stack([score[member] for _, _, score in last])
    met = scores >= facts.solved if facts.higher_is_better else scores <= facts.solved
    return len(last) == checks and bool(met.all())


def split_off(training: Training, members: Sequence[int], update: int) -> Training:
    """Return a training of these members alone, as they are after `update` updates.

    Each probe measures its next stage now: this is the end of training for finite members.
    """
    part = copy.copy(training)  # shares tensors: `keep_members` replaces them, and changes none
    part.evaluations = {}
    keep_members(part, members)
    if part.alive.any():
        probe(part, update, next_stages(part, update))
    return part
