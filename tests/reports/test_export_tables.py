"""Exports read tables as training read them: several targets, what is known ahead, units, files."""

from __future__ import annotations

import json
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from reports.export.export import export, model_module
from reports.export.predict import _run, predict
from study.config.tasks import load_task
from study.records import StudyError
from study.store import Store
from study.tasks.shared.cells import TRUTH, Style, read_cell
from tests.reports.test_exports import ALONE_CSV, alone, level, stored
from tests.support.commands import call
from tests.support.data import archive
from tests.support.helpers import point
from tests.tasks.test_window_classes import WINDOWS, recorded

CELLS = [
    *("1", "-1.5", "+2", "1e3", ".5", "1,234", "1.234,5", "12 %", "-12%", "$5", "-$5", "$ -5"),
    *("5 €", "3‰", "1 234", "1\u202f234", "1'234", "−7", "inf", "-Infinity", "0,123", "1_000"),
    *("", " ", "NA", "n/a", "NULL", "#DIV/0!", "nan", "x", "--", "1%%", "$5€", "1 2", "12 kg"),
]


def table(rows: int = 200) -> pd.DataFrame:
    drawn = np.random.default_rng(0)
    frame = pd.DataFrame({"hour": range(rows), "wind": drawn.normal(5, 2, rows)})
    frame["holiday"] = np.resize([0.0, 0, 1, 0, 2], rows)
    frame["day"] = np.resize(["mon", "tue", "wed"], rows)
    frame["price"] = 3 + drawn.normal(0, 0.1, rows).cumsum()
    frame["load"] = 4e5 + drawn.normal(0, 1e4, rows).cumsum()
    return frame


def node(folder: Path, frame: pd.DataFrame, **changes: Any) -> dict[str, Any]:
    frame.to_csv(folder / "mine.csv", index=False)
    settings = {"kind": "forecast", "time": "hour", "window": 6, "horizon": 2, **changes}
    return level("task", "csv", path=str(folder / "mine.csv"), **settings)


def exported(folder: Path, task: dict[str, Any]) -> tuple[Path, np.ndarray]:
    """An export, and the engine's outputs [N, O] on the test examples."""
    config = point(task=task, cell=level("cell", "lstm"), readout=level("readout", "last")).config
    model, flat = stored(folder / "s", config)
    test = load_task(task).split("test")
    lengths = None if test.lengths is None else test.lengths[None]
    with torch.no_grad():
        outputs = model.forward(model.named(flat), test.x[None], lengths)[0]
    return export(folder / "s", "c0ffee", folder / "out"), outputs.double().numpy()


def close(found: Any, expected: np.ndarray) -> None:
    """To 1e-6 of what is largest of each target."""
    scale = np.abs(expected).max(0)
    np.testing.assert_allclose(found / scale, expected / scale, rtol=0, atol=1e-6)


def in_units(task: dict[str, Any], outputs: np.ndarray) -> np.ndarray:
    of = load_task(task)
    count = len(of.quantiles or (1,))
    return outputs * of.target_deviation.repeat(count) + of.target_mean.repeat(count)


# --- several targets ------------------------------------------------------------------------------


@pytest.mark.parametrize("quantiles", [None, [0.1, 0.5, 0.9]])
def test_a_forecast_has_a_column_per_target(tmp_path: Path, quantiles: Any) -> None:
    frame, targets = table(), ["price", "load"]
    task = node(tmp_path, frame, target=targets, features=["wind"], quantiles=quantiles)
    folder, outputs = exported(tmp_path, task)
    # the first test window ends 1 row and a horizon before the first row that is asked for
    new = frame.iloc[: 160 + 6].drop(columns=["holiday", "day"]).sample(frac=1, random_state=0)
    new.to_csv(tmp_path / "new.csv", index=False)
    expected = in_units(task, outputs[:1])
    np.testing.assert_allclose(predict(folder, tmp_path / "new.csv"), expected, rtol=1e-6)
    header, row = _run(folder, lambda module, net: module.table(net, tmp_path / "new.csv"))
    marks = [""] if quantiles is None else [f"_{mark}" for mark in quantiles]
    assert header == ["sequence", "rows_ahead", *(f"{t}{m}" for t in targets for m in marks)]
    np.testing.assert_allclose([float(cell) for cell in row[0][2:]], expected[0], rtol=1e-6)
    about = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    assert about["output"]["names"] == targets
    assert "Answer: price, load, 2 rows after" in (folder / "README.md").read_text("utf-8")
    made = json.loads((folder / "example.json").read_text(encoding="utf-8"))
    assert [each.tolist() for each in predict(folder, made["input"])] == made["answer"]
    assert alone(ALONE_CSV, "", str(folder), str(tmp_path / "new.csv")).startswith(",".join(header))


@pytest.mark.parametrize("series", [None, "id"])
def test_sequences_have_a_column_per_target(tmp_path: Path, series: str | None) -> None:
    drawn = np.random.default_rng(1)
    frame = pd.DataFrame(drawn.normal(size=(80, 3)), columns=["a", "b", "c"])
    frame = frame.assign(load=1e6 * frame["a"], price=frame["b"] + 3)
    settings = {"kind": "regression", "split": "time", "time": None, "features": ["a", "b", "c"]}
    if series:
        frame = frame.loc[frame.index.repeat(3)].assign(id=np.repeat(np.arange(80), 3))
    task = node(tmp_path, frame, target=["price", "load"], series=series, **settings)
    folder, outputs = exported(tmp_path, task)
    new = frame.tail(len(outputs) * (3 if series else 1)).drop(columns=["price", "load"])
    close(predict(folder, new), in_units(task, outputs))


# --- classes of windows ---------------------------------------------------------------------------


def test_a_window_of_rows_has_a_class(tmp_path: Path) -> None:
    frame = recorded().drop(columns="site")
    task = node(
        tmp_path,
        frame,
        **{**WINDOWS, "kind": "windows", "horizon": 1, "time": "t", "elapsed": True},
    )
    folder, outputs = exported(tmp_path, task)
    names = np.array(load_task(task).classes)[outputs.argmax(1)]
    # the first test window of each person begins in row 96
    new = frame[frame["t"] < 96 + 8].drop(columns="activity").sample(frac=1, random_state=0)
    new.to_csv(tmp_path / "new.csv", index=False)
    header, rows = _run(folder, lambda module, net: module.table(net, tmp_path / "new.csv"))
    assert header == ["who", "activity", "probability"]
    found = {row[0]: row[1] for row in rows}
    windows = len(names) // 12
    assert found == {f"p{number}": names[number * windows] for number in range(12)}
    with pytest.raises(StudyError, match="who p3 has 4 rows, fewer than the 9 that a window reads"):
        predict(folder, new[(new["who"] != "p3") | (new["t"] < 4)])
    made = json.loads((folder / "example.json").read_text(encoding="utf-8"))
    assert predict(folder, made["input"]).tolist() == made["answer"]


@pytest.mark.parametrize("named", [False, True])
def test_dates_are_read_as_they_were_in_training(tmp_path: Path, named: bool) -> None:
    frame = table(200)[["hour", "wind", "price"]]
    days = pd.Timestamp("2024-01-01") + pd.to_timedelta(frame["hour"] * 2 - frame["hour"] % 3, "D")
    frame = frame.assign(hour=days.dt.strftime("%d/%m/%Y"))
    given = {"date_format": "%d/%m/%Y"} if named else {}
    task = node(
        tmp_path, frame, target="price", features=["wind"], elapsed=True, gaps="allow", **given
    )
    folder, outputs = exported(tmp_path, task)
    assert load_task(task).signature()["input"]["date_format"] == "%d/%m/%Y"
    count = len(outputs)
    # the last test window, and the row before it for the time of its first step
    found = [predict(folder, frame.iloc[: len(frame) - 2]), predict(folder, frame.iloc[:-3])]
    close(np.reshape(found, (2, -1)), in_units(task, outputs[[count - 1, count - 2]]))
    made = json.loads((folder / "example.json").read_text(encoding="utf-8"))
    assert [each.tolist() for each in predict(folder, made["input"])] == made["answer"]
    with pytest.raises(StudyError, match="'2024-13-40' is neither a number nor a date as %d/%m/%Y"):
        predict(folder, frame.assign(hour="2024-13-40"))


# --- what is known ahead --------------------------------------------------------------------------

KNOWN = {"target": "price", "known": ["holiday", "day"], "categories": "auto"}


@pytest.mark.parametrize("changes", [{}, {"target": ["load", "price"]}, {"elapsed": True}])
def test_rows_to_come_follow_those_that_are_past(tmp_path: Path, changes: Any) -> None:
    frame = table() if "target" in changes else table().drop(columns="load")
    task = node(tmp_path, frame, **KNOWN | changes)
    folder, outputs = exported(tmp_path, task)
    new = frame.iloc[: 160 + 6 + 5].copy()
    new.loc[166:, ["price", *(["load"] if "load" in frame else []), "wind"]] = np.nan
    new.to_csv(tmp_path / "new.csv", index=False)
    found = predict(folder, tmp_path / "new.csv")
    expected = in_units(task, outputs[:1])
    np.testing.assert_allclose(np.reshape(found, (1, -1)), expected, rtol=1e-6)
    assert predict(folder, new.sample(frac=1, random_state=0)) == pytest.approx(found, rel=1e-9)
    assert "with what is known of them and an empty target: holiday, day" in (
        folder / "README.md"
    ).read_text("utf-8")
    made = json.loads((folder / "example.json").read_text(encoding="utf-8"))
    assert made["input"]["price"][-2:] == [None, None]
    assert [each.tolist() for each in predict(folder, made["input"])] == made["answer"]
    changed = new.assign(holiday=new["holiday"].where(new["hour"] != 167, 50.0))
    assert not np.allclose(predict(folder, changed), found), "the predicted row is read"


def test_every_series_has_rows_to_come(tmp_path: Path) -> None:
    frame = pd.concat([table(100).assign(id=f"s{number}") for number in range(3)])
    frame["price"] += np.random.default_rng(5).normal(size=len(frame))
    task = node(tmp_path, frame, **KNOWN, series="id", missing="forward")
    folder, outputs = exported(tmp_path, task)
    new = frame[frame["hour"] < 80 + 6 + 2].copy()
    new.loc[new["hour"] >= 86, ["price", "load", "wind"]] = np.nan
    first = np.arange(3) * (len(outputs) // 3)
    found = predict(folder, new.sample(frac=1, random_state=0).sort_values("id", kind="stable"))
    close(np.sort(found), np.sort(in_units(task, outputs)[first, 0]))
    with pytest.raises(StudyError, match="id s1 has 1 rows behind its last value of price"):
        predict(folder, new[(new["id"] != "s1") | (new["hour"] < 87)])


def test_what_is_not_known_of_rows_to_come_is_one_sentence(tmp_path: Path) -> None:
    frame = table().drop(columns="load")
    frame.to_csv(tmp_path / "mine.csv", index=False)
    settings = ["task=csv", "task.path=mine.csv", "task.target=price", "task.kind=forecast"]
    settings += ["task.time=hour", "task.window=6", "task.horizon=2", "task.known=[holiday]"]
    small = ["hidden=4", "batch=8", "updates=4", "tracker=[]", "probe=[]"]
    ran = call(tmp_path, "study", "name=known", *settings, *small)
    assert ran.returncode == 0, ran.stderr
    (id,) = Store(tmp_path / "outputs" / "known").ids()
    ran = call(tmp_path, "reports", "export", "outputs/known", id, "--to", "out")
    assert ran.returncode == 0, ran.stderr
    new = frame.drop(columns="day").iloc[:40].copy()
    new.loc[38:, "price"] = np.nan

    def said(of: pd.DataFrame) -> tuple[str, str]:
        of.to_csv(tmp_path / "new.csv", index=False)
        ran = call(tmp_path, "reports", "predict", "out", "new.csv")
        return ran.stdout, ran.stderr.strip()

    answer, told = said(new)
    assert answer.startswith("sequence,rows_ahead,price\n0,2,") and not told
    for wrong, sentence in (
        (
            new.iloc[:38],
            "the table has 0 rows behind its last value of price; the forecast needs the 2 rows to"
            " come as well, with holiday, and the target empty",
        ),
        (
            new.assign(holiday=new["holiday"].where(new["hour"] != 39)),
            "column holiday, row 41: is missing; the forecast needs it in the 2 rows to come",
        ),
    ):
        answer, told = said(wrong)
        assert not answer and told.count("\n") == 0 and told.endswith(f"data: {sentence}"), told


# --- cells and files ------------------------------------------------------------------------------


@pytest.mark.parametrize("style", [Style(), Style(",", "."), Style(".", ","), Style(".", " ")])
@pytest.mark.parametrize("unit", ["", "%", "$", "€", "‰"])
def test_a_cell_is_read_as_training_reads_it(style: Style, unit: str) -> None:
    module = model_module()
    marks = {"decimal": style.decimal, "thousands": style.thousands}
    for text in CELLS:
        cell = read_cell(text, style)
        if cell is None or (not cell.missing and cell.unit != unit):
            with pytest.raises(ValueError, match="is no number|beside it"):
                module._number(text, marks, unit)
        else:
            np.testing.assert_equal(module._number(text, marks, unit), cell.value)


def test_words_of_truth_are_those_of_training() -> None:
    assert model_module().WORDS == TRUTH


def written() -> pd.DataFrame:
    frame = table(120)[["hour", "wind", "price"]]
    frame["share"] = [f"{value:.1f} %" for value in frame["wind"]]
    frame["cost"] = [f"${value:.2f}" for value in frame["price"]]
    frame["count"] = [f"{1000 + 10 * value:,.0f}" for value in frame["wind"] * 100]
    frame["open"] = np.resize(["yes", "no", "no"], 120)
    frame["late"] = np.resize(["1", "no", "yes", "0"], 120)
    return frame.drop(columns=["wind"])


def test_units_are_read_and_others_refused(tmp_path: Path) -> None:
    frame = written()
    task = node(tmp_path, frame, target="price", thousands="comma")
    folder, outputs = exported(tmp_path, task)
    new = frame.iloc[: 96 + 6].copy()
    expected = in_units(task, outputs[:1])[0]
    np.testing.assert_allclose(predict(folder, new), expected, rtol=1e-6)
    new.to_csv(tmp_path / "new.csv", index=False)
    np.testing.assert_allclose(predict(folder, tmp_path / "new.csv"), expected, rtol=1e-6)
    plain = new.assign(share=[float(cell.rstrip(" %")) for cell in new["share"]])
    np.testing.assert_allclose(predict(folder, plain), expected, rtol=1e-6)
    for column, cell, told in (
        ("share", "0.12", "has no '%' beside it, unlike the data of training; give the number"),
        ("cost", "5 €", "has no '\\$' beside it"),
        ("price", "5 %", "has '%' beside it, .* give the number alone"),
        ("count", "1.234,5", "is no number; write one and a half as 1.5 and thousands as in 1,234"),
        ("open", "maybe", "is no number"),
        ("late", "maybe", "is no number"),
    ):
        wrong = new.astype(object)
        wrong.loc[100, column] = cell
        with pytest.raises(StudyError, match=f"column {column}, row 100: '.*' {told}"):
            predict(folder, wrong)


@pytest.mark.parametrize("form", ["forecast", "rows", "series"])
def test_missing_values_are_filled_with_the_means_of_training(tmp_path: Path, form: str) -> None:
    drawn = np.random.default_rng(2)
    frame = pd.DataFrame(drawn.normal(5, 2, size=(120, 4)), columns=["a", "b", "c", "price"])
    frame.loc[[3, 8, 114, 119], "b"] = np.nan
    if form == "forecast":
        task = node(tmp_path, frame, target="price", missing="mean", time=None)
        new = frame.iloc[: 96 + 19]  # the window of the test example that ends in row 114
        index = 114 - 5 - 96
    else:
        settings = {"kind": "regression", "missing": "mean", "time": None, "split": "time"}
        count = 24
        if form == "series":
            frame = frame.loc[frame.index.repeat(2)].assign(id=np.repeat(np.arange(120), 2))
            settings |= {"series": "id"}
            count = 48
        task = node(tmp_path, frame, target="price", **settings)
        new, index = frame.tail(count).drop(columns="price"), slice(None)
    folder, outputs = exported(tmp_path, task)
    expected = in_units(task, outputs)[index].ravel()
    np.testing.assert_allclose(predict(folder, new), expected, rtol=1e-6)


def test_parquet_is_read_or_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = table()
    task = node(tmp_path, frame, target="price", features=["wind"])
    folder, outputs = exported(tmp_path, task)
    new = frame.iloc[: 160 + 6][["hour", "wind", "price"]]
    new.sample(frac=1, random_state=0).to_parquet(tmp_path / "new.parquet")
    expected = in_units(task, outputs[:1])[0]
    np.testing.assert_allclose(predict(folder, tmp_path / "new.parquet"), expected, rtol=1e-6)
    (tmp_path / "bad.parquet").write_bytes(b"PAR1")
    with pytest.raises(StudyError, match="not a Parquet file"):
        predict(folder, tmp_path / "bad.parquet")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(StudyError, match="pyarrow, which is not installed; save .* as .csv"):
        predict(folder, tmp_path / "new.parquet")


def test_files_of_the_archives_are_read(tmp_path: Path) -> None:
    archive(tmp_path / "Noise.zip", "Noise", 2, 2, (5, 9))
    task = level("task", "ucr", name="Noise", folder=str(tmp_path))
    folder, outputs = exported(tmp_path, task)
    names = np.array(load_task(task).classes)[outputs.argmax(1)]
    with zipfile.ZipFile(tmp_path / "Noise.zip") as files:
        files.extract("Noise_TEST.ts", tmp_path)
    found = predict(folder, tmp_path / "Noise_TEST.ts")
    assert found.tolist() == names.tolist()
    (tmp_path / "new.tsv").write_text("1\t0.5\t0.5\n")
    with pytest.raises(StudyError, match="begin with the target, .* give a .ts, .npy or .csv"):
        predict(folder, tmp_path / "new.tsv")
    (tmp_path / "bad.ts").write_text("@classLabel false\n@data\n1,2:3\n")
    with pytest.raises(StudyError, match="the channels of line 3 differ in length"):
        predict(folder, tmp_path / "bad.ts")


def test_a_table_in_another_encoding_is_read(tmp_path: Path) -> None:
    frame = table(120)[["hour", "wind", "price"]].rename(columns={"wind": "wärme"})
    task = node(tmp_path, frame, target="price", encoding="latin-1")
    for name in ("mine.csv", "new.csv"):
        frame.iloc[: 120 if name == "mine.csv" else 102].to_csv(
            tmp_path / name, index=False, encoding="latin-1"
        )
    folder, outputs = exported(tmp_path, task)
    expected = in_units(task, outputs[:1])[0]
    np.testing.assert_allclose(predict(folder, tmp_path / "new.csv"), expected, rtol=1e-6)
