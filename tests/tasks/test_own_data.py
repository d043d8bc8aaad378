"""Tasks on your own data: tables, arrays, forecasts; mistakes are reported by row."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from study.battery.tasks import check_task
from study.interfaces import Batch
from study.records import StudyError
from study.tasks.csv import Csv
from study.tasks.forecast import Forecast
from study.tasks.npz import Npz

SPLIT = {
    "split": "stratified",
    "validation": 0.2,
    "test": 0.2,
    "split_seed": 0,
    "lag": None,
    "solved": None,
    "metrics": None,
    "class_weights": None,
    "quantiles": None,
}
TABLE = {
    "kind": "classification",
    "series": None,
    "time": None,
    "date_format": None,
    "group": None,
    "features": None,
    "categories": None,
    "separator": "comma",
    "decimal": "point",
    "thousands": None,
    "encoding": None,
    "missing": "refuse",
    "gaps": "refuse",
    "resample": None,
    "elapsed": False,
    "part": None,
    "window": 4,
    "horizon": 1,
    "stride": 1,
    "season": None,
    "known": None,
    **SPLIT,
}


def long_table(count=40, channels=2, seed=0):
    """Shuffled rows of series of different lengths, in two classes that differ in slope."""
    rng, rows = np.random.default_rng(seed), []
    for number in range(count):
        kind = ("up", "down")[number % 2]
        for step in range(int(rng.integers(4, 9))):
            values = rng.normal(size=channels) * 0.1 + (step if kind == "up" else -step)
            rows.append(
                {
                    "id": f"s{number}",
                    "t": step,
                    "label": kind,
                    **{f"f{c}": value * 10 + 3 for c, value in enumerate(values)},
                }
            )
    return pd.DataFrame(rows).sample(frac=1, random_state=seed)


def csv(tmp_path, frame, **changes):
    path = tmp_path / "mine.csv"
    frame.to_csv(path, index=False)
    task = Csv(path=str(path), **{**TABLE, "target": "label", **changes})
    task.load()
    return task


def npz(tmp_path, settings=None, **arrays):
    path = tmp_path / "mine.npz"
    np.savez(path, **arrays)
    task = Npz(path=str(path), **{"kind": "classification", **SPLIT, **(settings or {})})
    task.load()
    return task


# --- tables ---------------------------------------------------------------------------------------


def test_a_long_table_becomes_ordered_masked_sequences(tmp_path):
    frame = long_table()
    task = csv(tmp_path, frame, series="id", time="t")
    check_task(task)
    assert {part: len(of.x) for part, of in task.parts.items()} == {
        "train": 24,
        "validation": 8,
        "test": 8,
    }
    assert all(float((of.y == 0).double().mean()) == 0.5 for of in task.parts.values()), (
        "stratified"
    )
    expected = {name: rows.sort_values("t") for name, rows in frame.groupby("id")}
    seen = 0
    for of in task.parts.values():
        for x, y, length in zip(of.x, of.y, of.lengths, strict=True):
            values = x[:length].numpy() * task.deviation + task.mean
            match = [
                rows
                for rows in expected.values()
                if len(rows) == length and np.allclose(rows[["f0", "f1"]], values, atol=1e-4)
            ]
            assert len(match) == 1
            assert match[0]["label"].iloc[0] == task.classes[int(y)]
            assert (x[length:] == 0).all()
            seen += 1
    assert seen == 40


def test_it_is_standardised_with_training_steps_only(tmp_path):
    """A known leak: changed test sequences must not change the training data."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(5, 3, size=(60, 7, 2)), np.arange(60) % 2
    task = npz(tmp_path, x=x, y=y)
    valid = task.parts["train"].x.reshape(-1, 2)
    assert valid.mean(0).abs().max() < 1e-5
    assert (valid.std(0, unbiased=False) - 1).abs().max() < 1e-5
    test = [
        int(np.argmin(np.abs((x - task.mean) / task.deviation - row.numpy()).sum((1, 2))))
        for row in task.parts["test"].x
    ]
    x[test] *= 1000
    again = npz(tmp_path, x=x, y=y)
    assert torch.equal(again.parts["train"].x, task.parts["train"].x)
    assert not torch.equal(again.parts["test"].x, task.parts["test"].x)
    assert again.data_hash() != task.data_hash()


def test_padding_does_not_move_the_statistics(tmp_path):
    frame = long_table()
    task = csv(tmp_path, frame, series="id", time="t")
    steps = torch.cat(
        [
            x[:length]
            for x, length in zip(task.parts["train"].x, task.parts["train"].lengths, strict=True)
        ]
    )
    assert steps.mean(0).abs().max() < 1e-5


def test_a_wide_table_reads_its_columns_as_steps(tmp_path):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        rng.normal(size=(50, 6)), columns=[f"t{step}" for step in range(6)]
    ).assign(label=["a", "b"] * 25)
    task = csv(tmp_path, frame)
    check_task(task)
    assert (task.facts.steps, task.facts.inputs, task.facts.outputs) == (6, 1, 2)
    assert task.parts["train"].lengths is None


def test_regression_predicts_a_number_and_its_baseline_is_the_mean(tmp_path):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(80, 5)), columns=list("abcde")).assign(
        label=lambda rows: 100 + 20 * rows["a"]
    )
    task = csv(tmp_path, frame, kind="regression")
    facts, validation = task.facts, task.parts["validation"]
    assert (facts.outputs, facts.higher_is_better) == (1, False)
    constant = torch.zeros(1, len(validation.x), 1)
    assert float(
        task.loss(constant, Batch(validation.x[None], validation.y[None]))[0]
    ) == pytest.approx(facts.baseline_loss)
    assert facts.solved == pytest.approx(0.1 * facts.baseline)
    assert abs(float(task.parts["train"].y.mean())) < 1e-6


def test_a_chronological_split_keeps_the_order(tmp_path):
    x = np.arange(30.0)[:, None] + np.zeros((30, 4))
    task = npz(tmp_path, {"split": "chronological", "kind": "regression"}, x=x, y=np.arange(30.0))
    values = {
        part: (of.y[:, 0] * task.target_deviation[0] + task.target_mean[0]).round().tolist()
        for part, of in task.parts.items()
    }
    assert values["train"] == list(range(18))
    assert values["validation"] == list(range(18, 24))
    assert values["test"] == list(range(24, 30))


# --- forecasts ------------------------------------------------------------------------------------


def test_windows_lie_in_one_part_and_see_no_future(tmp_path):
    frame = pd.DataFrame(
        {"time": range(100), "label": np.arange(100.0), "other": -np.arange(100.0)}
    ).sample(frac=1, random_state=0)
    task = csv(tmp_path, frame, kind="forecast", time="time", window=5, horizon=3)
    parts = {}
    for part, of in task.parts.items():
        seen = of.x.numpy() * task.deviation + task.mean
        asked = of.y[:, 0].numpy() * task.target_deviation[0] + task.target_mean[0]
        assert np.allclose(seen[:, :, 0], -seen[:, :, 1], atol=1e-3), (
            "features first, the target last"
        )
        assert np.allclose(asked, seen[:, -1, 1] + 3, atol=1e-3), "three rows behind the window"
        parts[part] = (seen[:, :, 1].min(), asked.max())
    bounds = [
        round(float(edge)) for part in ("train", "validation", "test") for edge in parts[part]
    ]
    assert bounds == [0, 59, 60, 79, 80, 99]


def test_persistence_and_seasonal_naive_are_what_they_are_by_hand(tmp_path):
    values = np.sin(np.arange(200) * 2 * np.pi / 12) * 10 + np.random.default_rng(0).normal(
        size=200
    )
    frame = pd.DataFrame({"label": values})
    task = csv(tmp_path, frame, kind="forecast", window=24, horizon=14, season=12)
    last = 200 - 40
    asked = np.arange(last - 40 + 24 + 14 - 1, last)
    by_hand = {
        "persistence": np.mean((values[asked] - values[asked - 14]) ** 2),
        "seasonal naive": np.mean((values[asked] - values[asked - 24]) ** 2),
    }
    assert task.data.rules == pytest.approx(by_hand)
    assert task.facts.baseline == pytest.approx(
        by_hand["seasonal naive"] / task.target_deviation[0] ** 2
    )
    assert task.facts.solved == pytest.approx(0.99 * task.facts.baseline)


@pytest.mark.parametrize(("series", "count", "season"), [("sunspots", 309, 11), ("co2", 2284, 52)])
def test_the_series_are_what_their_source_says(series, count, season):
    settings = {key: SPLIT[key] for key in SPLIT if key not in ("split", "split_seed")}
    task = Forecast(
        series=series,
        window=season * 2,
        horizon=1,
        season=season,
        differences=False,
        relative=False,
        **settings,
    )
    task.load()
    check_task(task)
    assert sum(len(of.x) for of in task.parts.values()) == count - 3 * 2 * season
    first = {"sunspots": (5.0, 11.0, 16.0), "co2": (316.1, 317.3, 317.6)}[series]
    assert np.allclose(
        task.parts["train"].x[0, :3, 0].numpy() * task.deviation + task.mean, first, atol=0.01
    )
    again = Forecast(
        series=series,
        window=season * 2,
        horizon=1,
        season=season,
        differences=True,
        relative=False,
        **settings,
    )
    again.load()
    assert sum(len(of.x) for of in again.parts.values()) == count - 1 - 3 * 2 * season


def test_forecasts_from_the_last_value_have_the_errors_of_the_values_themselves():
    """CO2, 13 weeks ahead: persistence and seasonal naive by hand on the validation part."""
    from statsmodels.datasets import co2

    settings = {
        "series": "co2",
        "window": 104,
        "horizon": 13,
        "season": 52,
        "differences": False,
        "validation": 0.15,
        "test": 0.15,
        "lag": None,
        "solved": None,
        "metrics": None,
        "class_weights": None,
        "quantiles": None,
    }
    levels, relative = (Forecast(relative=how, **settings) for how in (False, True))
    for task in (levels, relative):
        task.load()
    check_task(relative)
    values = co2.load_pandas().data["co2"].ffill().to_numpy()
    last = len(values) - round(0.15 * len(values))
    asked = np.arange(last - round(0.15 * len(values)) + 104 + 12, last)
    by_hand = {
        "persistence": np.mean((values[asked] - values[asked - 13]) ** 2),
        "seasonal naive": np.mean((values[asked] - values[asked - 52]) ** 2),
    }
    assert levels.data.rules == pytest.approx(by_hand)
    assert relative.data.rules == levels.data.rules
    assert relative.facts.baseline * relative.target_deviation[0] ** 2 == pytest.approx(
        by_hand["seasonal naive"]
    )
    still = torch.full(
        (1, len(asked), 1), float(-relative.target_mean[0] / relative.target_deviation[0])
    )
    validation = relative.parts["validation"]
    persistence = (
        relative.metric(still, Batch(validation.x[None], validation.y[None])).mean()
        * relative.target_deviation[0] ** 2
    )
    assert float(persistence) == pytest.approx(by_hand["persistence"], rel=1e-4), (
        "no change from the last value"
    )
    assert levels.parts["validation"].x.mean() > 1 > relative.parts["validation"].x.mean(), (
        "levels leave what was trained on"
    )


# --- what is wrong is told ------------------------------------------------------------------------


def with_gap(frame):
    frame = frame.reset_index(drop=True)
    frame.loc[4, "f1"] = np.nan
    return frame


@pytest.mark.parametrize(
    ("frame", "changes", "told"),
    [
        (long_table(), {"target": "labels"}, "no column 'labels'; it has id, t, label, f0, f1"),
        (long_table(), {"series": "who"}, "task.series: .* no column 'who'"),
        (
            long_table(),
            {"series": "id", "features": ["f0", "f9"]},
            "task.features: .* no column 'f9'",
        ),
        (
            with_gap(long_table()),
            {"series": "id"},
            "1 missing or infinite values, the first in row 6, column f1; task.missing=forward",
        ),
        (long_table().assign(label="same"), {"series": "id"}, "one class only .'same'."),
        (
            long_table().assign(f0=["x"] * 3 + [1.0] * (len(long_table()) - 3)),
            {"series": "id", "features": ["f0"]},
            "column f0 .* row 2 has 'x'",
        ),
        (
            long_table().assign(f1=[1.0] * 50 + ["o.5"] + [2.0] * (len(long_table()) - 51)),
            {"series": "id"},
            "column f1 .* row 52 has 'o.5'; or name .* task.features",
        ),
        (
            long_table().assign(t="31. 12. 2024"),
            {"series": "id", "time": "t"},
            "task.time: column t .* row 2 has '31. 12. 2024'",
        ),
        (long_table()[:0], {"series": "id"}, "a header and no rows"),
        (
            long_table().assign(label=range(len(long_table()))),
            {"series": "id"},
            "must be the same in all rows of a id",
        ),
        (long_table(4), {"series": "id"}, "cannot be split into train, validation, test"),
        (pd.DataFrame({"label": ["a", "b"] * 20}), {}, "no numeric column beside label"),
        (
            pd.DataFrame({"label": ["a", None] * 20, "f": range(40)}),
            {},
            "label is missing in row 3",
        ),
        (
            pd.DataFrame({"label": np.arange(20.0)}),
            {"kind": "forecast", "window": 30},
            "fewer than task.window . task.horizon = 31",
        ),
        (
            pd.DataFrame({"label": np.arange(200.0)}),
            {"kind": "forecast", "season": 12},
            "must be at least 12",
        ),
        (
            pd.DataFrame({"label": [3.0] * 50, "f": range(0, 100, 2)}),
            {"kind": "regression"},
            "the same number in all training examples",
        ),
        (
            pd.DataFrame({"label": [np.nan, *np.arange(99.0)]}),
            {"kind": "forecast", "missing": "forward"},
            "finds no value before row 2",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_wrong_with_a_table_is_told(tmp_path, frame, changes, told):
    with pytest.raises(StudyError, match=told):
        csv(tmp_path, frame, **changes)


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (None, "there is no file"),
        (b"", "cannot be read as CSV"),
        (b"a,label\n1,x\n2,y,3\n4,z\n", "line 3"),
        ("a,label\n1,b\n2,ä\n".encode("latin-1"), "not UTF-8 text .line 3, byte 3."),
    ],
)
def test_what_is_wrong_with_a_file_is_told(tmp_path, data, told):
    path = tmp_path / "odd.csv"
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(StudyError, match=told):
        Csv(path=str(path), **{**TABLE, "target": "label"}).load()


@pytest.mark.parametrize(
    ("arrays", "told"),
    [
        ({"x": np.zeros((9, 4))}, "must hold arrays x and y, and has x"),
        (
            {"x": np.zeros((9, 4, 2, 2)), "y": np.zeros(9)},
            r"must be numbers \[N, T\] or \[N, T, D\]",
        ),
        ({"x": np.zeros((9, 4)), "y": np.zeros(8)}, "as many rows as x, 9"),
        ({"x": np.zeros((9, 4)), "y": np.zeros(9), "lengths": np.full(9, 5)}, "between 1 and 4"),
        (
            {"x": np.full((9, 4), np.nan), "y": np.arange(9) % 2},
            "example 0 has nan at step 0, channel 0",
        ),
        ({"x": np.array([["a"] * 4] * 9), "y": np.arange(9) % 2}, "must be numbers"),
        ({"x": np.zeros((9, 4, 0)), "y": np.arange(9) % 2}, "sequences of no channels"),
        ({"x": np.zeros((9, 0)), "y": np.arange(9) % 2}, "example 0 has no steps"),
        ({"x": np.zeros((0, 4)), "y": np.zeros(0)}, "holds no sequence"),
        (
            {"x": np.zeros((9, 4)), "y": np.where(np.arange(9) == 3, np.nan, 1)},
            "example 3 has no class .its target is nan",
        ),
        ({"x": np.zeros((9, 4)), "y": np.array(["a"] * 5 + [""] + ["b"] * 3)}, "example 5 has no"),
        ({"x": np.zeros((9, 4)), "y": [1, 2, np.inf] * 3}, "example 2 has no class"),
        ({"x": np.zeros((9, 4)), "y": np.array([b"a", b"\xe4", b"b"] * 3)}, "y of .* not UTF-8"),
        ({"x": np.zeros((9, 4)), "y": np.zeros((9, 0))}, "there is no target"),
        ({"x": np.zeros((9, 4)), "y": np.eye(9)[:, :2]}, r"save y.argmax\(1\)"),
        ({"x": np.zeros((9, 4)), "y": np.arange(9) * 1j}, "must be numbers or text, got complex"),
        (
            {"x": np.zeros((9, 4)), "y": np.arange(9) % 2, "lengths": np.arange(9) * 0.5},
            "whole numbers between 1 and 4, .* example 0 has 0.0",
        ),
        (
            {"x": np.zeros((9, 4)), "y": np.arange(9) % 2, "lengths": np.full((9, 2), 3)},
            r"lengths of .* must be \[N\], got",
        ),
        (
            {"x": np.zeros((9, 4)), "y": np.arange(9) % 2, "lengths": [1, 2, np.nan] * 3},
            "example 2 has nan",
        ),
    ],
)
def test_what_is_wrong_with_arrays_is_told(tmp_path, arrays, told):
    with pytest.raises(StudyError, match=told):
        npz(tmp_path, **arrays)


def test_arrays_in_their_usual_forms_are_read(tmp_path):
    """Text and byte labels, columns [N, 1], lengths as floats, labels as floats, 0 and 1 as x."""
    x = np.random.default_rng(0).normal(size=(40, 4))
    plain = npz(tmp_path, x=x, y=np.arange(40) % 2, lengths=np.arange(40) % 4 + 1)
    labels = np.where(np.arange(40) % 2, "up", "down")
    for y in (labels, labels[:, None], labels.astype("S"), np.arange(40)[:, None] % 2.0):
        task = npz(tmp_path, x=x, y=y, lengths=(np.arange(40)[:, None] % 4 + 1.0))
        assert len(task.classes) == 2
        assert torch.equal(task.parts["train"].x, plain.parts["train"].x)
        assert torch.equal(task.parts["test"].lengths, plain.parts["test"].lengths)
    assert npz(tmp_path, x=x, y=labels.astype("S")).classes == ["down", "up"]
    column = npz(tmp_path, {"kind": "regression"}, x=x, y=np.arange(40)[:, None])
    assert column.facts.outputs == 1
    assert npz(tmp_path, x=x > 0, y=labels).facts.inputs == 1
    slips = npz(tmp_path, x=x, y=np.array(["a", "A ", "b", "nan"] * 10))
    assert slips.warnings == [
        "y has examples of 'nan', which is read as a name",
        "y has 'A ' and 'a', which are read as two names",
    ]
    other = npz(tmp_path, x=x, y=labels, weights=np.ones(3))
    assert list(other.data.left_out) == ["weights"]


def test_text_to_predict_as_a_number_is_refused(tmp_path):
    with pytest.raises(StudyError, match=r"y of .* is text, which is for .*classification"):
        npz(tmp_path, {"kind": "regression"}, x=np.zeros((9, 4)), y=np.array(["a"] * 9))


def test_a_pickle_in_an_npz_and_a_single_array_are_refused(tmp_path):
    path = tmp_path / "evil.npz"
    np.savez(path, x=np.array([{"a": 1}], dtype=object), y=np.zeros(1))
    with pytest.raises(StudyError, match="plain arrays: x holds Python objects"):
        Npz(path=str(path), kind="classification", **SPLIT).load()
    np.save(tmp_path / "x.npy", np.zeros((9, 4)))
    with pytest.raises(StudyError, match="is a single array .*savez"):
        Npz(path=str(tmp_path / "x.npy"), kind="classification", **SPLIT).load()


def test_the_past_is_that_of_the_time_column_not_of_the_file(tmp_path):
    """With the latest rows first, filling a gap from the row above would leak the future."""
    frame = pd.DataFrame({"label": np.arange(100.0), "f": np.arange(100.0) ** 2, "t": range(100)})
    frame.loc[[50, 95], "f"] = np.nan
    for missing in ("forward", "mean"):
        (tmp_path / missing).mkdir()
        straight, backwards = (
            csv(tmp_path / missing, each, kind="forecast", missing=missing, time="t")
            for each in (frame, frame[::-1])
        )
        for part in straight.parts:
            torch.testing.assert_close(straight.parts[part].x, backwards.parts[part].x)
    table = long_table().sort_values(["id", "t"]).reset_index(drop=True)
    table.loc[[1, 2], "f0"] = np.nan
    one, other = (
        csv(tmp_path, each, series="id", time="t", missing="forward")
        for each in (table, table[::-1].sort_values("id", kind="stable"))
    )
    assert torch.equal(one.parts["train"].x, other.parts["train"].x)


def test_gaps_are_filled_from_the_past_only(tmp_path):
    frame = pd.DataFrame({"label": np.arange(100.0), "f": np.arange(100.0)})
    frame.loc[[50, 95], "f"] = np.nan
    forward = csv(tmp_path, frame, kind="forecast", missing="forward")
    mean = csv(tmp_path, frame, kind="forecast", missing="mean")
    first = frame["f"].iloc[:60].mean()
    for task, expected in ((forward, {49.0, 94.0}), (mean, {first})):
        values = (
            np.concatenate([of.x[:, :, 0].numpy().ravel() for of in task.parts.values()])
            * task.deviation[0]
            + task.mean[0]
        )
        assert all(np.isclose(values, number, atol=1e-3).any() for number in expected)
    assert not np.isclose(
        np.concatenate([of.x[:, :, 0].numpy().ravel() for of in mean.parts.values()])
        * mean.deviation[0]
        + mean.mean[0],
        50.0,
        atol=0.4,
    ).any()


# --- what is known of the predicted row -----------------------------------------------------------


def known_table(series):
    """Features whose value tells its row: 100 times the series' number plus the row."""
    rng, frames = np.random.default_rng(0), []
    for number in range(series):
        at = np.arange(60) + 100 * number
        frame = pd.DataFrame({"holiday": at, "wind": rng.normal(size=60)})
        frames.append(frame.assign(id=f"s{number}", label=rng.normal(size=60)))
    return pd.concat(frames)


@pytest.mark.parametrize("series", [1, 3])
def test_what_is_known_of_the_predicted_row_is_an_input(tmp_path, series):
    settings = {"series": "id"} if series > 1 else {"features": ["holiday", "wind"]}
    settings |= {"kind": "forecast", "window": 4, "horizon": 3}
    task = csv(tmp_path, known_table(series), **settings, known=["holiday"])
    assert task.data.columns == ["holiday", "wind", "holiday in 3 rows", "label"]
    for part in ("train", "validation", "test"):
        x = task.split(part).x.double().numpy() * task.deviation + task.mean
        assert np.allclose(x[..., 2], x[..., 0] + 3, atol=1e-3)
    plain = csv(tmp_path, known_table(series), **settings)
    assert plain.data_hash() != task.data_hash()
    assert torch.equal(plain.split("test").y, task.split("test").y)


def test_levels_of_a_known_column_are_known_as_well(tmp_path):
    frame = known_table(1).drop(columns=["id", "holiday"])
    frame["day"] = np.resize(["mon", "tue", "wed"], 60)
    settings = {"kind": "forecast", "horizon": 1, "categories": "auto", "known": ["day"]}
    task = csv(tmp_path, frame, **settings)
    ahead = [name for name in task.data.columns if name.endswith(" in 1 row")]
    assert ahead == ["day=mon in 1 row", "day=tue in 1 row", "day=wed in 1 row"]
    x = task.split("train").x.double().numpy() * task.deviation + task.mean
    place = {name: task.data.columns.index(name) for name in task.data.columns}
    tomorrow, today = x[:, 0, place["day=tue in 1 row"]], x[:, 0, place["day=mon"]]
    assert np.allclose(tomorrow, today, atol=1e-4)


def test_what_is_known_must_be_a_feature_of_a_forecast(tmp_path):
    with pytest.raises(StudyError, match=r"task.known: must name features.*holiday, wind; got sun"):
        csv(tmp_path, known_table(3), kind="forecast", series="id", known=["sun"])
    with pytest.raises(StudyError, match=r"got label"):
        csv(tmp_path, known_table(3), kind="forecast", series="id", known=["label"])
    with pytest.raises(StudyError, match=r"task.known: is for task.kind=forecast"):
        csv(tmp_path, known_table(3), kind="regression", series="id", known=["wind"])
