"""Tables with something odd have one sentence that says so, and honest ones have none."""

from __future__ import annotations

import pandas as pd
import pytest

from study.records import StudyError
from tests.tasks.tables import FORECAST, LONG, RNG, WIDE, daily, forecast, loaded, steps


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
