"""Find running trials whose worker has died: by its process on this machine, else by silence."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping
from typing import Any

from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial

from study.machine.identity import has_ended, machine_id, start_time

WORKER, BEAT = "worker", "beat"
SILENT_BEATS = 4  # beats that may be missed


def this_worker() -> dict[str, Any]:
    """What identifies this process in the storage."""
    return {"machine": machine_id(), "pid": os.getpid(), "started": start_time(os.getpid())}


def has_died(worker: Mapping[str, Any]) -> bool:
    """Whether a worker of this machine has ended; False if that is unknown."""
    return "pid" in worker and has_ended(
        machine_id(), worker.get("machine", ""), worker["pid"], worker.get("started", "")
    )


class LostTrials:
    """Detects lost trials: remembers, by this process's clock, when each heartbeat last changed."""

    def __init__(self, interval: float) -> None:
        self.grace = SILENT_BEATS * interval
        self.seen: dict[int, tuple[Any, float]] = {}

    def reason(self, trial: FrozenTrial) -> str | None:
        """Why a running trial counts as lost; None while its worker may be alive."""
        if has_died(trial.user_attrs.get(WORKER, {})):
            return "its worker process is gone"
        beat, now = trial.user_attrs.get(BEAT), time.monotonic()
        if (
            self.seen.get(trial._trial_id, (None, 0.0))[0] != beat
            or trial._trial_id not in self.seen
        ):
            self.seen[trial._trial_id] = (beat, now)
        silent = now - self.seen[trial._trial_id][1]
        return f"no sign of its worker for {silent:.0f} s" if silent > self.grace else None


class Heartbeat:
    """Writes heartbeats of running trials while its `with` block runs."""

    def __init__(self, storage: BaseStorage, trial_ids: list[int], interval: float) -> None:
        self.storage, self.trial_ids, self.interval = storage, trial_ids, interval
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self._beat, daemon=True)

    def __enter__(self) -> None:
        self.thread.start()

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        self.thread.join()

    def _beat(self) -> None:
        count = 0
        while not self.stop.wait(self.interval):
            count += 1
            for trial_id in self.trial_ids:
                try:
                    self.storage.set_trial_user_attr(trial_id, BEAT, count)
                except (UpdateFinishedTrialError, KeyError):
                    continue
                except Exception:  # the storage may be unreachable; the next beat tries again
                    break
