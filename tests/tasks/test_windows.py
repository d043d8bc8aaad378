"""Windows of long series are views; they train on what copies would hold."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch

from study.config.tasks import _check_examples, _check_losses
from study.numerics.streams import generator
from study.records import StudyError
from study.tasks.shared import forecasting, stretches, windows
from study.tasks.shared.series import Names, Series


class Rows(Series):
    """Forecasts of series handed in."""

    def __init__(self, series, *, split="time", split_seed=0, **settings):
        super().__init__(
            kind="regression",
            split=split,
            validation=0.2,
            test=0.2,
            split_seed=split_seed,
            lag=None,
            solved=None,
            metrics=None,
            class_weights=None,
            quantiles=None,
        )
        self.series, self.settings = series, settings

    def read(self):
        return forecasting.windows(
            self.series,
            **{"window": 6, "horizon": 2, "season": 3, **self.settings},
            shares=self.shares,
            source="rows",
            licence="",
            how=self.how,
            seed=self.split_seed,
        )


def loaded(series, **settings):
    task = Rows(series, **settings)
    task.load()
    return task


def series(*rows, channels=2):
    rng = np.random.default_rng(0)
    return [(f"s{n} ", rng.normal(4, 3, size=(count, channels))) for n, count in enumerate(rows)]


@pytest.fixture
def views(monkeypatch):
    """Windows become views however few there are, and up to 1,000 are evaluated."""

    def switch(on):
        monkeypatch.setattr(windows, "COPIED", 0 if on else 1 << 28)

    return switch


@pytest.mark.parametrize(
    ("rows", "settings"),
    [
        ((200,), {}),
        ((200, 90, 150), {"stride": 3}),
        ((60, 70, 80, 90, 100, 110), {"groups": list("aabbcd"), "split": "group"}),
    ],
)
def test_views_hold_what_copies_hold(views, rows, settings):
    views(False)
    copies = loaded(series(*rows), **settings)
    views(True)
    task = loaded(series(*rows), **settings)
    assert task.facts.split == copies.facts.split
    for name, errors in copies.data.rules.items():
        assert task.data.rules[name] == pytest.approx(errors)
    for part, of in copies.parts.items():
        every = task.windows[part].batch(torch.arange(len(task.windows[part])))
        # standardised with all training rows, not with all training windows, which overlap
        for tensor, other, mean, deviation in (
            (every.x, of.x, "mean", "deviation"),
            (every.y, of.y, "target_mean", "target_deviation"),
        ):
            again, before = (
                values.double().numpy() * getattr(which, deviation) + getattr(which, mean)
                for values, which in ((tensor, task), (other, copies))
            )
            assert np.allclose(np.sort(again, 0), np.sort(before, 0), rtol=0, atol=1e-4)
    rows_trained = task.windows["train"].batch(torch.arange(len(task.windows["train"]))).x
    assert rows_trained.mean().abs() < 0.1
    _check_examples(task, task.facts)
    _check_losses(task, task.facts)


def test_a_batch_of_views_is_a_function_of_seed_and_update(views):
    views(True)
    task = loaded(series(3000))

    def drawn(seed, update):
        return task.sample(lambda *key: generator(seed, "data", *key), update, 40).x

    assert torch.equal(drawn(0, 3), drawn(0, 3))
    assert not torch.equal(drawn(0, 3), drawn(1, 3))
    assert not torch.equal(drawn(0, 3), drawn(0, 4))
    train = task.windows["train"]
    every = {x.numpy().tobytes() for x in train.batch(torch.arange(len(train))).x}
    assert {x.numpy().tobytes() for x in drawn(0, 3)} <= every


def test_the_hash_of_views_sees_values_targets_and_where_windows_lie(views):
    views(True)
    base, other = series(400), series(400)
    other[0][1][399, 1] += 1  # the very last target
    hashes = [
        loaded(data, **settings).data_hash()
        for data, settings in (
            (base, {}),
            (series(400), {}),
            (other, {}),
            (base, {"stride": 2}),
            (base, {"horizon": 1}),
            (base, {"window": 5}),
        )
    ]
    assert hashes[0] == hashes[1]
    assert len(set(hashes)) == 5


def test_some_windows_are_evaluated_evenly_spaced_and_that_is_told(views, monkeypatch):
    views(True)
    monkeypatch.setattr(windows, "EVALUATED", 50)
    task = loaded(series(5000))
    assert {part: len(task.split(part).x) for part in ("train", "validation", "test")} == {
        "train": 50,
        "validation": 50,
        "test": 50,
    }
    assert task.warnings == [
        f"{part} is measured on 50 of its 993 windows, evenly spaced"
        for part in ("validation", "test")
    ]
    asked = task.split("validation").y[:, 0].double().numpy() * task.target_deviation
    last = task.split("validation").x[:, -1, -1].double().numpy() * task.deviation[-1]
    shift = task.target_mean - task.mean[-1]
    assert np.mean((asked + shift - last) ** 2) == pytest.approx(
        task.data.rules["persistence"], rel=1e-4
    ), "rules are measured on the same windows"


def test_stride_is_the_distance_of_windows():
    task = loaded(series(100), stride=5, season=None)
    first = task.parts["train"].x[:, 0, -1].numpy() * task.deviation[-1] + task.mean[-1]
    assert np.allclose(first, series(100)[0][1][:53:5, -1], atol=1e-5)


def test_no_group_of_series_is_in_two_parts():
    data = [(f"s{n} ", np.full((40, 1), n) + np.arange(40)[:, None] / 100) for n in range(20)]
    groups = [n // 2 for n in range(20)]
    task = loaded(data, groups=groups, split="group", season=None)
    found = {
        part: {int(v) // 2 for v in (of.x[:, 0, 0] * task.deviation[0] + task.mean[0] + 1e-4)}
        for part, of in task.parts.items()
    }
    assert sorted(map(len, found.values())) == [2, 2, 6]
    assert len(set.union(*found.values())) == 10
    assert task.facts.split.startswith("by group, seed 0, windows ")
    in_time = loaded(data, groups=groups, split="time", season=None)
    first = in_time.parts["test"].x[:, 0, 0] * in_time.deviation[0] + in_time.mean[0]
    assert float(first.min()) > 15.9
    assert in_time.facts.split.startswith("by group in time")


@pytest.mark.parametrize("on", [False, True])
def test_answers_of_rules_lie_in_the_order_of_the_examples(views, monkeypatch, on):
    """Also where a split names the series of a part in another order than that of the file."""
    views(on)
    parts = {"train": [4, 2, 0], "validation": [5, 1], "test": [3, 6]}
    drawn = {part: np.array(index) for part, index in parts.items()}
    monkeypatch.setattr(stretches, "split_groups", lambda *args, **kwargs: drawn)
    monkeypatch.setattr(stretches, "sizes_off", lambda *args: [])
    task = loaded(series(*[30] * 7), groups=list("abcdefg"))
    for part in ("train", "validation"):
        last = task.parts[part].x[:, -1, -1].double().numpy() * task.deviation[-1] + task.mean[-1]
        guessed = task.data.guessed["persistence"][part][:, 0]
        assert np.allclose(guessed, last, atol=1e-5)


def test_rows_belong_to_the_part_that_the_file_says():
    parts = np.repeat(["train", "test", "train", "validation", "test"], [40, 20, 4, 30, 6])
    values = np.arange(100.0)[:, None]
    task = loaded([("", values)], parts=[parts], season=None, horizon=1)
    for part, of in task.parts.items():
        first = (of.x[:, 0, 0] * task.deviation[0] + task.mean[0]).round().int().tolist()
        asked = (of.y[:, 0] * task.target_deviation[0] + task.target_mean[0]).round().int().tolist()
        assert all(
            (parts[one : other + 1] == part).all() for one, other in zip(first, asked, strict=True)
        )
    assert task.warnings == [
        "2 of the stretches of rows are shorter than task.window + task.horizon = 7 and give no"
        " window"
    ]
    with pytest.raises(StudyError, match="validation has no stretch of task.window"):
        loaded([("", values)], parts=[np.where(parts == "validation", "test", parts)], season=None)


def test_no_window_crosses_a_gap():
    pieces = np.repeat([0, 1, 2, 3], [25, 40, 4, 31])
    task = loaded(
        [("", np.arange(100.0)[:, None])], pieces=[pieces], season=None, horizon=1, stride=2
    )
    for part, of in task.parts.items():
        first = (of.x[:, 0, 0] * task.deviation[0] + task.mean[0]).round().int()
        asked = (of.y[:, 0] * task.target_deviation[0] + task.target_mean[0]).round().int()
        assert (pieces[first] == pieces[asked]).all()
        assert (asked - first == 6).all()
        assert len(of.x) == {"train": 10 + 15, "validation": 3, "test": 7}[part]
    assert "2 of the stretches" in task.warnings[0]


def test_values_that_are_not_finite_are_found_in_views(views):
    views(True)
    data = series(400, 300)
    data[1][1][250, 1] = np.nan
    with pytest.raises(StudyError, match="s1 has nan at step 250, channel 1"):
        loaded(data)


def test_targets_that_windows_see_as_one_number_are_refused(views):
    views(True)
    values = np.full((500, 1), 20.1)
    for changed, told in ((499, "in all training examples"), (299, "in all training windows")):
        values[changed] = 7.0
        with pytest.raises(StudyError, match=f"the target is the same number {told}"):
            loaded([("", values)])


def test_names_are_written_when_read():
    names = Names(("row ", range(2, 10**7)), ("late ", [5, 7]))
    assert (names[0], names[-1], names[10**7 - 2], len(names)) == (
        "row 2",
        "late 7",
        "late 5",
        10**7,
    )
    assert names[-3:] == ["row 9999999", "late 5", "late 7"]


LOAD = """
import resource
import numpy as np
from tests.tasks.test_windows import loaded
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
values = np.tile(np.random.default_rng(0).normal(5, 2, (1000, 8)), (2000, 1))
task = loaded([("", values)], window=24, season=7)
task.sample(lambda *key: __import__("torch").Generator(), 0, 32)
task.data_hash()
used = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
print(used / values.nbytes)
"""


@pytest.mark.slow
def test_windows_need_less_than_twice_the_memory_of_their_values():
    """Two million rows of eight columns; copies of their windows would need 12 times as much."""
    ran = subprocess.run(
        [sys.executable, "-c", LOAD], capture_output=True, text=True, check=True, timeout=120
    )
    assert float(ran.stdout) < 2
