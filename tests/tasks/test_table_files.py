"""Files of tables: what wrote them, in which batches they are read, and the lines of their rows."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from study.records import StudyError
from study.tasks.shared import batches, delimited
from study.tasks.shared.cells import Style
from study.tasks.shared.number_columns import numbers, plain_numbers
from study.tasks.shared.table_files import read_table
from tests.tasks.tables import loaded, values

PLAIN = Style()


def written(tmp_path, text):
    path = tmp_path / "mine.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return str(path)


def read(path, **settings):
    return read_table(
        path, **{"separator": ",", "encoding": None, "style": PLAIN, "text": (), **settings}
    )


# --- batches --------------------------------------------------------------------------------------

LATE = [f"{n},{n % 7}.5,{n * n % 5},{'xy'[n % 2]}" for n in range(400)]


def edited(changes, rows=LATE):
    """The table with other rows in some places."""
    lines = list(rows)
    for place, line in changes.items():
        lines[place] = line
    return "i,a,b,label\n" + "".join(f"{line}\n" for line in lines)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {390: "390,word,1,x"},
        {n: f"{n},text{n},1,x" for n in range(200, 400)},
        {n: f"{n},NA,1,x" for n in range(150, 300)} | {399: "399,null,1,x"},
        {n: f"{n},,1,x" for n in range(400)},
        {300: '300,"5.5",1,"x\ny"', 301: "301,12 %,1,x"},
        {200: "200,nan(1),1,x", 201: "201,word,1,x"},
        {300: "", 350: "350,+5,1,x"},
        {300: "300,1.5,1"},
        {300: "300,1.5,1,x,y"},
        {300: "300,1.5,1,x\r301,2.5,1,y"},
        {300: '300,1.5,1,"x\ry"'},
        {300: '300,1.5,1, "x,y"'},
    ],
)
@pytest.mark.parametrize("text", [(), ("i", "label")])
def test_batches_of_any_size_are_one_table(tmp_path, monkeypatch, changes, text):
    """Numbers, texts, lines and refusals do not depend on where a batch ends."""
    path = written(tmp_path, edited(changes))
    found = []
    for block in (1, 300, batches.BLOCK):
        monkeypatch.setattr(batches, "BLOCK", block)
        try:
            table = read(path, text=text)
        except StudyError as error:
            found.append(str(error))
            continue
        columns = {
            name: (read.values.tobytes(), read.wrong.tolist(), read.meant, read.unit)
            for name, column in table.columns.items()
            for read in [numbers(column, PLAIN)]
        }
        texts = {name: table.written(name).to_pylist() for name in table.columns}
        lines = [table.row(n) for n in range(table.rows)]
        found.append((columns, texts, lines, table.warnings))
    assert found[0] == found[1] == found[2]


def test_a_line_may_be_longer_than_a_batch(tmp_path, monkeypatch):
    monkeypatch.setattr(batches, "BLOCK", 100)
    monkeypatch.setattr(delimited, "_texts", None)  # which reads row by row
    rows = [f"{n},{'x' * (5000 if n == 7 else 3)},{n}.5" for n in range(40)]
    table = read(written(tmp_path, "\n".join(["a,b,c", *rows])))
    assert len(table.columns["b"][7].as_py()) == 5000
    assert table.columns["c"].to_pylist() == [n + 0.5 for n in range(40)]


def test_only_columns_of_numbers_are_numbers_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(batches, "BLOCK", 1)
    rows = [f"{n},{n}.5,{'' if n % 3 else 'NA'},{n} %,id{n},{'1' if n < 300 else 'x'}"
            for n in range(400)]  # fmt: skip
    table = read(written(tmp_path, "\n".join(["i,a,gaps,share,id,late", *rows])), text=["i"])
    held = [name for name, column in table.columns.items() if pa.types.is_floating(column.type)]
    assert held == ["a", "gaps"]
    assert table.written("a").to_pylist() == [f"{n}.5" for n in range(400)]
    assert table.columns["late"].to_pylist() == ["1"] * 300 + ["x"] * 100
    assert table.sample("a").to_pylist()[:2] == ["0.5", "1.5"]


CELLS = (
    *("1", "-2.5", "+3", "1e5", ".5", "5.", "007", "1,5", "1.234,5", "1 234", "1'000", "0,123"),
    *("", " ", "NA", "nan", "-nan", "nan(1)", "null", "inf", "-Infinity", "1e999", "1e-400"),
    *("12 %", "$5", "true", "no", "0x10", "x", "2024-01-01", "−4", " 7 ", "1_0", "1e", "?"),
)


@pytest.mark.parametrize("style", [PLAIN, Style(","), Style(",", "."), Style(".", ",")])
def test_numbers_at_once_are_those_of_the_whole_column(style):
    rng, plain = np.random.default_rng(0), 0
    for _ in range(300):
        some = rng.choice(CELLS, int(rng.integers(1, 4)))
        column = pa.chunked_array([rng.choice(some, 20).tolist()])
        found = plain_numbers(column, style)
        if found is not None:
            plain += 1
            expected = numbers(column, style)
            assert not len(expected.wrong) and not expected.unit
            np.testing.assert_array_equal(found, expected.values, err_msg=str(some))
    assert plain > 50


# --- programs that wrote them ---------------------------------------------------------------------


def by_r(names, separator, quote='"', header_quote=None):
    """A table as R's write.table writes it: its rows have names, and its header has none."""
    mark = quote if header_quote is None else header_quote
    header = separator.join(f"{mark}{name}{mark}" for name in ("a", "b", "label"))
    rows = [
        separator.join([f"{quote}{name}{quote}", f"{n % 7}.5", str(n * n % 5), "xy"[n % 2]])
        for n, name in enumerate(names)
    ]
    return "\n".join([header, *rows, ""])


@pytest.mark.parametrize(
    ("data", "separator"),
    [
        (by_r(range(1, 41), ","), "comma"),
        (by_r([f"n{n}" for n in range(40)], ","), "comma"),
        (by_r(range(1, 41), " "), "space"),
        (by_r(range(1, 41), "\t", quote=""), "tab"),
    ],
)
def test_names_of_rows_by_r_are_no_features(tmp_path, data, separator):
    task = loaded(tmp_path, data, separator=separator)
    assert list(task.data.columns) == ["a", "b"]
    assert "Unnamed: 0" in task.data.left_out
    assert "one field more than its header" in " ".join(task.facts.warnings)
    with_header = "\n".join(f"{float(n % 7) + 0.5},{n * n % 5},{'xy'[n % 2]}" for n in range(40))
    plain = loaded(tmp_path, f"a,b,label\n{with_header}\n")
    np.testing.assert_array_equal(values(task), values(plain))


R_REMEDY = "col.names=NA"


@pytest.mark.parametrize(
    ("data", "settings", "told"),
    [
        # 1,5 may be a number too
        (by_r(range(1, 41), ",", quote=""), {}, R_REMEDY),
        # not the name of a row
        (by_r(["n1"] * 40, ","), {}, "line 2 has 4 fields, the header has 3"),
        (by_r(range(1, 41), "\t", quote="").replace("\n7\t", "\n9\t"), {"separator": "tab"},
         "line 2 has 4 fields, the header has 3"),
        (by_r(range(1, 41), ",") + "1.5,2,x\n", {}, "line 42 has 3 fields, the rows above it 4"),
        # the separator, not a quote
        (by_r(range(1, 41), " "), {}, "task.separator=space"),
        (by_r(range(1, 41), "\t"), {}, "task.separator=tab"),
        (by_r(range(1, 41), ";"), {}, "task.separator=semicolon"),
    ],
)  # fmt: skip
def test_other_tables_by_r_are_refused_for_what_they_are(tmp_path, data, settings, told):
    with pytest.raises(StudyError) as error:
        loaded(tmp_path, data, **settings)
    assert told in str(error.value)
    assert "decimal comma" not in str(error.value)


@pytest.mark.parametrize("place", [0, 1, 20, 39])
def test_lone_carriage_returns_among_line_feeds_are_refused(tmp_path, place):
    lines = ["a,b,label", *(f"{n},{n * n % 5},{'xy'[n % 2]}" for n in range(40))]
    data = "".join(line + ("\r" if n == place else "\n") for n, line in enumerate(lines))
    with pytest.raises(StudyError) as error:
        loaded(tmp_path, data)
    assert f"line {place + 1} " in str(error.value) and "carriage return" in str(error.value)
    assert "quote" not in str(error.value)
    assert loaded(tmp_path, data.replace("\r", "\n")).data.columns
