"""The budget is exact whoever claims, dies or fills at the same time."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import optuna
import pytest
from optuna.storages import InMemoryStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from study.search import liveness
from study.search.liveness import Heartbeat, LostTrials
from study.search.slots import EXAMPLES, SLOT, Budget, Slots
from study.search.storage import open_storage
from tests import ROOT


@pytest.fixture(params=["memory", "journal"])
def storage(request, tmp_path):
    return (
        InMemoryStorage()
        if request.param == "memory"
        else JournalStorage(JournalFileBackend(str(tmp_path / "journal.log")))
    )


def made(
    storage, trials: int = 4, *, refund: bool = False, retries: int = 1, settings=lambda slot: {}
) -> Slots:
    study = optuna.create_study(study_name="arm", storage=storage, load_if_exists=True)
    return Slots(
        study, storage, Budget(trials=trials, price=100, refund=refund, retries=retries), settings
    )


def finish(
    of: Slots, trial_id: int, state: TrialState = TrialState.COMPLETE, examples: int = 100
) -> None:
    of.storage.set_trial_user_attr(trial_id, EXAMPLES, examples)
    of.storage.set_trial_state_values(trial_id, state, [1.0])


def test_a_budget_is_claimed_once(storage):
    of = made(storage)
    of.fill()
    claimed = [of.claim() for _ in range(4)]
    assert len(set(claimed)) == 4
    assert of.claim() is None
    assert not of.over()
    for trial_id in claimed:
        finish(of, trial_id)
    assert of.over()
    of.fill()
    assert of.claim() is None


def test_two_that_fill_at_once_do_not_buy_more_trials(storage, monkeypatch):
    one, other = made(storage), made(storage)
    as_both_saw_it = one.slots()
    for of in (one, other):
        monkeypatch.setattr(of, "slots", lambda: as_both_saw_it)
        of.fill()
        monkeypatch.undo()
    assert len(one.trials()) == 8
    claimed = [
        trial_id for _ in range(8) for of in (one, other) if (trial_id := of.claim()) is not None
    ]
    assert len(claimed) == 4
    for trial_id in claimed:
        finish(one, trial_id)
    assert one.over()
    one.tidy()
    states = [trial.state for trial in one.trials()]
    assert states.count(TrialState.COMPLETE) == 4
    assert TrialState.WAITING not in states


def test_a_lost_trial_is_tried_again_with_its_settings_and_counts_once(storage):
    of = made(storage, settings=lambda slot: {"x": 0.5} if slot == 0 else {})
    of.fill()
    first = of.claim()
    trial = optuna.trial.Trial(of.study, first)
    assert trial.suggest_float("x", 0, 1) == 0.5
    assert of.fail(first, "killed")
    assert not of.fail(first, "killed by another who looks for lost trials")
    of.fill()
    again = of.claim()
    assert again != first
    assert of.storage.get_trial(again).user_attrs[SLOT] == 0
    assert optuna.trial.Trial(of.study, again).suggest_float("x", 0, 1) == 0.5
    # the first one was alive after all
    with pytest.raises(optuna.exceptions.UpdateFinishedTrialError):
        finish(of, first)


def test_a_trial_that_was_waiting_already_takes_the_settings_of_the_lost_one(storage, monkeypatch):
    one, other = made(storage, trials=1), made(storage, trials=1)
    as_both_saw_it = one.slots()
    for of in (one, other):
        monkeypatch.setattr(of, "slots", lambda: as_both_saw_it)
        of.fill()
        monkeypatch.undo()
    first = one.claim()
    drawn = optuna.trial.Trial(one.study, first).suggest_float("x", 0, 1)
    one.fail(first, "killed")
    again = other.claim()
    assert again is not None
    assert optuna.trial.Trial(other.study, again).suggest_float("x", 0, 1) == drawn


def test_a_slot_that_fails_too_often_is_given_up(storage):
    of = made(storage, trials=1, retries=1)
    for _ in range(2):
        of.fill()
        of.fail(of.claim(), "raises")
    of.fill()
    assert of.claim() is None
    assert of.over()
    assert of.slots()[0].counted is None


@pytest.mark.parametrize(("refund", "slots"), [(True, 5), (False, 4)])
def test_what_pruning_saves_buys_whole_trials(storage, refund, slots):
    of = made(storage, refund=refund)
    of.fill()
    for examples in (40, 60, 100, 100):  # 100 of 400 examples saved
        finish(
            of, of.claim(), TrialState.PRUNED if examples < 100 else TrialState.COMPLETE, examples
        )
    of.fill()
    assert len(of.slots()) == slots
    assert (of.claim() is None) == (not refund)


def test_raising_the_budget_keeps_what_is_there(storage):
    of = made(storage, trials=2)
    of.fill()
    for _ in range(2):
        finish(of, of.claim())
    more = made(storage, trials=3)
    assert not more.over()
    more.fill()
    finish(more, more.claim())
    assert more.claim() is None
    assert more.over()


def test_threads_claim_exactly_the_budget(tmp_path):
    """Every thread with a view of its own on one journal file, all filling and claiming as fast as
    they can.
    """
    path = str(tmp_path / "journal.log")
    made(JournalStorage(JournalFileBackend(path)), trials=30)
    claimed: list[int] = []

    def run() -> None:
        of = made(JournalStorage(JournalFileBackend(path)), trials=30)
        while not of.over():
            of.fill()
            trial_id = of.claim()
            if trial_id is not None:
                claimed.append(trial_id)
                finish(of, trial_id)

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(claimed) == len(set(claimed)) == 30


def test_a_process_killed_while_it_holds_the_journals_lock_stops_nobody(tmp_path, monkeypatch):
    """With a relative path, as the command has it."""
    monkeypatch.chdir(tmp_path)
    made(open_storage("journal", Path("search"))).fill()
    hold = (
        "import sys, time; from pathlib import Path; from study.search.storage import KernelLock;"
        " KernelLock(Path(sys.argv[1])).acquire(); print('held', flush=True); time.sleep(600)"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", hold, "search/journal.lock"],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert holder.stdout.readline() == "held\n"
    claimed: list[int | None] = []
    waiting = threading.Thread(
        target=lambda: claimed.append(made(open_storage("journal", Path("search"))).claim())
    )
    waiting.start()
    waiting.join(0.2)
    assert claimed == []
    holder.kill()
    holder.communicate()
    waiting.join(60)
    assert len(claimed) == 1


def test_a_worker_of_this_machine_is_found_gone_at_once(storage):
    of = made(storage)
    of.fill()
    trial_id = of.claim()
    watch = LostTrials(interval=1000.0)
    storage.set_trial_user_attr(trial_id, liveness.WORKER, liveness.this_worker())
    assert watch.reason(storage.get_trial(trial_id)) is None
    # another process has its number now
    storage.set_trial_user_attr(
        trial_id, liveness.WORKER, {**liveness.this_worker(), "started": "1"}
    )
    assert "gone" in watch.reason(storage.get_trial(trial_id))
    storage.set_trial_user_attr(
        trial_id,
        liveness.WORKER,
        {**liveness.this_worker(), "started": "1", "machine": "elsewhere"},
    )
    assert watch.reason(storage.get_trial(trial_id)) is None


def test_a_silent_worker_elsewhere_is_given_up_and_one_that_beats_is_not(storage, monkeypatch):
    of = made(storage)
    of.fill()
    trial_id, now = of.claim(), [0.0]
    monkeypatch.setattr(liveness.time, "monotonic", lambda: now[0])
    watch = LostTrials(interval=15.0)
    for beat in range(20):
        storage.set_trial_user_attr(trial_id, liveness.BEAT, beat)
        assert watch.reason(storage.get_trial(trial_id)) is None
        now[0] += 59.0
    now[0] += 2.0
    assert "no sign" in watch.reason(storage.get_trial(trial_id))


def test_a_heart_beats_while_its_trial_runs_and_survives_that_it_is_finished_by_another(storage):
    of = made(storage)
    of.fill()
    one, other = of.claim(), of.claim()
    with Heartbeat(storage, [one, other], 0.01):
        of.fail(one, "taken for lost")
        deadline = time.monotonic() + 20
        while (
            storage.get_trial(other).user_attrs.get(liveness.BEAT, 0) < 3
            and time.monotonic() < deadline
        ):
            time.sleep(0.01)
    assert storage.get_trial(other).user_attrs[liveness.BEAT] >= 3
