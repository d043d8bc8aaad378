"""A worker's life: claim a trial, draw its setting, train it, tell what came out; until every arm's
budget is spent.

No worker waits for another while there is something to claim. Whoever finds a trial whose worker is
gone frees its slot.
"""

from __future__ import annotations

import contextlib
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
from study.search.arms import load, slots
from study.search.liveness import WORKER, Heartbeat, Watch, me
from study.search.objectives import Objective, Outcome, TrialRequest
from study.search.slots import EXAMPLES, SLOT, Slots
from study.search.space import suggest
from study.search.spec import Arm, Spec, trial_name, trial_request
from study.search.storage import open_storage, quiet
from study.store import Store

TOGETHER = 4  # trials of one structure trained as a group, where search.together is auto
PAUSE = 0.25  # seconds between looks at the storage while others finish
STATUS = "status"

Say = Callable[[Mapping[str, Any]], None]


@dataclass
class Claimed:
    """A trial that is this worker's."""

    arm: Arm
    slots: Slots
    study: Study
    trial: Trial
    slot: int
    request: TrialRequest


class Worker:
    """One process's view of the search. `device`: what its trials are trained on."""

    def __init__(self, spec: Spec, storage: BaseStorage, device: str, say: Say) -> None:
        self.spec, self.storage, self.device, self.say = spec, storage, device, say
        self.objective: Objective = build(spec.settings.objective, "search.objective")
        self.slots = [slots(spec, arm, storage) for arm in spec.arms]
        self.watch = Watch(spec.settings.heartbeat)
        self.me = me()

    def work(self) -> None:
        """Until no trial is left to be run, here or elsewhere."""
        while True:
            claimed = self.claim()
            if claimed:
                self.run(claimed)
            elif not self.rescue():
                if all(of.over() for of in self.slots):
                    return
                time.sleep(PAUSE)

    def rescue(self) -> bool:
        """Free the slots of lost trials and fill those that are empty; whether there is something
        new to claim.
        """
        for of in self.slots:
            for trial in of.trials():
                if trial.state == TrialState.RUNNING:
                    why = self.watch.lost(trial)
                    if why is not None and of.fail(trial._trial_id, why):
                        self.say(
                            {
                                "event": "lost",
                                "trial": trial.number,
                                "study": of.study.study_name,
                                "reason": why,
                            }
                        )
            of.fill()
        return any(slot.next is not None for of in self.slots for slot in of.slots())

    # --- claiming ---------------------------------------------------------------------------------

    def claim(self) -> list[Claimed]:
        """A trial of the arm that has been given the fewest, and where it pays others of its
        structure.
        """
        first = next(
            (one for number in self._order() if (one := self._claim(number)) is not None), None
        )
        if first is None:
            return []
        claimed = [first]
        if (
            first.arm.structure is not None
            and set_up(first.request.points[0].config).model.whole_blocks()
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
        """Arms with the fewest trials begun first."""
        begun = [
            sum(trial.state != TrialState.WAITING for trial in of.trials()) for of in self.slots
        ]
        return sorted(range(len(begun)), key=lambda number: begun[number])

    def _claim(self, number: int) -> Claimed | None:
        arm, of = self.spec.arms[number], self.slots[number]
        trial_id = of.claim()
        if trial_id is None:
            return None
        try:
            self.storage.set_trial_user_attr(trial_id, WORKER, self.me)
            slot = self.storage.get_trial(trial_id).user_attrs[SLOT]
            study = load(self.spec, arm, self.storage, slot)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                trial = Trial(study, trial_id)
                if slot == 0 and not arm.default_inside:
                    setting = dict(arm.default)  # outside the space: no sampler is told of it
                else:
                    setting = {
                        key: suggest(trial, key, distribution)
                        for key, distribution in self.spec.space.items()
                    }
            trial.set_user_attr("setting", setting)
            return Claimed(
                arm, of, study, trial, slot, trial_request(self.spec, arm, slot, setting)
            )
        except Exception as error:  # whatever a sampler raises: the slot is told, and tried again
            self._failed(of, trial_id, slot_name(arm, of, trial_id), error)
            return None

    # --- running ----------------------------------------------------------------------------------

    def run(self, claimed: Sequence[Claimed]) -> None:
        """Train trials of one structure and tell what came out."""
        ids = [one.trial._trial_id for one in claimed]
        for one in claimed:
            self.say({"event": "started", "name": one.request.name, "arm": one.arm.name})
        with Heartbeat(self.storage, ids, self.spec.settings.heartbeat):
            try:
                outcomes = self.objective.run(
                    [one.request for one in claimed],
                    self.device,
                    self._hear(claimed),
                    self.spec.settings.objectives,
                )
            except (
                Exception
            ) as error:  # whatever a piece raises: these trials have failed, the search goes on
                for one in claimed:
                    self._failed(one.slots, one.trial._trial_id, one.request.name, error)
                return
        for one, outcome in zip(claimed, outcomes, strict=True):
            self._tell(one, outcome)

    def _hear(self, claimed: Sequence[Claimed]) -> Callable[[int, int, float], bool]:
        """Validation scores go to the storage; the pruner answers whether the trial is to stop."""
        said: dict[int, int] = {}
        several = len(self.spec.settings.objectives) > 1

        def hear(index: int, step: int, value: float) -> bool:
            if several or said.get(index) == step:
                return False
            said[index] = step
            trial = claimed[index].trial
            try:
                with quiet():
                    trial.report(value, step)
                    return bool(trial.should_prune())
            # it was taken for lost, and another is trained in its place: the rest of its group goes
            # on
            except UpdateFinishedTrialError:
                return True

        return hear

    def _tell(self, one: Claimed, outcome: Outcome) -> None:
        """Record, then finish: a trial that counts has everything.

        One that was taken for lost meanwhile is dropped.
        """
        trial, pruned = one.trial, outcome.status == "pruned"
        facts = {
            EXAMPLES: outcome.examples,
            "seconds": outcome.seconds,
            "scores": list(outcome.scores),
            "se": outcome.se,
            STATUS: outcome.status,
        }
        facts |= {
            "reason": outcome.reason,
            "updates": one.request.points[0].updates,
            "name": one.request.name,
        }
        if self.storage.get_trial(trial._trial_id).state != TrialState.RUNNING:
            self.say(
                {
                    "event": "dropped",
                    "name": one.request.name,
                    "reason": "it was taken for lost, and another is in its place",
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
                    one.study.tell(trial, state=TrialState.PRUNED)
                else:
                    one.study.tell(
                        trial, [outcome.values[name] for name in self.spec.settings.objectives]
                    )
        except (UpdateFinishedTrialError, ValueError) as error:
            if self.storage.get_trial(trial._trial_id).state == TrialState.RUNNING:
                self._failed(one.slots, trial._trial_id, one.request.name, error)
            else:
                self.say({"event": "dropped", "name": one.request.name, "reason": str(error)})
            return
        one.slots.fill()  # what pruning saved may have bought another trial
        told = {
            "event": "stored",
            "name": one.request.name,
            "arm": one.arm.name,
            "status": outcome.status,
            "examples": outcome.examples,
        }
        self.say(
            {**told, "record": outcome.record is not None, "score": outcome.values.get("score")}
        )

    def _failed(self, of: Slots, trial_id: int, name: str, error: Exception) -> None:
        reason = f"{type(error).__name__}: {relative(str(error), self.spec.folder)}"
        of.fail(trial_id, reason)
        of.fill()
        self.say({"event": "failed", "name": name, "reason": reason})


def slot_name(arm: Arm, of: Slots, trial_id: int) -> str:
    return trial_name(arm.name, of.storage.get_trial(trial_id).user_attrs.get(SLOT, 0))


def work(connection: Connection, number: int, spec: Spec) -> None:
    """A worker process: its own storage connection, one GPU or core."""
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)

    def say(event: Mapping[str, Any]) -> None:
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
            say,
        ).work()
        say({"event": "over"})
    # the storage is out of reach: this worker ends, its trials are tried again by others
    except Exception as error:
        say(
            {
                "event": "broken",
                "reason": f"{type(error).__name__}: {relative(str(error), spec.folder)}",
            }
        )
