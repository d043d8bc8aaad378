"""Who trains, validates and tests: by group, in time, by class, as a file says."""

from __future__ import annotations

import numpy as np
import pytest

from study.records import StudyError
from tests.tasks.test_own_data import npz

RNG = np.random.default_rng(0)


def numbered(count):
    """Examples that can be told apart: their values are their numbers."""
    return np.arange(float(count))[:, None] + np.zeros((count, 4))


def members(task):
    """The numbers of each part's examples."""
    return {
        part: (of.x[:, 0, 0].numpy() * task.deviation[0] + task.mean[0]).round().astype(int)
        for part, of in task.parts.items()
    }


def groups_of(task, groups):
    return {part: set(groups[index].tolist()) for part, index in members(task).items()}


def apart(found):
    return not (
        found["train"] & found["validation"]
        or found["train"] & found["test"]
        or found["validation"] & found["test"]
    )


@pytest.mark.parametrize("how", ["stratified", "group", "time"])
@pytest.mark.parametrize("kind", ["classification", "regression"])
def test_no_group_is_in_two_parts(tmp_path, how, kind):
    groups = RNG.integers(0, 25, size=300)
    y = np.arange(300) % 3 if kind == "classification" else RNG.normal(size=300)
    task = npz(tmp_path, {"split": how, "kind": kind}, x=numbered(300), y=y, groups=groups)
    found = groups_of(task, groups)
    assert apart(found)
    assert set.union(*found.values()) == set(range(25)) & set(groups.tolist())
    sizes = {part: len(index) / 300 for part, index in members(task).items()}
    assert sizes == pytest.approx({"train": 0.6, "validation": 0.2, "test": 0.2}, abs=0.05)
    assert "group" in task.facts.split


def test_groups_are_stratified_by_class_and_drawn_with_the_seed(tmp_path):
    """Subjects of one class each, one class rare: chance alone would leave parts without it."""
    groups = np.repeat(np.arange(50), 6)
    y = np.where(groups < 10, "ill", "well")
    parts = []
    for seed in range(6):
        task = npz(
            tmp_path,
            {"split": "group", "split_seed": seed},
            x=numbered(300),
            y=y,
            groups=groups.astype("S"),
        )
        ill = {part: int((y[index] == "ill").sum()) for part, index in members(task).items()}
        assert ill == {"train": 36, "validation": 12, "test": 12}
        assert task.warnings == []
        parts.append(frozenset(members(task)["test"].tolist()))
    assert len(set(parts)) > 3


def test_groups_in_time_keep_their_order(tmp_path):
    groups = np.repeat([7, 3, 9, 1, 5], [10, 30, 20, 20, 20])
    task = npz(
        tmp_path,
        {"split": "time", "kind": "regression"},
        x=numbered(100),
        y=np.arange(100.0),
        groups=groups,
    )
    assert groups_of(task, groups) == {"train": {7, 3, 9}, "validation": {1}, "test": {5}}
    assert task.facts.split == "by time, whole groups 60/20/20"


def test_shares_that_groups_cannot_meet_are_reported(tmp_path):
    groups = np.repeat([0, 1, 2], [50, 30, 20])
    task = npz(tmp_path, {"split": "group"}, x=numbered(100), y=np.arange(100) % 2, groups=groups)
    assert apart(groups_of(task, groups))
    assert task.warnings == [
        "whole groups give train/validation/test 50/30/20 % of the examples instead of 60/20/20 %"
    ]


@pytest.mark.parametrize(
    ("settings", "arrays", "told"),
    [
        ({"split": "group"}, {}, "task.split: group needs the group of each example"),
        ({"split": "group"}, {"groups": np.arange(40) % 2}, "has 2 groups; train, validation and"),
        ({}, {"groups": np.arange(39)}, "groups of .* must have as many rows as x, 40"),
        (
            {},
            {"groups": np.where(np.arange(40) == 5, np.nan, np.arange(40) % 9)},
            "example 5 .* has no group",
        ),
        ({"split": "file"}, {}, r"file needs an array parts \[N\]"),
        (
            {"split": "file"},
            {"parts": np.array(["train", "test", "hold"] * 13 + ["train"])},
            "the part of example 2 must be train, validation or test, got .*'hold'",
        ),
        ({"split": "file"}, {"parts": np.array(["train"] * 40)}, "examples to train and to test"),
        (
            {"split": "file"},
            {"parts": np.array(["train", "test"] * 20), "groups": np.arange(40) // 2},
            "examples of the group '0' in train and in test",
        ),
        (
            {"split": "file"},
            {"parts": np.array(["train"] * 20 + ["test"] * 19 + ["validation"])},
            "gives 1 example to validation; at least 2 are needed",
        ),
        ({"test": None}, {}, "test .*a share, or split=file"),
        ({}, {"groups": np.array(["a", " ", "b", "c"] * 10)}, "example 1 .* has no group"),
        ({"split": "days"}, {}, "split .*time, stratified, group or file"),
        (
            {"split": "time"},
            {"y": np.repeat(["a", "b"], [32, 8])},
            "all training examples .* are of the class 'a'; task.split=stratified",
        ),
    ],
)
def test_what_is_wrong_with_a_split_is_told(tmp_path, settings, arrays, told):
    with pytest.raises((StudyError, ValueError), match=told):
        npz(tmp_path, settings, **{"x": numbered(40), "y": np.arange(40) % 2, **arrays})


def test_parts_of_a_file_are_taken_as_they_are(tmp_path):
    parts = np.array(["train", "Test ", "validation", "train", "train"] * 20)
    task = npz(
        tmp_path, {"split": "file"}, x=numbered(100), y=np.arange(100) % 2, parts=parts[:, None]
    )
    assert {part: set(parts[index]) for part, index in members(task).items()} == {
        "train": {"train"},
        "validation": {"validation"},
        "test": {"Test "},
    }
    assert task.facts.split == "as the file says, 60/20/20"
    unused = npz(tmp_path, x=numbered(100), y=np.arange(100) % 2, parts=parts)
    assert "array parts of" in unused.warnings[0]
    assert "is not used; task.split=file uses it" in unused.warnings[0]


def test_validation_is_drawn_from_train_where_a_file_has_none(tmp_path):
    groups = np.arange(100) // 4
    parts = np.where(groups < 20, "train", "test")
    task = npz(
        tmp_path,
        {"split": "file"},
        x=numbered(100),
        y=np.arange(100) % 2,
        parts=parts,
        groups=groups,
    )
    found = members(task)
    assert apart(groups_of(task, groups))
    assert {part: len(index) for part, index in found.items()} == {
        "train": 64,
        "validation": 16,
        "test": 20,
    }
    assert set(found["test"]) == set(range(80, 100))


def test_a_folder_of_train_and_test_files(tmp_path):
    from study.tasks.npz import Npz
    from tests.tasks.test_own_data import SPLIT

    settings = {"path": str(tmp_path), "kind": "classification", **SPLIT}
    np.savez(tmp_path / "train.npz", x=numbered(80), y=np.arange(80) % 2)
    with pytest.raises(StudyError, match="must hold train.npz and test.npz, and has train.npz"):
        Npz(**settings).load()
    np.savez(tmp_path / "test.npz", x=numbered(120)[80:, :3], y=np.arange(40) % 2)
    with pytest.raises(StudyError, match="task.split=file uses, got stratified"):
        Npz(**settings).load()
    task = Npz(**{**settings, "split": "file"})
    task.load()
    assert {part: len(of.x) for part, of in task.parts.items()} == {
        "train": 64,
        "validation": 16,
        "test": 40,
    }
    assert set(members(task)["test"]) == set(range(80, 120))
    assert task.parts["test"].lengths.unique().tolist() == [3]


# --- few examples ---------------------------------------------------------------------------------


def test_classes_of_one_and_two_examples_train_and_are_reported(tmp_path):
    y = np.array(["a"] * 30 + ["b"] * 30 + ["two"] * 2 + ["one"])
    task = npz(tmp_path, x=numbered(63), y=y)
    found = {part: y[index].tolist() for part, index in members(task).items()}
    assert "one" in found["train"]
    assert "two" in found["train"]
    assert sum(map(len, found.values())) == 63
    assert found["test"].count("a") == found["validation"].count("b") == 6
    assert any("'one'" in text and "no example in test" in text for text in task.warnings)
    assert any("class 'two' has 1 example in" in text for text in task.warnings)


def test_many_classes_of_few_examples_are_shared_out(tmp_path):
    """More classes than validation has examples, which scikit-learn's split refuses."""
    y = np.repeat(np.arange(40), 3)
    task = npz(tmp_path, x=numbered(120), y=y)
    found = members(task)
    assert set(y[found["train"]]) == set(range(40))
    assert len(found["validation"]) == len(found["test"]) == 20


@pytest.mark.parametrize(
    ("y", "told"),
    [
        (
            RNG.normal(size=40),
            "40 classes for 40 examples; numbers to predict are for task.kind=re",
        ),
        ([f"id{n}" for n in range(40)], "40 classes for 40 examples"),
        (["a", "a", "b", "b"], "cannot be split into .*; the smallest class, 'a', has 2 examples"),
    ],
)
def test_too_few_examples_per_class_are_refused(tmp_path, y, told):
    with pytest.raises(StudyError, match=told):
        npz(tmp_path, x=numbered(len(y)), y=np.array(y))


def test_a_class_that_training_has_not_is_reported(tmp_path):
    y = np.array(["a", "b"] * 40 + ["late"] * 20)
    task = npz(tmp_path, {"split": "time"}, x=numbered(100), y=y)
    assert "class 'late' has no example in train; it cannot be learned" in task.warnings


def test_chronological_is_the_old_name_of_time(tmp_path):
    one, other = (
        npz(tmp_path, {"split": how, "kind": "regression"}, x=numbered(50), y=np.arange(50.0))
        for how in ("time", "chronological")
    )
    assert one.data_hash() == other.data_hash()
    assert one.warnings == []
    assert other.warnings == ["task.split: chronological is now called time, and means the same"]
