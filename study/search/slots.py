"""The budget of one arm, kept exactly by any number of processes on any storage.

A budget of N trials is N slots. A slot holds one trial that counts and, before it, the trials of
workers that died. A worker claims the waiting trial of a slot, which the storage grants once. When
a trial is lost or fails, another one with the same setting takes its slot. Two processes may fill
the same slot at once: a trial can only be claimed when every earlier one of its slot has failed,
and failing is final. So no lock is needed, and no slot counts twice.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import BaseStorage
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState, create_trial

SLOT, REASON, SURPLUS, EXAMPLES = "slot", "reason", "surplus", "examples"
FIXED = "fixed_params"  # where Optuna stores the parameters of enqueue_trial
FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)


@dataclass(frozen=True)
class Budget:
    """`trials` of `price` examples each, with `retries` per slot.

    With `refund`, the examples that pruning saves buy further trials.
    """

    trials: int
    price: int
    refund: bool
    retries: int

    def slots(self, trials: Sequence[FrozenTrial]) -> int:
        """The number of slots that the budget pays for, with the refunds of pruned trials."""
        saved = sum(
            self.price - trial.user_attrs.get(EXAMPLES, self.price)
            for trial in trials
            if trial.state == TrialState.PRUNED
        )
        return self.trials + (saved // self.price if self.refund else 0)


@dataclass(frozen=True)
class Slot:
    """The trials of one slot, earliest first."""

    number: int
    trials: Sequence[FrozenTrial]
    retries: int

    @property
    def counted(self) -> FrozenTrial | None:
        """The finished trial that counts, if there is one."""
        return next((trial for trial in self.trials if trial.state in FINISHED), None)

    @property
    def failures(self) -> list[FrozenTrial]:
        return [
            trial
            for trial in self.trials
            if trial.state == TrialState.FAIL and not trial.user_attrs.get(SURPLUS)
        ]

    @property
    def over(self) -> bool:
        """Whether the slot is done: a trial counts, or too many have failed."""
        return self.counted is not None or len(self.failures) > self.retries

    @property
    def next(self) -> FrozenTrial | None:
        """The trial that may be claimed: the first that has not failed, if it is waiting."""
        live = next((trial for trial in self.trials if trial.state != TrialState.FAIL), None)
        return (
            live
            if live is not None and live.state == TrialState.WAITING and not self.over
            else None
        )

    @property
    def empty(self) -> bool:
        """Whether all trials have failed and another may be tried."""
        return all(trial.state == TrialState.FAIL for trial in self.trials) and not self.over


class Slots:
    """The slots of one Optuna study.

    `settings(slot)`: the setting fixed for a slot; {} leaves it to the sampler.
    """

    def __init__(
        self,
        study: Study,
        storage: BaseStorage,
        budget: Budget,
        settings: Callable[[int], Mapping[str, Any]],
    ) -> None:
        self.study, self.storage, self.budget, self.settings = study, storage, budget, settings
        self.study_id = storage.get_study_id_from_name(study.study_name)

    def trials(self) -> list[FrozenTrial]:
        return self.storage.get_all_trials(self.study_id, deepcopy=False)

    def slots(self) -> list[Slot]:
        """The slots that the budget pays for, in their present state."""
        trials = self.trials()
        by_slot: dict[int, list[FrozenTrial]] = {
            number: [] for number in range(self.budget.slots(trials))
        }
        for trial in sorted(trials, key=lambda trial: trial.number):
            if trial.user_attrs.get(SLOT) in by_slot:
                by_slot[trial.user_attrs[SLOT]].append(trial)
        return [Slot(number, found, self.budget.retries) for number, found in by_slot.items()]

    def fill(self) -> None:
        """Add a waiting trial to every empty slot: at the start, after failures and refunds."""
        for slot in self.slots():
            if slot.empty:
                settings = dict(self.settings(slot.number))
                if settings:
                    self.study.enqueue_trial(settings, user_attrs={SLOT: slot.number})
                else:
                    self.study.add_trial(
                        create_trial(state=TrialState.WAITING, user_attrs={SLOT: slot.number})
                    )

    def claim(self) -> int | None:
        """Claim a trial for this process and return its id; None if there is none."""
        for slot in self.slots():
            trial = slot.next
            if trial is not None:
                with contextlib.suppress(UpdateFinishedTrialError):
                    if self.storage.set_trial_state_values(trial._trial_id, TrialState.RUNNING):
                        self._settle(slot, trial)
                        return trial._trial_id
        return None

    def _settle(self, slot: Slot, trial: FrozenTrial) -> None:
        """Give a trial that replaces a lost one the same setting, even if it was added earlier."""
        drawn = next((failed.params for failed in reversed(slot.failures) if failed.params), None)
        if drawn is not None and trial.system_attrs.get(FIXED) != drawn:
            self.storage.set_trial_system_attr(trial._trial_id, FIXED, drawn)

    def fail(self, trial_id: int, reason: str) -> bool:
        """Mark a running trial as failed; False if another process has finished it."""
        try:
            self.storage.set_trial_user_attr(trial_id, REASON, reason)
            self.storage.set_trial_state_values(trial_id, TrialState.FAIL)
        except UpdateFinishedTrialError:
            return False
        return True

    def over(self) -> bool:
        return all(slot.over for slot in self.slots())

    def tidy(self) -> None:
        """Mark the waiting trials that are left as surplus."""
        for trial in self.trials():
            if trial.state == TrialState.WAITING:
                with contextlib.suppress(UpdateFinishedTrialError):
                    self.storage.set_trial_user_attr(trial._trial_id, SURPLUS, True)
                    self.storage.set_trial_state_values(trial._trial_id, TrialState.FAIL)
