"""Several numeric targets of one table: each in its own units, scored together and one by one."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from study.battery.tasks import check_task
from study.records import StudyError
from study.tasks.shared import windows
from tests.tasks.test_metrics import measured, outputs_for
from tests.tasks.test_own_data import csv

BOTH = {"target": ["price", "load"]}
FORECAST = {**BOTH, "kind": "forecast", "window": 4, "horizon": 2, "season": 3}


def hourly(rows=300, series=1, seed=0):
    """Two targets of very different sizes, and a feature."""
    drawn, frames = np.random.default_rng(seed), []
    for number in range(series):
        wind = drawn.normal(5, 2, rows)
        price = 3 + 0.01 * (wind + drawn.normal(size=rows)).cumsum()
        load = 4e5 + 1e4 * drawn.normal(size=rows).cumsum()
        stamps = pd.date_range("2024-01-01", periods=rows, freq="h")
        columns = {"hour": stamps.strftime("%Y-%m-%d %H:%M"), "wind": wind}
        frames.append(pd.DataFrame({"id": f"s{number}", **columns, "price": price, "load": load}))
    return pd.concat(frames, ignore_index=True)


def one_per_row(rows=120):
    drawn = np.random.default_rng(1)
    frame = pd.DataFrame(drawn.normal(size=(rows, 4)), columns=list("abcd"))
    return frame.assign(
        price=frame["a"] + drawn.normal(size=rows), load=1e6 * drawn.gamma(2.0, size=rows)
    )


def raw(task, y):
    """Targets [N, O] in their units."""
    return y.double().numpy() * task.target_deviation + task.target_mean


# --- forms ----------------------------------------------------------------------------------------


def test_rows_with_two_targets_are_predicted_by_two_outputs(tmp_path):
    frame = one_per_row()
    task = csv(tmp_path, frame, **BOTH, kind="regression", split="time")
    check_task(task)
    assert task.facts.outputs == 2 and task.data.columns == list("abcd")
    train = frame[["price", "load"]].to_numpy()[:72]
    assert np.allclose(task.target_mean, train.mean(0))
    assert np.allclose(task.target_deviation, train.std(0))
    tail = frame[["price", "load"]].to_numpy()[-24:]
    assert np.allclose(raw(task, task.split("test").y), tail, rtol=1e-5)
    assert "predicts 2 targets: price, load" in task.facts.notes


def test_series_with_two_targets_each(tmp_path):
    frame = hourly(6, series=40).drop(columns="hour")
    first = frame.groupby("id")[["price", "load"]].transform("first")
    task = csv(tmp_path, frame.assign(**first), **BOTH, kind="regression", series="id")
    check_task(task)
    assert task.data.columns == ["wind"] and task.split("test").y.shape[1] == 2
    with pytest.raises(StudyError, match="task.target: load must be the same in all rows of a id"):
        csv(tmp_path, frame.assign(price=first["price"]), **BOTH, kind="regression", series="id")


def test_a_forecast_reads_the_past_of_both_targets(tmp_path):
    frame = hourly()
    task = csv(tmp_path, frame, **FORECAST, time="hour")
    check_task(task)
    assert task.data.columns == ["wind", "price", "load"] and task.facts.inputs == 3
    x = task.parts["train"].x.double().numpy() * task.deviation + task.mean
    values = frame[["wind", "price", "load"]].to_numpy()
    assert np.allclose(x[7], values[7:11], rtol=1e-5)
    assert np.allclose(raw(task, task.parts["train"].y)[7], values[7 + 4 + 1, 1:], rtol=1e-5)


def test_naive_rules_are_those_of_each_target(tmp_path):
    frame = hourly()
    task = csv(tmp_path, frame, **FORECAST)
    values = frame[["price", "load"]].to_numpy()
    asked = np.arange(180 + 4 + 1, 240)
    for name, back in (("persistence", 2), ("seasonal naive", 3)):
        errors = ((values[asked] - values[asked - back]) ** 2).mean(0)
        assert task.data.rules[name] == pytest.approx(errors)
    facts, deviation = task.facts, task.target_deviation
    best = min((errors / deviation**2).mean() for errors in task.data.rules.values())
    assert facts.baseline == pytest.approx(best) and facts.solved == pytest.approx(0.99 * best)
    guesses = {one["name"]: one["guess"] for one in facts.metrics}
    for place, name in enumerate(("price", "load")):
        own = min(errors[place] / deviation[place] ** 2 for errors in task.data.rules.values())
        assert guesses[f"mse {name}"] == pytest.approx(own, rel=1e-4)
    assert any("persistence price" in note and "constant price" in note for note in facts.notes)


def test_views_of_windows_hold_both_targets(tmp_path, monkeypatch):
    copies = csv(tmp_path, hourly(), **FORECAST, stride=2)
    monkeypatch.setattr(windows, "COPIED", 0)
    views = csv(tmp_path, hourly(), **FORECAST, stride=2)
    assert views.windows is not None and copies.windows is None
    for part in ("train", "validation", "test"):
        every = views.windows[part].batch(torch.arange(len(copies.parts[part].x)))
        x, other = (
            of.double().numpy() * task.deviation + task.mean
            for task, of in ((views, every.x), (copies, copies.parts[part].x))
        )
        assert np.allclose(x, other, rtol=1e-5)
        assert np.allclose(raw(views, every.y), raw(copies, copies.parts[part].y), rtol=1e-5)
    swapped = csv(tmp_path, hourly(), **{**FORECAST, "target": ["load", "price"]}, stride=2)
    assert swapped.data_hash() != views.data_hash()


@pytest.mark.parametrize(
    "settings",
    [
        {"missing": "forward", "time": "hour"},
        {"missing": "mean", "time": "hour", "resample": "2h"},
        {"missing": "forward", "time": "hour", "gaps": "fill"},
        {"time": "hour", "gaps": "split", "elapsed": True},
        {"known": ["wind"], "stride": 3},
        {"quantiles": [0.1, 0.5, 0.9], "metrics": ["pinball", "mae", "mase"]},
    ],
)
def test_both_targets_go_with_every_other_setting(tmp_path, settings):
    frame = hourly()
    frame.loc[[9, 40], "load"] = np.nan if "missing" in settings else frame["load"][[9, 40]]
    frame = frame.drop(index=[100, 101] if "gaps" in settings else [])
    task = csv(tmp_path, frame, **FORECAST, **settings)
    check_task(task)
    assert task.data.columns[-2:] == ["price", "load"]
    told = [text for text in task.facts.warnings if "filled values are of the target" in text]
    filled = "missing" in settings and "resample" not in settings  # means skip what is missing
    assert len(told) == filled + (settings.get("gaps") == "fill")


def test_both_targets_go_with_groups(tmp_path):
    frame = hourly(60, series=12)
    frame["site"] = frame["id"].str[1:].astype(int) // 2
    settings = {"series": "id", "group": "site", "split": "group", "time": "hour"}
    task = csv(tmp_path, frame, **FORECAST, **settings)
    check_task(task)
    assert task.split("test").y.shape[1] == 2


def test_a_list_of_one_is_that_one(tmp_path):
    frame = hourly()
    one = csv(tmp_path, frame, **{**FORECAST, "target": "price"})
    same = csv(tmp_path, frame, **{**FORECAST, "target": ["price"]})
    assert one.data_hash() == same.data_hash() and one.signature() == same.signature()
    assert not one.facts.metrics and "predicts" not in " ".join(one.facts.notes)


# --- metrics --------------------------------------------------------------------------------------


def test_the_score_is_over_both_and_every_metric_is_seen_by_target(tmp_path):
    names = ["mae", "rmse", "r2", "smape", "mase"]
    task = csv(tmp_path, hourly(), **FORECAST, metrics=names)
    outputs, batch = outputs_for(task)
    found, off = measured(task, outputs, batch), (outputs - batch.y).double().numpy()
    assert list(found) == names + [f"{one} {of}" for one in names for of in ("price", "load")]
    assert found["mae"] == pytest.approx(np.abs(off).mean(), rel=1e-5)
    for place, name in enumerate(("price", "load")):
        own, y = off[:, place] * task.target_deviation[place], raw(task, batch.y)[:, place]
        assert found[f"mae {name}"] == pytest.approx(np.abs(own).mean(), rel=1e-5)
        assert found[f"rmse {name}"] == pytest.approx(np.sqrt((own**2).mean()), rel=1e-5)
        assert found[f"r2 {name}"] == pytest.approx(1 - (own**2).mean() / y.var(), rel=1e-4)
    for whole in ("smape", "mase", "r2"):
        each = [found[f"{whole} {name}"] for name in ("price", "load")]
        assert found[whole] == pytest.approx(np.mean(each), rel=1e-5)
    texts = {one["name"]: one["text"] for one in task.facts.metrics}
    assert texts["mae"] == "mean absolute error over 2 targets, standardised"
    assert texts["mae load"] == "mean absolute error of load, in the target's units"
    assert task.facts.metric == texts["mae"]


def test_the_score_may_be_of_one_target(tmp_path):
    task = csv(tmp_path, hourly(), **FORECAST, metrics=["mae price", "mse"])
    outputs, batch = outputs_for(task)
    off = (outputs - batch.y).double()[:, 0] * task.target_deviation[0]
    assert float(task.metric(outputs[None], batch).mean()) == pytest.approx(float(off.abs().mean()))
    names = [one["name"] for one in task.facts.metrics]
    assert names == ["mae price", "mse", "mse price", "mse load"]


def test_quantiles_of_both_targets(tmp_path):
    task = csv(tmp_path, one_per_row(), **BOTH, kind="regression", quantiles=[0.1, 0.9])
    assert task.facts.outputs == 4
    outputs, batch = outputs_for(task)
    found, y = measured(task, outputs, batch), batch.y
    below = (y[:, 1] <= outputs[:, 2]).double().mean()
    assert found["coverage_0.1 load"] == pytest.approx(float(below))
    assert found["pinball"] == pytest.approx(
        (found["pinball price"] + found["pinball load"]) / 2, rel=1e-5
    )
    given = task.signature()["output"]
    assert given["names"] == ["price", "load"]
    assert given["mean"] == task.target_mean.repeat(2).tolist()


# --- what is refused or warned of -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"kind": "classification"}, "task.target: price, load are several .* of one column"),
        ({"target": []}, "target must be a column, or a list of columns"),
        ({"target": ["price", "price"]}, "task.target: names 'price' twice"),
        ({"target": ["price", "lode"]}, "task.target: .* has no column 'lode'"),
        ({"features": ["a", "load"]}, "load is task.target and cannot be a feature"),
        ({"group": "load", "split": "group"}, "task.group: load is task.target already"),
        ({"metrics": ["mae lode"]}, "metrics .* also of one target, such as mse price"),
        ({"target": ["price", "flat"]}, "the target flat is the same number in all training"),
        ({"target": ["price", "word"]}, "column word .* must hold numbers; row 2 has 'x'"),
    ],
)
def test_mistakes_are_one_sentence(tmp_path, settings, told):
    frame = one_per_row().assign(flat=3.5, word="x")
    with pytest.raises((StudyError, ValueError), match=told):
        csv(tmp_path, frame, **{**BOTH, "kind": "regression", **settings})


def test_features_that_give_one_target_away_are_told(tmp_path):
    frame = one_per_row().assign(copy=lambda of: of["load"])
    task = csv(tmp_path, frame, **BOTH, kind="regression")
    assert any("column copy equals the target load" in text for text in task.facts.warnings)
    frame = hourly()
    frame["load"] = frame["price"].shift(-2).fillna(3.0)
    task = csv(tmp_path, frame.iloc[:-2], **FORECAST)
    told = "column load equals the target price of 2 rows later"
    assert any(told in text for text in task.facts.warnings)
