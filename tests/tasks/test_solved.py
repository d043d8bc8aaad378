"""The rule for solved over one's own data: no guess that does not read the sequence meets it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from study.config.tasks import load_task
from study.health.verdicts import Run, opened_loss, outcome
from study.tasks.shared.solved import accuracy, between, meets
from study.training.early_end import streak
from study.training.results import ends_solved, solved_at
from tests.health.test_verdicts import LIMITS
from tests.tasks.test_own_data import SPLIT, csv, npz

FILE = {"split": "file", "validation": 0.2, "test": None}
PARTS = np.repeat(["train", "validation", "test"], 40)


def classes(tmp_path, share, solved=None):
    """A task whose first class has this share of validation and test."""
    y = np.where(np.arange(40) < round(share * 40), "a", "b")
    y = np.concatenate([np.tile(["a", "b"], 20), y, y])
    x = np.random.default_rng(0).normal(size=(120, 5, 1))
    return npz(tmp_path, {**FILE, "solved": solved}, x=x, y=y, parts=PARTS).facts


def numbers(tmp_path, y, solved=None):
    x = np.random.default_rng(0).normal(size=(120, 5, 1))
    settings = {"kind": "regression", **FILE, "solved": solved}
    return npz(tmp_path, settings, x=x, y=np.asarray(y, float), parts=PARTS).facts


@pytest.mark.parametrize(("share", "rule"), [(0.5, 0.9), (0.875, 0.9), (0.95, 0.975), (0.9, 0.95)])
def test_accuracy_is_no_rule_where_one_class_reaches_it(tmp_path, share, rule):
    facts = classes(tmp_path, share)
    assert facts.solved == pytest.approx(rule)
    assert not facts.warnings


def test_where_a_guess_is_perfect_there_is_no_rule(tmp_path):
    facts = classes(tmp_path, 1.0)
    assert facts.solved is None
    assert any("no rule for solved" in text for text in facts.warnings)
    history = {"update": [0, 1], "val_score": [0.5, 1.0]}
    assert solved_at(history, facts) is None
    assert ends_solved(history, facts) is None


def test_one_target_in_validation_or_test_is_told(tmp_path):
    train = np.arange(40.0)
    other = train + 0.5
    same = np.full(40, 7.0)
    facts = numbers(tmp_path, np.concatenate([train, same, other]))
    assert facts.solved is None
    assert facts.warnings[0].startswith("all targets of validation are the same")
    facts = numbers(tmp_path, np.concatenate([train, other, same]))
    assert facts.solved == pytest.approx(0.1 * facts.baseline)
    assert [text.split(" are ")[0] for text in facts.warnings] == ["all targets of test"]


def test_a_constant_that_is_the_mean_but_for_rounding_is_a_perfect_guess(tmp_path):
    train = np.random.default_rng(0).normal(size=40)
    train -= train.mean()
    facts = numbers(tmp_path, np.concatenate([train, np.zeros(40), train]))
    assert facts.baseline == facts.baseline_loss == 0.0
    assert facts.solved is None


def test_a_rule_that_a_guess_meets_is_told_with_both_numbers(tmp_path):
    (text,) = classes(tmp_path, 0.95, solved=0.9).warnings
    assert "task.solved=0.9" in text
    assert "0.95" in text
    assert not classes(tmp_path, 0.95, solved=0.96).warnings
    y = np.concatenate([np.arange(40.0)] * 3)
    (text,) = numbers(tmp_path, y, solved=1.5).warnings
    assert "task.solved=1.5" in text


def test_persistence_does_not_meet_the_rule_of_a_forecast(tmp_path):
    values = np.random.default_rng(0).normal(size=300).cumsum()
    facts = csv(tmp_path, pd.DataFrame({"label": values}), kind="forecast").facts
    assert not meets(facts.baseline, facts.solved, higher_is_better=False)
    assert facts.solved == pytest.approx(0.99 * facts.baseline)


def test_a_series_that_does_not_move_has_no_rule(tmp_path):
    values = np.random.default_rng(0).normal(size=300).cumsum()
    values[180:] = values[180]
    facts = csv(tmp_path, pd.DataFrame({"label": values}), kind="forecast").facts
    assert facts.solved is None
    assert facts.baseline == 0  # persistence


def test_rules_lie_between_the_guess_and_perfect():
    assert accuracy(1.0) is None
    assert between(0.0, 0.0, 0.9) is None
    assert between(2.0, 0.0, 0.9) == pytest.approx(0.2)


def test_without_a_rule_no_network_ends_early(tmp_path):
    facts = classes(tmp_path, 1.0)

    class Training:
        validations = ((0, None, [1.0]),)

        class task:
            pass

    Training.task.facts = facts
    assert streak(Training, 0) == []


def test_a_perfect_baseline_leaves_nobody_stuck_and_divides_nothing():
    run = Run(
        diverged=False,
        solved=False,
        updates=[0, 10, 20, 30],
        val_loss=[1.0, 0.5, 0.4, 0.3],
        baseline_loss=0.0,
        grad_norm=[1.0] * 30,
        radius=[1.0, 50.0],
        saturation=[],
    )
    assert outcome(run, LIMITS) == "learning"
    assert opened_loss(10, run.updates, run.val_loss, 0.0) is None


def test_a_task_without_a_rule_passes_the_checks_of_tasks(tmp_path):
    classes(tmp_path, 1.0)
    node = {"_target_": "study.tasks.npz.Npz", "path": str(tmp_path / "mine.npz")}
    task = load_task({**node, "kind": "classification", **SPLIT, **FILE})
    assert task.facts.solved is None
