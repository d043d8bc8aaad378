"""The Optuna studies of a search, one an arm: opened, compared with what is asked, their slots
filled.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.exceptions import DuplicatedStudyError
from optuna.storages import BaseStorage
from optuna.study import Study, StudyDirection

from study.records import StudyError
from study.search.planning import FACTORS, fingerprint
from study.search.samplers import Grid, pruner, sampler, seed_of
from study.search.slots import Budget, Slots
from study.search.space import show
from study.search.spec import Arm, Spec
from study.search.storage import PATIENCE, quiet, without_password

FINGERPRINT = "fingerprint"


def load(spec: Spec, arm: Arm, storage: BaseStorage, slot: int) -> Study:
    """An arm's study with the sampler of one slot."""
    seed = seed_of(spec.settings.seed, arm.name, slot)
    with quiet():
        return optuna.load_study(
            study_name=arm.study_name,
            storage=storage,
            sampler=sampler(spec.settings.sampler, seed),
            pruner=pruner(spec.settings.pruner),
        )


def slots(spec: Spec, arm: Arm, storage: BaseStorage) -> Slots:
    """The arm's budget. Slot 0 is the default setting where that lies in the space; grid hands out
    the others.
    """
    grid = Grid.settings(spec.space, spec.settings.seed) if is_grid(spec) else None
    trials = spec.settings.trials
    if grid is not None:
        grid = [setting for setting in grid if setting != arm.default]
        trials = min(trials, len(grid) + 1)

    def settings(slot: int) -> Mapping[str, Any]:
        if slot == 0:
            return arm.default if arm.default_inside else {}
        return grid[slot - 1] if grid is not None else {}

    budget = Budget(
        trials=trials,
        price=arm.examples * spec.settings.replicates,
        refund=spec.settings.budget == "examples" and grid is None,
        retries=spec.settings.retries,
    )
    return Slots(load(spec, arm, storage, 0), storage, budget, settings)


def is_grid(spec: Spec) -> bool:
    return isinstance(sampler(spec.settings.sampler, 0), Grid)


def open_arms(spec: Spec, storage: BaseStorage) -> list[Slots]:
    """All arms, made where they are new; a stored one must be the same search.

    Nothing is changed before all are compared.
    """
    there = {study.study_name: study for study in _summaries(storage)}
    check_factors(spec, there.values())
    for arm in spec.arms:
        if arm.study_name in there and not _unmarked(there[arm.study_name]):
            _compare(spec, arm, there[arm.study_name])
    for arm in spec.arms:
        if arm.study_name not in there or _unmarked(there[arm.study_name]):
            _create(spec, arm, storage)
    return [slots(spec, arm, storage) for arm in spec.arms]


def check_factors(spec: Spec, there: Iterable[Any]) -> None:
    """Arms of other factors are another search, though each of its studies has a name of its own
    here.
    """
    for study in there:
        marked = study.user_attrs.get(FINGERPRINT) or {}
        if study.study_name.startswith(f"{spec.name}: ") and marked.get(
            FACTORS, list(spec.factors)
        ) != list(spec.factors):
            told = [f"[{', '.join(factors)}]" for factors in (marked[FACTORS], spec.factors)]
            raise StudyError(
                f"{spec.name}: a search of this name is stored, with other arms (factors: there"
                f" {told[0]}, here {told[1]}). It is left as it is. Give this search a name of its"
                " own: name=…"
            )


def _summaries(storage: BaseStorage) -> Sequence[Any]:
    with quiet():
        return optuna.get_all_study_summaries(storage=storage, include_best_trial=False)


def _create(spec: Spec, arm: Arm, storage: BaseStorage) -> None:
    try:
        with quiet():
            study = optuna.create_study(
                study_name=arm.study_name, storage=storage, directions=spec.directions
            )
    except (
        DuplicatedStudyError
    ):  # another command was faster; it asks for the same, or its fingerprint says so
        study, deadline = load(spec, arm, storage, 0), time.monotonic() + PATIENCE
        while (
            FINGERPRINT not in study.user_attrs and not study.trials and time.monotonic() < deadline
        ):
            time.sleep(0.05)
        if FINGERPRINT in study.user_attrs or study.trials or study.directions != _directions(spec):
            _compare(spec, arm, study)
            return
    study.set_user_attr(FINGERPRINT, fingerprint(spec, arm))
    with quiet():
        study.set_metric_names(list(spec.settings.objectives))


def _unmarked(summary: Any) -> bool:
    """Another command is making it just now, or was killed while it did: nothing is in it that
    could be mixed.
    """
    return FINGERPRINT not in summary.user_attrs and not summary.n_trials


def _directions(spec: Spec) -> list[StudyDirection]:
    return [StudyDirection[direction.upper()] for direction in spec.directions]


def _compare(spec: Spec, arm: Arm, study: Any) -> None:
    """Trials of two spaces are no search. Raises StudyError naming what differs."""
    there, here = study.user_attrs.get(FINGERPRINT), fingerprint(spec, arm)
    if there is None:
        told = without_password(spec.settings.storage)
        raise StudyError(
            f"search.storage: {told} has a study {arm.study_name!r} that this program has not made."
            " Give this search a name of its own: name=…"
        )
    differ = [
        key for key in dict.fromkeys([*there, *here]) if there.get(key) != _as_stored(here.get(key))
    ]
    if differ:
        lines = [
            f"  {key}: there {_shown(there.get(key))}, here {_shown(here.get(key))}"
            for key in differ
        ]
        raise StudyError(
            f"{spec.name}: a search of this name is stored, with other settings; its trials are not"
            f" comparable with these (arm {arm.name}):\n"
            + "\n".join(lines[:12])
            + ("\n  …" if len(lines) > 12 else "")
            + "\nIt is left as it is. Give this search a name of its own: name=…"
        )


def _as_stored(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _shown(value: Any) -> str:
    if isinstance(value, str) and value.startswith('{"name"'):
        found: BaseDistribution = optuna.distributions.json_to_distribution(value)
        return show(found)
    return "nothing" if value is None else repr(value)
