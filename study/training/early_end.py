"""Members that end before their updates are made, where the study declares it (`stop`): who they
are, and a training of them alone.

Those that stay do not change by a bit (study/training/members.py), and whether a member ends is
read off its own validations: neither depends on its company.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch

from study.training.members import keep
from study.training.probing import next_stages, probe
from study.training.state import Training


def ending(training: Training, count: int) -> dict[int, str]:
    """{member: solved | diverged} of the first `count` members that end at the validation just
    made; one of records.ENDED.
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
    """Whether the last `checks` validations all meet the task's rule."""
    facts, last = training.task.facts, training.validations[-checks:]
    scores = torch.stack([score[member] for _, _, score in last])
    met = scores >= facts.solved if facts.higher_is_better else scores <= facts.solved
    return len(last) == checks and bool(met.all())


def apart(training: Training, members: Sequence[int], update: int) -> Training:
    """A training of these members as they are after `update` updates.

    Each probe's next stage is measured now: it is the end of those that are still finite.
    """
    part = copy.copy(training)  # its tensors are shared: `keep` makes others in their place
    part.evaluations = {}
    keep(part, members)
    if part.alive.any():
        probe(part, update, next_stages(part, update))
    return part
