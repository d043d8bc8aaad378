"""What people really bring is read to its right values, whatever wrote it."""

from __future__ import annotations

import bz2
import gzip

import numpy as np
import pandas as pd
import pytest

from study.records import StudyError, identity
from study.tasks.csv import Csv
from tests.reports.page_text import read_page
from tests.support.commands import call
from tests.tasks.tables import LONG, RNG, WIDE, loaded, values
from tests.tasks.test_own_data import SPLIT, TABLE

# --- the right value ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "settings"),
    [
        (WIDE.replace(",", ";"), {"separator": "semicolon"}),
        (WIDE.replace(",", "\t"), {"separator": "tab"}),
        (WIDE.replace(",", "\t"), {"separator": "\t"}),
        (WIDE.replace(",", ";").replace(".", ","), {"separator": ";", "decimal": "comma"}),
        (WIDE.encode("utf-16"), {}),
        (WIDE.encode("utf-16-le"), {"encoding": "utf-16-le"}),
        (WIDE.encode("utf-8-sig"), {}),
        (gzip.compress(WIDE.encode()), {}),
        (bz2.compress(WIDE.encode()), {}),
        (WIDE.replace("\n", "\r\n"), {}),
        (WIDE.replace("\n", "\r"), {}),
        (WIDE.replace(",", ", "), {}),
        (WIDE.replace(",x", ',"x"').replace(",y", ', "y"'), {}),
        (WIDE.rstrip("\n"), {}),
        ("\n\n" + WIDE + "\n\n", {}),
        (WIDE.replace(".5", ".5e0").replace(",-", ",−"), {}),
    ],
)
def test_one_table_in_many_writings_is_one_table(tmp_path, data, settings):
    expected = loaded(tmp_path, WIDE, name="plain.csv")
    task = loaded(tmp_path, data, **settings)
    assert task.data_hash() == expected.data_hash()
    assert task.data.columns == ["a", "b", "c"]
    assert not task.facts.warnings


def test_latin_1_names_are_read(tmp_path):
    data = WIDE.replace("a,b", "ä,b").replace("x", "é")
    task = loaded(tmp_path, data.encode("latin-1"), encoding="latin-1")
    assert task.data.columns[0] == "ä"
    assert task.classes == ["y", "é"]
    garbled = loaded(tmp_path, data, encoding="latin-1")
    assert "is valid UTF-8" in garbled.facts.warnings[0]


@pytest.mark.parametrize(
    ("cells", "settings", "expected"),
    [
        (("True", "no", "YES", "false"), {}, (1, 0, 1, 0)),
        (("TRUE", "0", "1", "no"), {}, (1, 0, 1, 0)),
        (("1'234", "12’345", "7", "0"), {"thousands": "apostrophe"}, (1234, 12345, 7, 0)),
        (("12 %", "3%", "-4 %", "0 %"), {}, (12, 3, -4, 0)),
        (("$5", "-$1.50", "$ 2", "$0"), {}, (5, -1.5, 2, 0)),
        (('"1,234"', '"12,345.5"', "7", "0"), {"thousands": "comma"}, (1234, 12345.5, 7, 0)),
        (("1 234", "12\u202f345", "7", "0"), {"thousands": "space"}, (1234, 12345, 7, 0)),
        (("+5", " 6", "1e3", "−2"), {}, (5, 6, 1000, -2)),
    ],
)
def test_cells_are_read_as_what_they_are(tmp_path, cells, settings, expected):
    rows = [f"s{s},{t},{cells[(s + t) % 4]},{'ab'[s % 2]}" for s in range(20) for t in range(4)]
    task = loaded(tmp_path, "\n".join(["id,t,f,label", *rows]), **LONG, **settings)
    found = {tuple(np.round(row[:, 0], 3)) for row in values(task)}
    cycle = [tuple(np.roll(expected, -s).astype(float)) for s in range(4)]
    assert found <= set(cycle)


def test_names_are_text_whatever_they_hold(tmp_path):
    ids = ["NA", "None", "null", "nan", "", "0", "M07b", "1e5", "True"]
    rows = [
        f"{name},{t},{RNG.normal():.3f},{('NA', 'nan')[n % 2]}"
        for n, name in enumerate([*ids[:4], *ids[5:], *map(str, range(10, 30))])
        for t in range(3)
    ]
    task = loaded(tmp_path, "\n".join(["id,t,f,label", *rows]), **LONG)
    assert len(task.data.names) == 28
    assert task.classes == ["NA", "nan"]


def test_an_id_is_one_id_from_the_first_row_to_the_last(tmp_path):
    """pandas guesses types by chunks: 0 early and "0" late were two series, 61 in all."""
    names = [str(n) if n < 30 else "M07b" for n in range(31)]
    rows = [f"{names[n // 500 % 31]},{n % 97},{'ab'[n // 500 % 31 % 2]}" for n in range(300_000)]
    task = loaded(tmp_path, "\n".join(["id,f,label", *rows]), series="id")
    assert len(task.data.names) == 31


def test_classes_are_in_the_order_of_their_numbers(tmp_path):
    rows = [f"{RNG.normal():.3f},{n % 11}" for n in range(80)]
    assert loaded(tmp_path, "\n".join(["f,label", *rows])).classes == list(range(11))
    rows = [f"{RNG.normal():.3f},{n % 3:02d}" for n in range(80)]
    assert loaded(tmp_path, "\n".join(["f,label", *rows])).classes == ["00", "01", "02"]


def test_the_plan_says_what_is_read_and_left_out(tmp_path):
    rows = [
        f"{n},{n},{RNG.normal():.3f},{RNG.normal():.3f},red,2024-01-01,,{'ab'[n % 2]}"
        for n in range(40)
    ]
    data = "\n".join([",row,f,g,colour,day,empty,label", *rows])
    task = loaded(tmp_path, data)
    assert task.data.columns == ["f", "g"]
    assert dict(task.data.left_out) == {
        "Unnamed: 0": "the index that pandas or R stores",
        "row": "it counts the rows",
        "colour": "it holds text, such as 'red'",
        "day": "it holds dates",
        "empty": "it holds no value",
    }
    (tmp_path / "mine.csv").write_text(data)
    shown = call(
        tmp_path, "study", "plan=true", "task=csv", "task.path=mine.csv", "task.target=label",
        "batch=4", "tracker=[]",
    )  # fmt: skip
    assert shown.returncode == 0, shown.stderr
    assert "reads 2 columns: f, g" in shown.stdout
    assert "left out: row (it counts the rows)" in shown.stdout


def test_the_page_says_what_is_read_and_warns(tmp_path):
    rows = [f"{RNG.normal():.3f},{n % 2},{'ab'[n % 2]}" for n in range(40)]
    (tmp_path / "page.csv").write_text("\n".join(["f,same,label", *rows]))
    arguments = ("task=csv", "task.path=page.csv", "task.target=label", "batch=4", "hidden=4")
    done = call(
        tmp_path, "study", *arguments, "updates=2", "tracker=[]", "name=s", "executor.workers=1"
    )
    assert done.returncode == 0, done.stderr + done.stdout
    told = "column same predicts the target perfectly by itself"
    assert told in done.stdout
    assert call(tmp_path, "reports", "render", "outputs/s").returncode == 0
    page = read_page(tmp_path / "outputs/s/report.html")
    assert told in page
    assert "reads 2 columns: f, same" in page


# --- Parquet --------------------------------------------------------------------------------------


def test_parquet_is_read_as_csv_is(tmp_path):
    frame = pd.DataFrame(
        {
            "id": np.repeat(np.arange(20), 6),
            "t": pd.to_datetime("2024-01-01") + pd.to_timedelta(np.tile(np.arange(6), 20), "h"),
            "f": RNG.normal(size=120),
            "flag": RNG.normal(size=120) > 0,
            "sky": pd.Categorical(np.tile(["sun", "rain"], 60)),
            "label": np.repeat(["a", "b"] * 10, 6),
        }
    )
    frame.to_csv(tmp_path / "x.csv", index=False)
    frame.to_parquet(tmp_path / "x.parquet")
    hashes = []
    for name in ("x.csv", "x.parquet"):
        task = Csv(
            path=str(tmp_path / name), **{**TABLE, "target": "label", **LONG, "categories": "auto"}
        )
        task.load()
        assert task.data.columns == ["f", "flag", "sky=rain", "sky=sun"]
        hashes.append(task.data_hash())
    assert hashes[0] == hashes[1]
    frame.loc[4, "f"] = np.nan
    frame["nested"] = [[1, 2]] * 120
    frame.to_parquet(tmp_path / "x.parquet")
    settings = {**TABLE, **LONG, "path": str(tmp_path / "x.parquet"), "target": "label"}
    with pytest.raises(StudyError, match="first in row 5, column f"):
        Csv(**settings).load()
    task = Csv(**{**settings, "missing": "forward"})
    task.load()
    assert task.data.left_out["nested"].startswith("it holds list")
    with pytest.raises(StudyError, match="task.separator: a Parquet file has none"):
        Csv(**{**settings, "separator": "tab"}).load()


# --- ids ------------------------------------------------------------------------------------------


def test_keys_that_came_later_leave_ids_as_they_were():
    """What they do is in the hash of the data."""
    first = ("path", "target", "kind", "series", "time", "features", "missing", "window", "horizon")
    settings = {"path": "x.csv", "target": "label", **TABLE}
    old = {key: settings[key] for key in (*first, "season", *SPLIT)}
    assert set(settings) == {*old, *Csv.read_by, *Csv.later}
    base = {"stop": {"solved_checks": None}, "cell": {}}
    facts = {"data_hash": "0", "kernel": "fused", "device_type": "cpu", "read_by": Csv.read_by}
    facts["later"] = {"task": Csv.later}
    assert identity({**base, "task": old}, **facts) == identity({**base, "task": settings}, **facts)
