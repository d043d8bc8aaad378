"""The Optuna studies of a search, one per arm: open them, and compare stored ones with it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.exceptions import DuplicatedStudyError
from optuna.storages import BaseStorage
from optuna.study import Study, StudyDirection

from study.config.build import later_settings
from study.records import StudyError
from study.search.planning import FACTORS, default, fingerprint
from study.search.samplers import QMC, Grid, pruner, sampler, seed_of
from study.search.slots import Budget, Slots
from study.search.space import show
from study.search.spec import Arm, Spec
from study.search.storage import PATIENCE, quiet, without_password

FINGERPRINT = "fingerprint"
RENAME = "Give this search another name: name=…"


def load(spec: Spec, arm: Arm, storage: BaseStorage, slot: int) -> Study:
    """Load an arm's study with the sampler of one slot."""
    seed = seed_of(spec.settings.seed, arm.name, slot)
    with quiet():
        return optuna.load_study(
            study_name=arm.study_name,
            storage=storage,
            sampler=sampler(spec.settings.sampler, seed),
            pruner=pruner(spec.settings.pruner),
        )


def slots_of(spec: Spec, arm: Arm, storage: BaseStorage) -> Slots:
    """The slots of an arm's budget.

    Slot 0 gets the default setting if that lies in the space; a grid and a sequence define the
    other slots.
    """
    grid = Grid.settings(spec.space, spec.settings.seed) if is_grid(spec) else None
    in_sequence = isinstance(sampler(spec.settings.sampler, 0), QMC)
    seed = seed_of(spec.settings.seed, arm.name)
    trials = spec.settings.trials
    if grid is not None:
        grid = [setting for setting in grid if setting != arm.default]
        trials = min(trials, len(grid) + 1)

    def settings(slot: int) -> Mapping[str, Any]:
        if slot == 0:
            return arm.default if arm.default_inside else {}
        if in_sequence:
            return QMC.setting(spec.space, seed, slot - 1)
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
    """Open all arms, and create new ones; a stored arm must belong to the same search.

    All are compared before anything is changed.
    """
    stored = {study.study_name: study for study in _summaries(storage)}
    check_factors(spec, stored.values())
    for arm in spec.arms:
        if arm.study_name in stored and not _unmarked(stored[arm.study_name]):
            _compare(spec, arm, stored[arm.study_name])
    for arm in spec.arms:
        if arm.study_name not in stored or _unmarked(stored[arm.study_name]):
            _create(spec, arm, storage)
    return [slots_of(spec, arm, storage) for arm in spec.arms]


def check_factors(spec: Spec, stored: Iterable[Any]) -> None:
    """Refuse stored arms of other factors; their studies have names that do not collide."""
    for study in stored:
        marked = study.user_attrs.get(FINGERPRINT) or {}
        if study.study_name.startswith(f"{spec.name}: ") and marked.get(
            FACTORS, list(spec.factors)
        ) != list(spec.factors):
            before, now = (f"[{', '.join(names)}]" for names in (marked[FACTORS], spec.factors))
            raise StudyError(
                f"{spec.name}: a search of this name is stored, with other arms (factors: stored"
                f" {before}, now {now}). It is not changed. {RENAME}"
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
    except DuplicatedStudyError:  # another command was faster; its fingerprint must be the same
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
    """Whether a study is empty because another command is creating it, or was killed doing so."""
    return FINGERPRINT not in summary.user_attrs and not summary.n_trials


def _directions(spec: Spec) -> list[StudyDirection]:
    return [StudyDirection[direction.upper()] for direction in spec.directions]


def _compare(spec: Spec, arm: Arm, study: Any) -> None:
    """Raise StudyError, naming what differs, unless a stored study has comparable trials."""
    stored, current = study.user_attrs.get(FINGERPRINT), fingerprint(spec, arm)
    before = later_settings(default(spec, arm).config)
    if stored is None:
        raise StudyError(
            f"search.storage: {without_password(spec.settings.storage)} has a study"
            f" {arm.study_name!r} that this program has not created. {RENAME}"
        )
    lines = [
        f"  {key}: stored {_shown(stored.get(key))}, now {_shown(current.get(key))}"
        for key in dict.fromkeys([*stored, *current])
        if stored.get(key, before.get(key)) != _as_stored(current.get(key, before.get(key)))
    ]
    if lines:
        raise StudyError(
            f"{spec.name}: a search of this name is stored, with other settings; its trials are not"
            f" comparable with these (arm {arm.name}):\n"
            + "\n".join(lines[:12])
            + ("\n  …" if len(lines) > 12 else "")
            + f"\nIt is not changed. {RENAME}"
        )


def _as_stored(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _shown(value: Any) -> str:
    if isinstance(value, str) and value.startswith('{"name"'):
        distribution: BaseDistribution = optuna.distributions.json_to_distribution(value)
        return show(distribution)
    return "nothing" if value is None else repr(value)
