"""Channels are standardised in pieces as they were at once; constant ones are recognised."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from study.records import StudyError
from study.tasks.shared import scaling
from study.tasks.shared.scaling import pieces, scale
from tests.tasks.test_own_data import npz


@pytest.mark.parametrize("channels", [1, 2, 3, 8])
@pytest.mark.parametrize("order", ["C", "F"])
def test_sums_in_pieces_are_those_of_all_steps_at_once(monkeypatch, channels, order):
    """To the last bit: ids contain a hash of the standardised data."""
    rng = np.random.default_rng(0)
    sequences = [
        np.array(rng.normal(7, 3, size=(length, channels)), order=order)
        for length in rng.integers(2, 90, size=700)
    ]
    lengths, index = np.array([len(one) for one in sequences]), rng.permutation(700)[:500]
    at_once = np.concatenate([sequences[number] for number in index])
    monkeypatch.setattr(scaling, "PIECE", 1000)
    found = scale(pieces(sequences, lengths, index))
    assert np.array_equal(found.mean, at_once.mean(0))
    assert np.array_equal(found.deviation, at_once.std(0))


def test_channels_are_constant_whatever_their_value():
    """1,375 of these 1,999 had a deviation above 0 and became noise, or 1e14 in test."""
    values = np.arange(2, 2001) / 100
    table = np.repeat(values[None, None], 50, axis=0).repeat(7, axis=1)
    found = scale(pieces(table, np.full(50, 7), np.arange(50)))
    assert found.constant.all()
    assert np.array_equal(found.mean, values)
    assert (found(table) == 0).all()
    assert (found(table + 500) == 0).all()


def test_what_is_one_number_in_single_precision_is_constant():
    rng = np.random.default_rng(0)
    steps = np.stack(
        [
            20.1 + 1e-9 * rng.normal(size=1000),  # rounding
            np.float32(0.1) + rng.integers(0, 2, 1000) * np.spacing(np.float32(0.1)),
            20.1 + 1e-3 * rng.normal(size=1000),
            1e-30 * rng.normal(size=1000),
        ],
        axis=1,
    )
    found = scale(pieces([steps], np.array([1000]), np.array([0])))
    assert found.constant.tolist() == [True, True, False, False]


def test_a_channel_constant_in_training_only_is_0_everywhere_and_reported(tmp_path):
    x = np.random.default_rng(0).normal(size=(60, 5, 3))
    x[:, :, 1] = 20.1
    x[:, :, 2] = 0.07
    x[-1, 0, 1] = 21.0  # a test example
    task = npz(tmp_path, {"kind": "regression", "split": "time"}, x=x, y=np.arange(60.0))
    assert all((of.x[:, :, 1:] == 0).all() for of in task.parts.values())
    assert task.warnings == [
        "channel 1 (from 0): constant in training and not in test; what cannot be scaled is read"
        " as 0 in all parts",
        "channel 2 (from 0): constant in training, read as 0",
    ]
    again = (x[-12:] - task.mean) / task.deviation  # as an export computes it
    assert np.allclose(again, task.parts["test"].x.numpy(), atol=1e-6)


def test_values_far_from_the_training_data_are_reported(tmp_path):
    x = np.random.default_rng(0).normal(size=(60, 5, 2))
    x[-3, 2, 1] = 4e7 * x[:36, :, 1].std()
    task = npz(tmp_path, {"kind": "regression", "split": "time"}, x=x, y=np.arange(60.0))
    assert [text[:58] for text in task.warnings][-1] == (
        "channel 1 (from 0): values in test lie up to 4e+07 trainin"
    )


@pytest.mark.parametrize("value", [0.07, 20.1, 3.0, 1e9 + 0.1])
def test_targets_are_constant_whatever_their_value(tmp_path, value):
    x, y = np.random.default_rng(0).normal(size=(50, 4)), np.full(50, value)
    with pytest.raises(StudyError, match="the target is the same number in all training examples"):
        npz(tmp_path, {"kind": "regression"}, x=x, y=y)
    with pytest.raises(StudyError, match=r"target 1 .from 0. is the same number"):
        both = np.stack([np.arange(50.0), y], axis=1)
        npz(tmp_path, {"kind": "regression"}, x=x, y=both)


def test_values_beyond_double_precision_are_refused(tmp_path):
    x, y = np.random.default_rng(0).normal(size=(50, 4, 2)), np.arange(50) % 2
    for factor in (1e200, 1e-200):
        with (
            np.errstate(over="ignore"),
            pytest.raises(StudyError, match="channel 1 .* too large or"),
        ):
            npz(tmp_path, x=x * [1, factor], y=y)


def test_data_without_any_changing_channel_are_refused(tmp_path):
    x, y = np.full((50, 4, 2), 0.07), np.arange(50) % 2
    with pytest.raises(StudyError, match="channels 0, 1 .*constant in .* nothing to learn from"):
        npz(tmp_path, x=x, y=y)
    assert npz(tmp_path, x=x, y=y, lengths=y + 3).facts.steps == 4, "lengths may say something"


def test_memory_is_checked_before_anything_is_copied(tmp_path, monkeypatch):
    monkeypatch.setattr("study.tasks.shared.series.memory", lambda: 1e3)
    monkeypatch.setattr("study.tasks.shared.series.scale", None)
    with pytest.raises(StudyError, match=r"does not fit .* padded to that .* cut long sequences"):
        npz(tmp_path, x=np.zeros((50, 40)), y=np.arange(50) % 2)


def test_raw_data_are_not_kept_and_the_hash_is_computed_once(tmp_path):
    task = npz(tmp_path, x=np.random.default_rng(0).normal(size=(50, 4)), y=np.arange(50) % 2)
    assert len(task.data.sequences) == 0
    first = task.data_hash()
    task.parts["test"].x.zero_()
    assert task.data_hash() == first
    assert torch.equal(task.split("train").x, task.parts["train"].x[:10])
    assert task.split("train").x.data_ptr() == task.parts["train"].x.data_ptr(), "a view"
