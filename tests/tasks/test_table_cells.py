"""The rules by which cells are numbers, names and times, by themselves."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from study.tasks.shared.cells import Style, hint, read_cell
from study.tasks.shared.number_columns import numbers
from study.tasks.shared.times import times


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
