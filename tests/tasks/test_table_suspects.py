"""Values, rows and columns that are probably something else are a warning."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest

from study.records import StudyError
from study.tasks.npz import Npz
from tests.tasks.tables import FORECAST, LONG, RNG, daily, forecast, loaded, steps
from tests.tasks.test_own_data import SPLIT

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
