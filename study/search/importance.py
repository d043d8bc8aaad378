"""Importance of searched keys by fANOVA.

The evaluator is named because Optuna's default is another measure, which may rank keys differently.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
from optuna.importance import FanovaImportanceEvaluator
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

LEAST = 4  # trials that a forest needs


def importance(study: Study, keys: Sequence[str], objective: int) -> list[dict[str, Any]]:
    """Rows of records.IMPORTANCE for one arm and objective, without these two columns.

    The share of a key comes from Optuna's FanovaImportanceEvaluator. The share of a pair is the
    variance of the same forest's marginal over both keys, less that of each alone (Hutter, Hoos &
    Leyton-Brown 2014, eq. 8). Returns [] if there are too few different trials.
    """
    trials = [
        trial
        for trial in study.get_trials(deepcopy=False)
        if trial.state == TrialState.COMPLETE and set(keys) <= set(trial.params)
    ]
    finite = [trial for trial in trials if np.isfinite(trial.values[objective])]
    varied = [key for key in keys if len({repr(trial.params[key]) for trial in finite}) > 1]
    if len(finite) < LEAST or not varied or len({trial.values[objective] for trial in finite}) < 2:
        return []
    evaluator = FanovaImportanceEvaluator(seed=0)

    def target(trial: FrozenTrial) -> float:
        return float(trial.values[objective])

    try:
        shares = evaluator.evaluate(study, params=list(keys), target=target)
    except RuntimeError:  # no tree has a split
        return []
    columns = [key for key in keys if not finite[0].distributions[key].single()]
    forest = evaluator._evaluator
    trees = [tree for tree in forest._trees or [] if tree.variance > 0]
    encoded = forest._column_to_encoded_columns or []
    alone = {
        key: np.array([_variance(tree, encoded[index]) for tree in trees])
        for index, key in enumerate(columns)
    }
    total = np.array([tree.variance for tree in trees])
    rows: list[dict[str, Any]] = []
    for key in keys:
        spread = float((alone[key] / total).std()) if key in alone else 0.0
        rows.append(
            {"key": key, "other": None, "share": shares[key], "sd": spread, "trials": len(finite)}
        )
    for (one, key), (two, other) in itertools.combinations(enumerate(columns), 2):
        joint = np.array(
            [_variance(tree, np.concatenate([encoded[one], encoded[two]])) for tree in trees]
        )
        share = np.clip(joint - alone[key] - alone[other], 0, None) / total
        rows.append(
            {
                "key": key,
                "other": other,
                "share": float(share.mean()),
                "sd": float(share.std()),
                "trials": len(finite),
            }
        )
    return rows


def _variance(tree: Any, columns: np.ndarray) -> float:
    return max(0.0, float(tree.get_marginal_variance(columns)))
