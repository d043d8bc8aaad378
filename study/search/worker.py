"""A search worker: claims trials, draws their settings, trains them and records the outcomes.

It ends when every arm's budget is spent. No worker waits for another while there is a trial to
claim, and each frees the slots of trials whose worker has died.
"""

from __future__ import annotations

import contextlib
import math
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import torch
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import BaseStorage
from optuna.study import Study
from optuna.trial import Trial, TrialState

from study.config.build import build
from study.config.resolve import resolve_device
from study.config.setup import set_up
from study.machine.provenance import relative
from study.search.arms import load, slots_of
from study.search.liveness import WORKER, Heartbeat, LostTrials, this_worker
from study.search.objectives import Objective, Outcome, TrialRequest
from study.search.slots import EXAMPLES, SLOT, Slots
from study.search.space import suggest
from study.search.spec import Arm, Spec, trial_name, trial_request
from study.search.storage import open_storage, quiet
from study.store import Store

TOGETHER = 4  # trials of one structure trained as a group, where search.together is auto
PAUSE = 0.25  # seconds between reads of the storage while other workers finish
STATUS = "status"

Send = Callable[[Mapping[str, Any]], None]


@dataclass
class Claimed:
    """A trial that this worker has claimed."""

    arm: Arm
    slots: Slots
    study: Study
    trial: Trial
    slot: int
    request: TrialRequest


class Worker:
    """Runs trials on one `device` and sends events about them."""

    def __init__(self, spec: Spec, storage: BaseStorage, device: str, send: Send) -> None:
        self.spec, self.storage, self.device, self.send = spec, storage, device, send
        self.objective: Objective = build(spec.settings.objective, "search.objective")
        self.slots = [slots_of(spec, arm, storage) for arm in spec.arms]
        self.lost_trials = LostTrials(spec.settings.heartbeat)
        self.worker_id = this_worker()

    def work(self) -> None:
        """Run trials until none is left, here or in other workers."""
        while True:
            claimed = self.claim()
            if claimed:
                self.run(claimed)
            elif not self.rescue():
                if all(each.over() for each in self.slots):
                    return
                time.sleep(PAUSE)

    def rescue(self) -> bool:
        """Free slots of lost trials, fill empty slots; return whether there is a trial to claim."""
        for slots in self.slots:
            for trial in slots.trials():
                if trial.state == TrialState.RUNNING:
                    why = self.lost_trials.reason(trial)
                    if why is not None and slots.fail(trial._trial_id, why):
                        self.send(
                            {
                                "event": "lost",
                                "trial": trial.number,
                                "study": slots.study.study_name,
                                "reason": why,
                            }
                        )
            slots.fill()
        return any(slot.next is not None for each in self.slots for slot in each.slots())

    # --- claiming ---------------------------------------------------------------------------------

    def claim(self) -> list[Claimed]:
        """Claim a trial of the arm with the fewest, and more trials to train together with it.

        Those have its structure; they are claimed if its model can train side by side.
        """
        first = next(
            (trial for number in self._order() if (trial := self._claim(number)) is not None), None
        )
        if first is None:
            return []
        claimed = [first]
        if (
            first.arm.structure is not None
            and (setup := set_up(first.request.points[0].config)).trainer is None
            and setup.model.whole_blocks()
        ):
            for number in self._order():
                if len(claimed) == self._together():
                    break
                if self.spec.arms[number].structure == first.arm.structure:
                    further = self._claim(number)
                    claimed += [further] if further is not None else []
        return claimed

    def _together(self) -> int:
        together = self.spec.settings.together
        return TOGETHER if isinstance(together, str) else together

    def _order(self) -> list[int]:
        """Indices of arms, those with the fewest started trials first."""
        started = [
            sum(trial.state != TrialState.WAITING for trial in slots.trials())
            for slots in self.slots
        ]
        return sorted(range(len(started)), key=lambda number: started[number])

    def _claim(self, number: int) -> Claimed | None:
        arm, slots = self.spec.arms[number], self.slots[number]
        trial_id = slots.claim()
        if trial_id is None:
            return None
        try:
            self.storage.set_trial_user_attr(trial_id, WORKER, self.worker_id)
            slot = self.storage.get_trial(trial_id).user_attrs[SLOT]
            study = load(self.spec, arm, self.storage, slot)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                trial = Trial(study, trial_id)
                if slot == 0 and not arm.default_inside:
                    setting = dict(arm.default)  # outside the space, so not reported to the sampler
                else:
                    setting = {
                        key: suggest(trial, key, distribution)
                        for key, distribution in self.spec.space.items()
                    }
            trial.set_user_attr("setting", setting)
            return Claimed(
                arm, slots, study, trial, slot, trial_request(self.spec, arm, slot, setting)
            )
        except Exception as error:  # whatever a sampler raises: the slot is tried again
            self._failed(slots, trial_id, slot_name(arm, slots, trial_id), error)
            return None

    # --- running ----------------------------------------------------------------------------------

    def run(self, claimed: Sequence[Claimed]) -> None:
        """Train trials of one structure together and record their outcomes."""
        ids = [each.trial._trial_id for each in claimed]
        for each in claimed:
            self.send({"event": "started", "name": each.request.name, "arm": each.arm.name})
        with Heartbeat(self.storage, ids, self.spec.settings.heartbeat):
            try:
                outcomes = self.objective.run(
                    [each.request for each in claimed],
                    self.device,
                    self._on_validation(claimed),
                    self.spec.settings.objectives,
                )
            except Exception as error:  # whatever a piece raises: only these trials fail
                for each in claimed:
                    self._failed(each.slots, each.trial._trial_id, each.request.name, error)
                return
        for each, outcome in zip(claimed, outcomes, strict=True):
            self._record(each, outcome)

    def _on_validation(self, claimed: Sequence[Claimed]) -> Callable[[int, int, float], bool]:
        """The callback that reports validation scores and asks the pruner whether to stop."""
        reported: dict[int, int] = {}
        several = len(self.spec.settings.objectives) > 1

        def on_validation(index: int, step: int, value: float) -> bool:
            if several or reported.get(index) == step:
                return False
            reported[index] = step
            trial = claimed[index].trial
            try:
                with quiet():
                    trial.report(value, step)
                    return bool(trial.should_prune())
            # The trial was considered lost and another took its place: stop this one only.
            except UpdateFinishedTrialError:
                return True

        return on_validation

    def _record(self, claimed: Claimed, outcome: Outcome) -> None:
        """Store the outcome, then finish the trial, so that a trial that counts is complete.

        A trial that was considered lost meanwhile is dropped.
        """
        trial, pruned = claimed.trial, outcome.status == "pruned"
        facts = {
            EXAMPLES: outcome.examples,
            "seconds": outcome.seconds,
            "scores": list(outcome.scores),
            "se": None if outcome.se is None or math.isnan(outcome.se) else outcome.se,
            STATUS: outcome.status,
        }
        facts |= {
            "reason": outcome.reason,
            "updates": claimed.request.points[0].updates,
            "name": claimed.request.name,
        }
        if self.storage.get_trial(trial._trial_id).state != TrialState.RUNNING:
            self.send(
                {
                    "event": "dropped",
                    "name": claimed.request.name,
                    "reason": "it was considered lost, and another trial is in its place",
                }
            )
            return
        if outcome.record is not None:
            Store(self.spec.search_folder).write(outcome.record)
        try:
            for key, value in facts.items():
                trial.set_user_attr(key, value)
            with quiet(), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                if pruned:
                    claimed.study.tell(trial, state=TrialState.PRUNED)
                else:
                    claimed.study.tell(
                        trial, [outcome.values[name] for name in self.spec.settings.objectives]
                    )
        except (UpdateFinishedTrialError, ValueError) as error:
            if self.storage.get_trial(trial._trial_id).state == TrialState.RUNNING:
                self._failed(claimed.slots, trial._trial_id, claimed.request.name, error)
            else:
                self.send({"event": "dropped", "name": claimed.request.name, "reason": str(error)})
            return
        claimed.slots.fill()  # what pruning saved may pay for another trial
        event = {
            "event": "stored",
            "name": claimed.request.name,
            "arm": claimed.arm.name,
            "status": outcome.status,
            "examples": outcome.examples,
        }
        self.send(
            {**event, "record": outcome.record is not None, "score": outcome.values.get("score")}
        )

    def _failed(self, slots: Slots, trial_id: int, name: str, error: Exception) -> None:
        reason = f"{type(error).__name__}: {relative(str(error), self.spec.folder)}"
        slots.fail(trial_id, reason)
        slots.fill()
        self.send({"event": "failed", "name": name, "reason": reason})


def slot_name(arm: Arm, slots: Slots, trial_id: int) -> str:
    return trial_name(arm.name, slots.storage.get_trial(trial_id).user_attrs.get(SLOT, 0))


def work(connection: Connection, number: int, spec: Spec) -> None:
    """Run a worker process, with its own connection to the storage, on one GPU or core."""
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)

    def send(event: Mapping[str, Any]) -> None:
        with contextlib.suppress(BrokenPipeError):
            connection.send(event)

    try:
        first = next(iter(spec.arms[0].bases.values())).config
        device = resolve_device(first.device, gpus=None)
        storage = open_storage(spec.settings.storage, spec.search_folder)
        Worker(
            spec,
            storage,
            f"cuda:{number % torch.cuda.device_count()}" if device == "cuda" else device,
            send,
        ).work()
        send({"event": "over"})
    # For example without a storage: this worker ends, and others try its trials again.
    except Exception as error:
        send(
            {
                "event": "broken",
                "reason": f"{type(error).__name__}: {relative(str(error), spec.folder)}",
            }
        )
