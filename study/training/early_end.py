"""Members that end before their last update, where the study declares it (`stop`).

Whether a member ends depends on its own validations only, and the numbers of the members that stay
do not change by a bit (study/training/members.py). Nobody knows beforehand when a member will end.
So that its verdict rests on several probes of its end, it is probed at every validation that meets
the criterion.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

from study.training.members import keep_members, of_members
from study.training.probing import deciding, next_stages, probe
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
        elif checks is not None and len(streak(training, member)) >= checks:
            found[member] = "solved"
    return found


def streak(training: Training, member: int) -> list[int]:
    """Updates of the last validations in a row that meet the task's criterion; [] if the last one
    does not.
    """
    facts, updates = training.task.facts, []
    if facts.solved is None:
        return []
    for update, _, scores in reversed(training.validations):
        score = float(scores[member])
        if not (score >= facts.solved if facts.higher_is_better else score <= facts.solved):
            break
        updates.append(update)
    return updates[::-1]


def probe_streaks(training: Training, count: int, update: int) -> None:
    """Probe those of the first `count` members that may be about to end, for their verdicts.

    They are the ones whose last validation, of `update`, meets the criterion of their
    `stop.solved_checks`. Only the probe that decides verdicts measures, where it has not already.
    The members are probed apart from the group, whose numbers do not change.
    """
    alive = training.alive.tolist()
    members = [
        member
        for member, setup in enumerate(training.setups[:count])
        if setup.stop.solved_checks is not None and alive[member] and streak(training, member)
    ]
    # No scheduled probe, and no other validation, has these stages' random draws.
    validation = len(training.validations) - 1
    stages = {
        name: len(scheduled) + validation
        for name, scheduled in deciding(training).items()
        if update not in scheduled
    }
    if not members or not stages:
        return
    part = apart(training, members)
    part.measured = []
    probe(part, update, stages)
    for index, member in enumerate(members):
        training.measured_alone[member] = [
            *training.measured_alone[member],
            *(of_members(measured, [index]) for measured in part.measured),
        ]


def split_off(training: Training, members: Sequence[int], update: int) -> Training:
    """Return a training of these members alone, as they are after `update` updates.

    Each probe measures its next stage now: this is the end of training for finite members. The
    probe that decides verdicts has measured already (`probe_streaks`).
    """
    part = apart(training, members)
    if part.alive.any():
        decided = deciding(training)
        stages = next_stages(part, update)
        probe(part, update, {name: at for name, at in stages.items() if name not in decided})
    return part


def apart(training: Training, members: Sequence[int]) -> Training:
    """A copy of the training with these members only."""
    part = copy.copy(training)  # shares tensors: `keep_members` replaces them, and changes none
    part.evaluations, part.metrics = {}, {}
    keep_members(part, members)
    return part
