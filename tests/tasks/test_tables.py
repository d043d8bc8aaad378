"""What people really bring: each table has its right value, or one sentence that says what is odd.

Every case asks what would be wrong without anybody noticing.
"""

from __future__ import annotations

import bz2
import gzip
import re
import zipfile

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest

from study.battery.tasks import check_task
from study.records import StudyError, identity
from study.tasks.csv import Csv
from study.tasks.npz import Npz
from study.tasks.shared.cells import Style, hint, read_cell
from study.tasks.shared.number_columns import numbers
from study.tasks.shared.times import times
from tests.support.commands import call
from tests.tasks.test_own_data import SPLIT, TABLE

RNG = np.random.default_rng(0)


def loaded(tmp_path, data, name="mine.csv", **settings):
    path = tmp_path / name
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    task = Csv(path=str(path), **{**TABLE, "target": "label", **settings})
    task.load()
    return task


def values(task, part="train"):
    """The raw inputs of a part [N, T, D], padding as 0."""
    of = task.parts[part]
    raw = of.x.numpy() * task.deviation + task.mean
    if of.lengths is not None:
        raw[np.arange(raw.shape[1]) >= of.lengths.numpy()[:, None]] = 0
    return raw


def steps(series=20, length=6, header="id,t,f,label", row=None):
    """A table of a row per step; row(s, t) gives the cells, by default of two classes."""
    row = row or (lambda s, t: f"s{s},{t},{RNG.normal():.3f},{'ab'[s % 2]}")
    lines = [row(s, t) for s in range(series) for t in range(length)]
    return "\n".join([header, *lines, ""])


LONG = {"series": "id", "time": "t"}
WIDE = "a,b,c,label\n" + "".join(f"{i * i % 7},{i % 5}.5,{-i},{'xy'[i % 2]}\n" for i in range(30))


def forecast(rows, header="t,f,label"):
    return "\n".join([header, *rows, ""])


def daily(count=60, skip=(), step=1):
    days = pd.date_range("2024-01-01", periods=count, freq=f"{step}D").strftime("%Y-%m-%d")
    return [
        f"{day},{RNG.normal():.3f},{np.sin(n) + n % 3:.3f}"
        for n, day in enumerate(days)
        if n not in skip
    ]


FORECAST = {"kind": "forecast", "time": "t", "window": 3}

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
    page = (tmp_path / "outputs/s/report.html").read_text()
    assert told in page
    assert "reads 2 columns: f, same" in page


# --- one sentence ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "settings", "told"),
    [
        # fields
        (WIDE.replace("\n4,", "\n4,9,", 1), {}, "line 4 has 5 fields, the header has 4"),
        (WIDE.replace(",x\n", ",x,\n"), {}, "line 2 has 5 .*ends with a separator"),
        (WIDE.replace("\n4,", "\n", 1), {}, "line 4 has 3 fields.*empty one"),
        (WIDE.replace(".5", ",5"), {}, "line 2 has 5 fields.*task.decimal=comma"),
        (WIDE.replace(",", ";"), {}, "task.separator: .*set task.separator=semicolon"),
        (WIDE.replace(",", "\t"), {}, "set task.separator=tab"),
        (WIDE.replace(",", "|"), {}, "set task.separator=pipe"),
        (WIDE.replace(",", " "), {}, "task.separator=space"),
        (WIDE, {"separator": ";"}, "set task.separator=comma"),
        (WIDE.replace("x", '"x', 1), {}, "line 2.*a quote that opens a field must close it"),
        (WIDE.replace("x", '"x', 1).replace("y\n4,", 'y"\n4,', 1), {}, "field of line 2 .*rows"),
        ("# exported\n" + WIDE, {}, "line 2 has 4 fields, .*1 .*the first line must be the header"),
        ("sep=,\n" + WIDE, {}, "the first line must be the header"),
        ("Report of 2024,,,\n" + WIDE, {}, "names 1 of its 4 columns; it must be the header"),
        ("label\n1\n2,3\n", {"kind": "forecast"}, "line 3 has 2 fields"),
        ('"a,b,label"\n"1,2,x"\n', {}, "the header .* is one quoted field"),
        # settings
        (WIDE, {"separator": "xy"}, "separator must be one character"),
        (WIDE, {"separator": None}, "separator must be one character"),
        (WIDE, {"decimal": ";"}, "decimal must be point or comma"),
        (WIDE, {"thousands": "point"}, "thousands must be .* another than decimal"),
        (WIDE, {"encoding": "utf-9"}, "task.encoding: must be the name of an encoding"),
        (WIDE, {"encoding": "base64"}, "task.encoding"),
        (WIDE.encode("utf-16"), {"encoding": "latin-1"}, "byte order mark of utf-16"),
        (WIDE.encode("utf-16-le"), {}, "task.encoding=utf-16-le"),
        (WIDE.encode("utf-16-be"), {}, "task.encoding=utf-16-be"),
        (WIDE.replace("x", "é").encode("latin-1"), {}, "line 2.*task.encoding=latin-1"),
        (WIDE.encode(), {"encoding": "utf-16"}, "task.encoding: .* is not utf-16 text"),
        (WIDE, {"gaps": "fill", "missing": "mean"}, "task.gaps: needs task.time"),
        (WIDE, {"elapsed": True}, "task.elapsed: needs task.time"),
        (WIDE, {"resample": "1h"}, "task.resample: needs task.time"),
        (WIDE, {"season": 3}, "task.season: is for task.kind=forecast"),
        (WIDE, {"categories": "auto"}, "task.categories: .* need task.series"),
        (steps(), {**LONG, "resample": "0h"}, "task.resample: must be a span such as 1h"),
        (steps(), {**LONG, "resample": 5}, "task.resample: must be a span such as 1h"),
        (steps(), {**LONG, "resample": "1x"}, "task.resample: must be a span such as 1h"),
        (steps(), {**LONG, "resample": "1h"}, "task.resample: .* need dates"),
        (steps(), {**LONG, "gaps": "fill"}, "task.gaps: fill needs task.missing"),
        # headers
        ("a,b,a,label\n1,2,3,x\n", {}, "two columns named 'a', the 1. and the 3."),
        ("5.1,3.5,1.4,0.2,setosa\n4.9,3,1.4,.2,setosa\n", {"target": "setosa"}, "looks like data"),
        ("3.5,yes\n2.5,no\n", {"target": "yes"}, "looks like data"),
        ("s1,0,1.5,a\n" + steps(), {"target": "a"}, "looks like data"),
        ("2024-01-01,5.5,1\n" + steps(), {"target": "1"}, "looks like data"),
        ("label\n1,5\n2,5\n", {"kind": "forecast"}, "separator=semicolon task.decimal=comma"),
        # cells
        (WIDE.replace("\n4,", '\n"1,234",', 1), {}, "row 4 has '1,234'; task.thou.*1234"),
        (WIDE.replace(".5,", ".5 kg,"), {}, "column b .*row 2 has '0.5 kg'"),
        (WIDE.replace("\n4,", "\n4 %,", 1), {}, "row 4 has '4 %'; most others have no sign"),
        (WIDE.replace("\n", "\n$").replace("$4", "€4")[:-1], {}, "'€4'; most others have '\\$'"),
        (steps(row=lambda s, t: f"s{s},{t},{'t' if s == 3 else t % 2},{'ab'[s % 2]}"), LONG,
         "column f .*row 20 has 't'"),
        (WIDE.replace("\n4,", "\nx,", 1), {}, "row 4 has 'x'; or name the columns"),
        (
            WIDE.replace("\n", ",?\n").replace("label,?", "label,n", 1).replace("y,?", "y,3", 3),
            {},
            "column n .*has '\\?'",
        ),
        (WIDE.replace("\n4,", "\n,", 1), {}, "1 missing .*row 4, column a"),
        (WIDE.replace("\n4,", "\nNA,", 1), {}, "1 missing .*row 4, column a"),
        (WIDE.replace("\n4,", "\ninf,", 1), {}, "1 missing or infinite .*row 4, column a"),
        (WIDE.replace("x\n", "\n", 1), {}, "label is missing in row 2"),
        (steps().replace("\ns3,2", "\n,2"), LONG, "task.series: id is missing in row 22"),
        # roles
        (WIDE, {"features": ["a", "label"]}, "label is task.target and cannot be a feature"),
        (WIDE, {"features": ["a", "a"]}, "names 'a' twice"),
        (WIDE.replace(".5,", ".5,,").replace("b,c", "b,n,c"), {"features": ["n"]}, "n .* no value"),
        (steps(), {**LONG, "features": ["id", "f"]}, "id is task.series and cannot be a feature"),
        (steps(), {"series": "id", "time": "id"}, "task.time: id is task.series already"),
        (steps(), {**LONG, "group": "who"}, "task.group: .* no column 'who'"),
        (steps(), {**LONG, "group": "t"}, "task.group: t is task.time already"),
        ("f,label\n" + "".join(f"{n % 7},{n * n}\n" for n in range(50)), {}, "50 different .*regr"),
        (WIDE, {"kind": "regression", "target": "label"}, "column label .* must hold numbers"),
        (WIDE.replace("-3,", ","), {"kind": "regression", "target": "c", "features": ["a"]},
         "task.target: c is missing or infinite in row 5"),
        # time
        (steps().replace("\ns3,2,", "\ns3,1,"), LONG, "t repeats in 1 rows, the first row 22"),
        (steps().replace("\ns3,5,", "\ns3,9,"), LONG, "regular, every 1, .*row 25 of id 's3', 5"),
        (forecast(daily(skip=[20, 21])), FORECAST, "1 rows come late, the first row 22, 3 days"),
        (forecast([r for pair in zip(daily(), daily(), strict=True) for r in pair]), FORECAST,
         "Most times occur 2 times: several series are interleaved"),
        (forecast([f"{r},{n % 2}" for n, r in enumerate(
            r for pair in zip(daily(), daily(), strict=True) for r in pair)], "t,f,label,shop"),
         FORECAST, "apart \\(shop would\\)"),
        (steps().replace("\ns3,2,", "\ns3,,"), LONG, "task.time: .*row 22 has ''"),
        # a file that is none
        (b"PK\x03\x04rest", {}, "cannot be read as CSV"),
        (b"PAR1 and nothing", {}, "cannot be read as Parquet"),
    ],
)  # fmt: skip
def test_what_would_be_wrong_unnoticed_is_told(tmp_path, data, settings, told):
    with pytest.raises((StudyError, ValueError), match=told):
        loaded(tmp_path, data, **settings)


@pytest.mark.parametrize(
    ("data", "settings", "told"),
    [
        (WIDE.replace("x", "Y"), {}, "'Y' and 'y', which are read as two names"),
        (
            "f,label\n" + "".join(f"{n % 9},{('1', '1.0', '2')[n % 3]}\n" for n in range(60)),
            {},
            "'1' and '1.0', which are read as two names",
        ),
        (WIDE.replace("\n4,", "\n\n4,", 1), {}, "line 4 of mine.csv is blank"),
        (steps(row=lambda s, t: f"s{s},{t * t},{RNG.normal():.3f},{'ab'[s % 2]}"), LONG,
         "t is not regular, its steps are 1 to 9"),
        (steps(row=lambda s, t: f"s{s},{t},{s % 2}{t},{'ab'[s % 2]}"), LONG,
         "f predicts the target perfectly by itself: its ranges do not overlap"),
        (forecast(daily()[::-1]), {**FORECAST, "time": None}, "not in the order of column t"),
        (forecast(daily() + daily()), {**FORECAST, "time": None}, "repeat in 60 rows"),
        (forecast([f"{n // 2},{RNG.normal():.2f},{n % 7}" for n in range(60)]),
         {**FORECAST, "time": None}, "column t has each value in 2 rows"),
        (forecast([f"{n % 30},{RNG.normal():.2f},{n % 7}" for n in range(60)]),
         {**FORECAST, "time": None}, "column t begins again in row 32"),
        (forecast([f"{n},{(n + 2) ** 2 % 7},{n ** 2 % 7}" for n in range(60)]), FORECAST,
         "column f equals the target of 2 rows later"),
        (steps(row=lambda s, t: f"s{s},{t},{s},{float(s)}"), {**LONG, "kind": "regression"},
         "column f equals the target"),
        (steps(row=lambda s, t: f"s{s},{t},{s ** 3},{float(s)}"), {**LONG, "kind": "regression"},
         "column f predicts the target perfectly"),
        (steps(series=30, header="id,t,f,kind,label",
               row=lambda s, t: f"s{s},{t},{RNG.normal()},k{s % 3},{'abc'[s % 3]}"),
         {**LONG, "categories": "auto"}, "column kind predicts the target perfectly"),
        (forecast([r if n != 7 else r[:11] + "1," for n, r in enumerate(daily())]),
         {**FORECAST, "missing": "forward"}, "1 of the filled values are of the target label"),
        (steps(header="id,t,f,g,label",
               row=lambda s, t: f"s{s},{t},3,{RNG.normal()},{'ab'[s % 2]}"),
         LONG, "channel 'f': constant in training"),
        (steps(header="id,t,f,g,label",
               row=lambda s, t: f"s{s},{t},{RNG.normal()},{2**60 + 3 * s},{'ab'[s % 2]}"),
         LONG, "column g holds numbers such as .* rounded"),
    ],
)  # fmt: skip
def test_what_is_odd_is_a_warning(tmp_path, data, settings, told):
    task = loaded(tmp_path, data, **settings)
    assert any(pd.Series([*task.facts.warnings, ""]).str.contains(told)), task.facts.warnings


def test_honest_data_give_no_warning(tmp_path):
    for task in (
        loaded(tmp_path, steps(), **LONG),
        loaded(tmp_path, WIDE),
        loaded(tmp_path, forecast(daily()), **FORECAST),
    ):
        assert not task.facts.warnings


def test_rows_are_lines_of_the_file(tmp_path):
    """After a quoted line break and blank lines as well."""
    rows = [f'"note\nof {n}",{RNG.normal():.2f},{"ab"[n % 2]}' for n in range(20)]
    rows[3] += "\n"
    rows[10] = rows[10].replace(rows[10].split(",")[1], "o.5")
    with pytest.raises(StudyError, match=r"column f .*row 23 has 'o.5'"):
        loaded(tmp_path, "\n".join(["note,f,label", *rows]))
    lines = (tmp_path / "mine.csv").read_text().split("\n")
    assert "of 10" in lines[23]


# --- values that are probably something else ------------------------------------------------------

NORMAL = np.random.default_rng(1).normal(size=(60, 3)).round(3)


def three(cell=None, header="a,b,c,label", label=lambda n: "xy"[n % 2], count=60):
    """Rows of three numbers; cell(n) replaces the first of them, or None does not."""
    rows = []
    for n in range(count):
        made = cell and cell(n)
        rows.append(f"{NORMAL[n, 0] if made is None else made},{NORMAL[n, 1]},{NORMAL[n, 2]}")
    return "\n".join([header, *(f"{row},{label(n)}" for n, row in enumerate(rows)), ""])


def names(name):
    """Series with two writings of their names."""
    return steps(row=lambda s, t: f"{name(t)}{s},{t},{RNG.normal():.3f},{'ab'[s % 2]}")


@pytest.mark.parametrize(
    ("data", "settings", "told"),
    [
        # marks of missing values, at one end or both, of one spelling or several
        *(
            (three(lambda n, mark=mark: mark if n % 20 == 3 else None), {},
             f"column a holds {shown} in 3 rows, far from the other values")
            for mark, shown in (
                ("-999", "-999"), ("9999", "9999"), ("-9999.0", "-9999"), ("1e30", "1e\\+30"),
                ("99", "99"), ("-32768", "-32768"), ("1000", "1000"),
            )
        ),
        (three(lambda n: n % 20 - 4 and {0: "-999", 1: "-998", 2: "9999"}.get(n % 20)), {},
         "column a holds -998 in 3 rows"),
        (three(lambda n: -999 if n % 5 else None), {}, "column a holds -999 in 48 rows"),
        (three(lambda n: -999 if n % 20 == 3 else n * 7 % 4), {}, "column a holds -999 in 3 rows"),
        (three(lambda n: -1 if n == 30 else n * n), {}, "column a holds -1 in 1 rows"),
        (forecast([f"{n},1,{-999 if n in (20, 50) else n % 7 + n / 100}" for n in range(80)]),
         FORECAST, "column label holds -999 in 2 rows"),
        # thousands with the other mark
        (three(lambda n: f"{n * 71 + 300:,}".replace(",", ".")), {}, "1.010.*if it is 1010.*comma"),
        (three(lambda n: f"{n * 71 + 3000:,}").replace(",", ".").replace("a.b.c.", "a;b;c;")
         .replace(".-", ";-"), {"separator": ";", "features": ["a"]}, None),
        # what numbers are not
        (three(lambda n: f"{n * 7919 % 99999:05d}"), {}, "leading zeros are lost"),
        (three(lambda n: n * 7 % 60), {}, "column a numbers the rows, in another order"),
        (three(lambda n: n * 3 + 5), {}, "column a rises from row to row"),
        (three(header=",b,c,label"), {}, "column Unnamed: 0 has no name, and is left out"),
        (three(lambda n: f"202401{n % 28 + 1:02d}"), {}, "holds dates such as 20240101"),
        (three(lambda n: n * 7919 % 60_000 * 100), {}, "a varies .* times as much as "),
        (three(header="t10,t2,t9,label"), {}, "t2 comes after t10"),
        # rows that are none
        (three() + three().split("\n", 1)[1], {}, "60 rows are copies of others, the first row 62"),
        (three(header="n,b,c,label", cell=lambda n: f"p{n}" if n < 59 else "Gesamt"), {},
         "row 61 has 'Gesamt' in column n"),
        (three(header="n,b,c,label", cell=lambda n: f"p{n}" if n % 12 else "Sub-Total"), {},
         "'Sub-Total' in column n, and 4 more"),
        ("f,g,label\n" + "".join(f"{n % 5},{n % 4},{n % 7}\n" for n in range(70)) + "140,104,210",
         {"kind": "regression"}, "the last row, 72, has the sums of the rows above it"),
        (forecast([*daily(), "n. d.,1,1"]), {**FORECAST, "time": None}, "row 62 has 'n. d.'"),
        (forecast([f"{31 - n // 2:02d}/01/2024,1,{n % 5}" for n in range(60)]),
         {**FORECAST, "time": None}, "not in the order of column t"),
        (steps(header="id,day,f,label",
               row=lambda s, t: f"s{s},2024-01-{20 - t},{RNG.normal():.2f},{'ab'[s % 2]}"),
         {"series": "id"}, "not in the order of column day; task.time=day sorts them"),
        (forecast([f"{1700000000 - 60 * n},1,{n % 5}" for n in range(60)]),
         {**FORECAST, "time": None}, "column t falls from row to row"),
        *(
            (forecast([f"{day.strftime(form)},1,{n % 5}" for n, day in enumerate(
                pd.date_range("2024-01-11", periods=60, freq="17h")[::-1])]),
             {**FORECAST, "time": None}, "not in the order of column t")
            for form in ("%d/%m/%Y %H:%M", "%m/%d/%Y %H:%M", "%d.%m.%Y %H:%M:%S", "%d-%b-%Y %H:%M",
                         "%B %d. %Y %H:%M", "%Y/%m/%d %H:%M")
        ),
        (three(lambda n: 0 if n % 20 == 3 else 50 + n * 37 % 40), {}, "column a holds 0 in 3 rows"),
        (forecast([f"{n},{3.5 * ((n + 2) ** 2 % 71) + 1},{n ** 2 % 71}" for n in range(80)]),
         FORECAST, "column f is the target of 2 rows later, in another unit"),
        ("id,f,label\n" + "".join(
            f"s{n // 3 % 20},{n * 7 % 11},{'ab'[n // 3 % 2]}\n" for n in range(120)),
         {"series": "id"}, "20 series lie apart .* row 62 id 's0' begins again"),
        # names
        *(
            (names(name), LONG, "which are read as two names")
            for name in (
                lambda t: "s " + " " * (t % 2), lambda t: "s" + " \u00a0"[t % 2],
                lambda t: "s" + "\u200b" * (t % 2), lambda t: "cс"[t % 2], lambda t: "sｓ"[t % 2],
                lambda t: ("é", "e\u0301")[t % 2], lambda t: "Oο"[t % 2],
            )
        ),
        *(
            (three(label=lambda n, two=two: (*two, "y")[n % 3]), {}, "read as two names")
            for two in (
                ("class_a", "class a"), ("a-b", "a–b"), ("o'k", "o’k"), ("a & b", "a &amp; b"),
                ("Köln", "Koln"), ("part", "part."), ("s-1", "s1"),
            )
        ),
        (three(label=lambda n: ("KÃ¶ln", "Rom")[n % 2]), {}, "UTF-8 looks that was read as"),
        (steps(row=lambda s, t: f"{1 + s / 100:.2f}E+15,{t},{RNG.normal():.2f},{'ab'[s % 2]}"),
         LONG, "as spreadsheets round long numbers"),
        (three(label=lambda n: ("yes", "no", "True", "0")[n % 4]), {}, "read as two names"),
        (steps(row=lambda s, t: f"s{s},{t},{('Sun', 'sun', 'rain')[(s + t) % 3]},{'ab'[s % 2]}"),
         {**LONG, "categories": "auto"}, "'Sun' and 'sun', which are read as two names"),
        *(
            (three(label=lambda n, word=word: word if n % 9 == 0 else "xy"[n % 2]), {},
             "in 7 rows, which is read as a name")
            for word in ("NA", "nan", "None", "NULL", "#N/A", "\\N", "-", "?")
        ),
        (three(label=lambda n: ("a\x80", "b")[n % 2]).encode("latin-1"), {"encoding": "latin-1"},
         "task.encoding=cp1252 may be meant"),
    ],
)  # fmt: skip
def test_what_is_probably_something_else_is_a_warning(tmp_path, data, settings, told):
    if told is None:
        data = "a;label\n" + "".join(f"{n * 71 + 3000:,};{'xy'[n % 2]}\n" for n in range(60))
        data, settings, told = data.replace(",", "."), {"separator": ";"}, "if it is 3000, set"
    task = loaded(tmp_path, data, **settings)
    assert any(re.search(told, text) for text in task.facts.warnings), task.facts.warnings


def test_few_sentences_for_many_columns(tmp_path):
    rows = [[*(f"0{n * m * 37 % 971:03d}" for m in range(2, 10)), "xy"[n % 2]] for n in range(60)]
    task = loaded(tmp_path, "\n".join(",".join(row) for row in [[*"abcdefgh", "label"], *rows]))
    assert len([text for text in task.facts.warnings if "zeros" in text]) == 3
    assert "and 5 more columns like these" in task.facts.warnings


@pytest.mark.parametrize(
    "cell",
    [
        lambda n: f"{n * n % 11}.{n % 10}",
        lambda n: f"{n % 3 - 1}",
        lambda n: f"{n // 2 % 2}",
        lambda n: f"{0 if n % 3 else 100 + n % 7}",
        lambda n: f"{1.5 ** (n % 17):.2f}",
        lambda n: f"{n % 24:02d}",
        lambda n: f"{(n * 37 % 91) / 7:.3f}",
    ],
)
def test_usual_numbers_give_no_warning(tmp_path, cell):
    assert not loaded(tmp_path, three(cell)).facts.warnings


def test_names_that_differ_give_no_warning(tmp_path):
    for two in (
        ("1-12", "11-2"),
        ("A+", "A-"),
        ("C", "C#"),
        ("C++", "C"),
        ("1.5", "15"),
        ("は", "ば"),
    ):
        data = three(label=lambda n, two=two: two[n % 2])
        assert not loaded(tmp_path, data).facts.warnings, two


@pytest.mark.parametrize(
    "form", ["%d/%m/%Y %H:%M", "%m/%d/%Y %H:%M", "%d.%m.%y", "%d-%b-%Y", "%Y/%m/%d", "%b %Y"]
)
def test_dates_that_rise_give_no_warning(tmp_path, form):
    days = pd.date_range("2024-01-11", periods=60, freq="MS" if form == "%b %Y" else "1D")
    rows = [f"{day.strftime(form)},{n * 7 % 11},{n % 5}" for n, day in enumerate(days)]
    assert not loaded(tmp_path, forecast(rows), **{**FORECAST, "time": None}).facts.warnings


def test_one_wrong_date_in_figures_is_told(tmp_path):
    days = [*pd.date_range("2024-01-01", periods=60).strftime("%Y%m%d")]
    days[40] = "20240231"
    with pytest.raises(StudyError, match="row 42 has '20240231'"):
        loaded(tmp_path, forecast([f"{day},1,{n % 7}" for n, day in enumerate(days)]), **FORECAST)


def test_what_nobody_sees_is_no_part_of_a_column_name(tmp_path):
    for unseen in ("\u200b", "\ufeff", " \u00a0"):
        assert loaded(tmp_path, three(header=f"a,b{unseen},c,{unseen}label")).data.columns[1] == "b"


def test_arrays_have_suspects_too(tmp_path):
    x, y = np.random.default_rng(0).normal(size=(60, 8, 2)), np.arange(60) % 2
    marked, padded = x.copy(), x.copy()
    marked[3:40:7, 2] = -999
    for n in range(60):
        padded[n, 3 + n % 5 :] = 0
    for array, told in (
        (marked, "channel 0 of x and 1 more hold -999 in 12 places"),
        (padded, "all sequences end in 1 to 5 steps of 0"),
        (x, None),
        (x > 0, None),
    ):
        np.savez(tmp_path / "x.npz", x=array, y=y)
        task = Npz(path=str(tmp_path / "x.npz"), kind="classification", **SPLIT)
        task.load()
        warnings = task.facts.warnings
        assert any(told in text for text in warnings) if told else not warnings, warnings


def test_words_of_databases_and_spreadsheets_are_missing_values(tmp_path):
    for word in ("\\N", "#DIV/0!", "#VALUE!", "(null)", "NaT"):
        data = three(lambda n, word=word: word if n == 4 else None)
        with pytest.raises(StudyError, match="1 missing .*row 6, column a"):
            loaded(tmp_path, data)


def test_no_number_of_thousands_begins_with_0(tmp_path):
    data = three(lambda n: f'"{n % 2},{100 + n}"')
    with pytest.raises(StudyError, match="row 2 has '0,100'; .*decimal=comma"):
        loaded(tmp_path, data, thousands="comma")


def test_all_times_or_none_have_a_zone(tmp_path):
    days = pd.date_range("2024-01-01", periods=60, freq="h", tz="Europe/Berlin")
    text = [day.isoformat() if n > 30 else f"{day:%Y-%m-%dT%H:%M:%S}" for n, day in enumerate(days)]
    with pytest.raises(StudyError, match="none with a time zone; row 2 has '2024-01-01T00"):
        loaded(tmp_path, forecast([f"{day},1,{n % 7}" for n, day in enumerate(text)]), **FORECAST)


def test_levels_of_an_index_are_no_features(tmp_path):
    frame = pd.DataFrame(NORMAL, columns=list("abc")).assign(label=["x", "y"] * 30)
    frame.index = pd.MultiIndex.from_product([range(6), range(10)])
    task = loaded(tmp_path, frame.to_csv())
    assert task.data.columns == ["a", "b", "c"]
    assert set(task.data.left_out) == {"Unnamed: 0", "Unnamed: 1"}


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


# --- time -----------------------------------------------------------------------------------------


def test_weekends_and_months_are_no_gaps(tmp_path):
    for freq in ("B", "MS", "ME", "QS", "YS", "h", "W-MON"):
        days = pd.date_range("2020-01-31", periods=60, freq=freq).astype(str)
        rows = [f"{day},{RNG.normal():.3f},{n % 5}" for n, day in enumerate(days)]
        assert not loaded(tmp_path, forecast(rows), **FORECAST).facts.warnings, freq
        with pytest.raises(StudyError, match="come late, the first row 22"):
            loaded(tmp_path, forecast(rows[:20] + rows[21:]), **FORECAST)


def test_dates_in_figures_are_dates(tmp_path):
    days = pd.date_range("2024-01-01", periods=60).strftime("%Y%m%d")
    rows = [f"{day},{RNG.normal():.3f},{n % 5}" for n, day in enumerate(days)]
    assert not loaded(tmp_path, forecast(rows), **FORECAST).facts.warnings


def test_no_window_crosses_a_gap_that_is_split(tmp_path):
    rows = [f"{n},{n},{n}" for n in range(100) if n not in (30, 31, 70)]
    task = loaded(tmp_path, forecast(rows, "t,f,label"), **FORECAST, gaps="split", features=[])
    asked = 0
    for part, of in task.parts.items():
        seen = values(task, part)[:, :, -1]
        after = of.y[:, 0].numpy() * task.target_deviation + task.target_mean
        assert np.allclose(np.diff(np.column_stack([seen, after])), 1, atol=1e-3)
        asked += len(seen)
    assert asked == 97 - 3 * 3 - 3 * 2 and task.data.rules["persistence"] == pytest.approx(1)
    assert "2 rows come late" in task.facts.warnings[0]


def test_pieces_of_a_series_stay_together(tmp_path):
    data = steps(row=lambda s, t: f"s{s},{t + 9 * (t > 3)},{RNG.normal()},{'ab'[s % 2]}")
    task = loaded(tmp_path, data, **LONG, gaps="split")
    assert sorted(set(task.lengths)) == [2, 4]
    assert task.data.groups.tolist() == [f"s{s}" for s in range(20) for _ in range(2)]


def test_gaps_are_filled_with_rows(tmp_path):
    rows = [f"{n},{n},{n}" for n in range(60) if n not in (20, 21)]
    task = loaded(tmp_path, forecast(rows), **FORECAST, gaps="fill", missing="forward")
    assert sum(len(of.x) for of in task.parts.values()) == 60 - 9
    assert 19.0 in values(task)[19, :, 0].round() and 20.0 not in values(task)[:, :, 0].round()
    allowed = loaded(tmp_path, forecast(rows), **FORECAST, gaps="allow")
    assert sum(len(of.x) for of in allowed.parts.values()) == 58 - 9


def test_rows_are_resampled(tmp_path):
    stamps = pd.date_range("2024-01-01", periods=240, freq="15min").astype(str)
    rows = [f"{stamp},{n},{n}" for n, stamp in enumerate(stamps)]
    task = loaded(tmp_path, forecast(rows), **FORECAST, resample="1h")
    assert np.allclose(values(task)[0, :, 0], [1.5, 5.5, 9.5], atol=1e-3)
    by_series = steps(row=lambda s, t: f"s{s},2024-01-01T00:{t * 10:02d},{s},{'ab'[s % 2]}")
    task = loaded(tmp_path, by_series, **LONG, resample="30min")
    assert task.facts.steps == 2 and task.data.names[3] == "id 's3'"


def test_levels_are_shares_of_the_rows_that_are_read_as_one(tmp_path):
    data = steps(row=lambda s, t: f"s{s},2024-01-0{t + 1},{'xyyyyy'[t]},{'ab'[s % 2]}")
    task = loaded(tmp_path, data, **LONG, resample="2D", categories="auto")
    assert task.data.columns == ["f=x", "f=y"]
    assert np.allclose(values(task)[:], [[0.5, 0.5], [0, 1], [0, 1]], atol=1e-4)


def test_every_series_has_a_step_of_its_own(tmp_path):
    rows = [f"{n * step},{n % 5},{step}" for step in (1, 7) for n in range(60)]
    settings = {**FORECAST, "series": "shop"}
    assert not loaded(tmp_path, forecast(rows, "t,label,shop"), **settings).facts.warnings
    with pytest.raises(
        StudyError, match="every 7, but 1 rows come late, the first row 82 of shop 7"
    ):
        loaded(tmp_path, forecast(rows[:80] + rows[81:], "t,label,shop"), **settings)


def test_numbers_that_count_may_be_names_of_columns(tmp_path):
    for header in ("0,1,2", "2001,2002,2003", "0.5,1.0,1.5", "1,2,9", "3,2,1"):
        task = loaded(tmp_path, WIDE.replace("a,b,c", header))
        assert task.data.columns == header.split(",")


def test_the_time_since_the_last_row_is_an_input(tmp_path):
    data = steps(row=lambda s, t: f"s{s},{t * t},{RNG.normal()},{'ab'[s % 2]}")
    task = loaded(tmp_path, data, **LONG, elapsed=True)
    assert task.data.columns == ["f", "elapsed"] and not task.facts.warnings
    assert np.allclose(values(task)[:, :, 1], [0, 1, 3, 5, 7, 9], atol=1e-4)
    task = loaded(tmp_path, forecast(daily()), **FORECAST, elapsed=True)
    assert task.data.columns == ["f", "elapsed", "label"]
    assert task.facts.warnings == ()


def test_rows_that_step_back_are_sorted_and_told(tmp_path):
    lines = steps().splitlines()
    lines[5], lines[6] = lines[6], lines[5]
    task = loaded(tmp_path, "\n".join(lines), **LONG)
    assert "1 rows have an earlier t than the row before" in " ".join(task.facts.notes)
    assert "the first row 7" in " ".join(task.facts.notes)


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


# --- the rules by themselves ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "style", "value"),
    [
        ("1.5", Style(), 1.5),
        (".5", Style(), 0.5),
        ("5.", Style(), 5),
        ("1,5", Style(","), 1.5),
        ("1.5", Style(","), None),
        ("1.234,5", Style(",", "."), 1234.5),
        ("1,5", Style(thousands=","), None),
        ("12,34", Style(thousands=","), None),
        ("1,234", Style(), None),
        ("€ 5", Style(), 5),
        ("5 €", Style(), 5),
        ("$5 €", Style(), None),
        ("--5", Style(), None),
        ("(5)", Style(), None),
        ("0x1A", Style(), None),
        ("1_000", Style(), None),
        ("1.2.3", Style(), None),
        ("2024-01-31", Style(), None),
        ("12:30", Style(), None),
        ("-inf", Style(), -np.inf),
        ("", Style(), np.nan),
        ("n/a", Style(), np.nan),
        ("-", Style(), None),
    ],
)
def test_a_cell_is_a_number_or_not(text, style, value):
    cell = read_cell(text, style)
    assert (None if cell is None else cell.value) == pytest.approx(value, nan_ok=True)
    column = numbers(pa.chunked_array([[text, "x"]]), style)  # the vectorised rules agree
    assert (0 in column.wrong) == (value is None)
    assert column.values[0] == pytest.approx(np.nan if value is None else value, nan_ok=True)


@pytest.mark.parametrize(
    "cells",
    [
        ["1,234", "2,345"],
        ["1 234", "12 345"],
        ["12,34,567", "1,23,456"],
        ["5 kg", "7 kg"],
        ["EUR 5", "EUR 7.5"],
        ["US$ 5", "US$7"],
        ["5 EUR", "7 EUR"],
        ["1k", "2M", "3"],
        ["<5", "<10", "12"],
        ["(5)", "(7)"],
        ["0x1A", "0x1B"],
        ["1_000", "2_000"],
        ["-", "?", "5"],
        ["unknown", "unknown", "5"],
        ["5", "6", "7", "x"],
    ],
)
def test_what_looks_like_numbers_is_never_taken_for_text(cells):
    assert numbers(pa.chunked_array([cells]), Style()).meant


@pytest.mark.parametrize(
    "cells",
    [
        ["s1", "s2"],
        ["0", "M07b", "K1"],
        ["12A", "13B"],
        ["2024-01-31", "2024-02-01"],
        ["12:30", "12:31"],
        ["10.0.0.1", "10.0.0.2"],
        ["red", "green"],
        ["yes", "no", "maybe"],
        ["NA", "x", "y"],
    ],
)
def test_names_are_not_taken_for_numbers(cells):
    assert not numbers(pa.chunked_array([cells]), Style()).meant


def test_a_hint_names_the_key_that_would_read_a_cell():
    assert hint("1,234", Style()) == (
        "; task.thousands=comma reads it as 1234; task.decimal=comma reads it as 1.234"
    )
    assert "task.decimal=comma task.thousands=point" in hint("1.234,5", Style())
    assert hint("x", Style()) == ""


def test_a_long_column_of_text_is_not_tried_cell_by_cell():
    column = pa.chunked_array([[f"2024-01-01 {n}" for n in range(20_000)]])
    assert len(numbers(column, Style()).wrong) == 20_000
    mixed = pa.chunked_array([[*(f"w{n}" for n in range(20_000)), "5"]])
    assert numbers(mixed, Style()).share == pytest.approx(1 / 20_001)


@pytest.mark.parametrize(
    ("cells", "dates", "wrong"),
    [
        (["1", "2", "10"], False, []),
        (["0.5", "1", ""], False, [2]),
        (["2024-01-31", "2024-02-01T10:00", "x"], True, [2]),
        (["2024-01-31T00:00+01:00", "2024-01-31T00:00Z", ""], True, [2]),
        (["2024-01-31T00:00+01:00", "2024-01-31", "2024-02-01T05:00"], True, [1, 2]),
        (["2024013100", "2024013101"], True, []),
        (["20240131235959", "20240201000000"], True, []),
        (["1700000000", "1700003600"], False, []),
        (["20240131", "20240201"], True, []),
        (["20240131", "20241399"], False, []),
        (["202412", "202501"], True, []),
        (["31.12.2024", "01.01.2025"], True, [0, 1]),
    ],
)
def test_times_are_numbers_or_dates(cells, dates, wrong):
    found = times(pa.chunked_array([cells]))
    assert found.dates == dates
    assert found.wrong.tolist() == wrong


def test_times_in_nanoseconds_keep_their_order():
    stamps = [1_700_000_000_000_000_001 + n for n in range(3)]
    found = times(pa.chunked_array([[str(stamp) for stamp in stamps]]))
    assert found.stamps.tolist() == stamps


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
