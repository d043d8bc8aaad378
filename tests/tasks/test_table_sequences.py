"""Rows that are sequences, categories, groups and missing values."""

from __future__ import annotations

import zipfile

import numpy as np
import pytest

from study.battery.tasks import check_task
from study.records import StudyError
from tests.tasks.tables import FORECAST, LONG, RNG, loaded, steps, values

# --- a row is a sequence --------------------------------------------------------------------------


def test_empty_cells_at_the_end_of_a_row_end_its_sequence(tmp_path):
    rows = [
        ",".join([*(f"{RNG.normal():.3f}" if t < 3 + n % 3 else "" for t in range(5)), "ab"[n % 2]])
        for n in range(40)
    ]
    task = loaded(tmp_path, "\n".join(["t0,t1,t2,t3,t4,label", *rows]))
    check_task(task)
    assert {tuple(np.unique(of.lengths)) for of in task.parts.values()} == {(3, 4, 5)}
    assert "27 rows end in empty cells" in task.facts.warnings[0]


def test_missing_steps_are_filled_along_the_row(tmp_path):
    rows = [f"{n}.0,{'' if n % 2 else n + 100},{2 * n},{'ab'[n // 2 % 2]}" for n in range(40)]
    task = loaded(tmp_path, "\n".join(["t0,t1,t2,label", *rows]), missing="forward")
    for row in values(task)[:, :, 0].round():
        assert row[1] == (row[0] if row[0] % 2 else row[0] + 100)
    with pytest.raises(StudyError, match="no value before row 3, column t0"):
        loaded(
            tmp_path,
            "t0,t1,t2,label\n" + "".join(f"{n if n != 1 else ''},{n},1,{n}\n" for n in range(9)),
            missing="forward",
        )
    mean = loaded(tmp_path, "\n".join(["t0,t1,t2,label", *rows]), missing="mean")
    filled = values(mean)[:, :, 0]
    known = filled[filled[:, 0].round() % 2 == 0, 1]
    assert np.allclose(filled[filled[:, 0].round() % 2 == 1, 1], known.mean(), atol=1e-3)


def test_a_workbook_is_named(tmp_path):
    with zipfile.ZipFile(tmp_path / "book.csv", "w") as book:
        book.writestr("xl/workbook.xml", "")
    with pytest.raises(StudyError, match="book.csv is a workbook; save its sheet as CSV"):
        loaded(tmp_path, (tmp_path / "book.csv").read_bytes(), name="book.csv")


def test_a_time_column_orders_rows_that_are_split_in_time(tmp_path):
    rows = [f"{n},{n + 0.5},{(n * 7) % 40},{n * 7 % 40}" for n in range(40)]
    task = loaded(
        tmp_path,
        "\n".join(["a,b,t,label", *rows]),
        kind="regression",
        time="t",
        split="chronological",
    )
    targets = task.parts["test"].y[:, 0].numpy() * task.target_deviation + task.target_mean
    assert np.allclose(targets, range(32, 40), atol=1e-3)


# --- categories, groups, missing values -----------------------------------------------------------


def categories(s, t):
    return f"s{s},{t},{RNG.normal():.3f},{('sun', 'rain', 'NA')[(s + t) % 3]},{'ab'[s % 2]}"


def test_text_is_read_by_the_levels_of_the_training_part(tmp_path):
    data = steps(header="id,t,f,sky,label", row=categories)
    task = loaded(tmp_path, data, **LONG, categories="auto", split="chronological")
    assert task.data.columns == ["f", "sky=NA", "sky=rain", "sky=sun"]
    assert {tuple(row) for row in values(task)[:, :, 1:].reshape(-1, 3).round()} == {
        (1, 0, 0), (0, 1, 0), (0, 0, 1),
    }  # fmt: skip
    late = data.replace("s19,0,", "s19,0,", 1).splitlines()
    late[-1] = late[-1].replace("sun", "hail").replace("rain", "hail").replace("NA", "hail")
    task = loaded(tmp_path, "\n".join(late), **LONG, categories="auto", split="chronological")
    assert task.data.columns == ["f", "sky=NA", "sky=rain", "sky=sun"]
    assert "column sky: 'hail' (1 rows)" in task.facts.warnings[0]
    assert (values(task, "test")[-1, -1, 1:].round() == 0).all()
    with pytest.raises(StudyError, match="column sky .*task.categories=auto reads text"):
        loaded(tmp_path, data, **LONG, features=["f", "sky"])


def test_a_blank_category_is_missing(tmp_path):
    data = steps(header="id,t,f,sky,label", row=categories).replace("rain", "", 1)
    with pytest.raises(StudyError, match="missing .*column sky=NA"):
        loaded(tmp_path, data, **LONG, categories="auto")
    filled = loaded(tmp_path, data, **LONG, categories="auto", missing="mean")
    assert filled.facts.inputs == 4


def test_groups_are_handed_over(tmp_path):
    data = steps(
        header="id,t,f,who,label",
        row=lambda s, t: f"s{s},{t},{RNG.normal():.3f},{s // 2},{'ab'[s % 2]}",
    )
    task = loaded(tmp_path, data, **LONG, group="who")
    assert task.data.columns == ["f"]
    assert task.data.groups.tolist() == [s // 2 for s in range(20)]
    lines = data.splitlines()
    lines[4] = lines[4].replace(",0,a", ",7,a")
    with pytest.raises(StudyError, match="group: who must be the same .*0 in row 2 and 7 in row 5"):
        loaded(tmp_path, "\n".join(lines), **LONG, group="who")


def test_means_are_of_training_rows_with_series_too(tmp_path):
    data = steps(row=lambda s, t: f"s{s},{t},{'' if t == 2 else s},{'ab'[s % 2]}")
    task = loaded(tmp_path, data, **LONG, missing="mean")
    train = values(task)
    assert np.allclose(train[:, 2, 0], train[:, 0, 0].mean(), atol=1e-4)
    rows = [f"{s},{t},{'' if t == 5 else s * 100 + t}" for s in range(2) for t in range(40)]
    task = loaded(
        tmp_path,
        "\n".join(["id,t,label", *rows]),
        **{**FORECAST, "series": "id", "missing": "mean", "validation": 0.25, "test": 0.25},
    )
    known = [s * 100 + t for s in range(2) for t in range(20) if t != 5]
    assert np.isclose(values(task)[0, :, 0].round(2), np.round(np.mean(known), 2)).sum() == 0
    assert np.isclose(values(task)[5, 0, 0], np.mean(known), atol=1e-3)
