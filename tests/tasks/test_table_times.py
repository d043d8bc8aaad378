"""Rows in time: order, gaps, dates."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from study.records import StudyError
from tests.tasks.tables import FORECAST, LONG, RNG, WIDE, daily, forecast, loaded, steps, values


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


# --- dates in other writings ---------------------------------------------------------------------


def dated(form, first="2024-01-01", count=60, step="D", other=None):
    days = pd.date_range(first, periods=count, freq=step)
    cells = [day.strftime(form) for day in days]
    for place, cell in (other or {}).items():
        cells[place] = cell
    rows = [f"{cell},{n * n % 7},{n % 5}.5" for n, cell in enumerate(cells)]
    return "\n".join(["t,f,label", *rows, ""])


@pytest.mark.parametrize(
    ("form", "given"),
    [
        ("%d/%m/%Y", None),
        ("%m/%d/%Y", None),
        ("%d.%m.%Y %H:%M", None),
        ("%m-%d-%Y %H:%M:%S", None),
        ("%d/%m/%Y", "%d/%m/%Y"),
        ("%d-%b-%y", "%d-%b-%y"),
        ("%b %d %Y %I:%M %p", "%b %d %Y %I:%M %p"),
    ],
)
def test_dates_in_other_writings_are_dates(tmp_path, form, given):
    task = loaded(tmp_path, dated(form), date_format=given, **FORECAST)
    plain = loaded(tmp_path, dated("%Y-%m-%d"), **FORECAST)
    assert task.data_hash() == plain.data_hash()
    assert (f"t: dates are read as {form}" in task.facts.notes) == (given is None)


@pytest.mark.parametrize(
    ("data", "given", "told"),
    [
        # 12 days: each can be a month
        (dated("%d/%m/%Y", count=12), None,
         "task.date_format=%d/%m/%Y or task.date_format=%m/%d/%Y"),
        (dated("%d-%b-%y"), None, "task.date_format"),
        (dated("%d/%m/%Y", other={40: ""}), None, "row 42 has ''"),
        (dated("%d/%m/%Y", other={40: "2024-02-10"}), None, "row 42 has '2024-02-10'"),
        (dated("%d/%m/%Y"), "%m/%d/%Y", "row 14 has '13/01/2024'"),
        (dated("%d/%m/%Y", other={40: "30/02/2024"}), "%d/%m/%Y", "row 42 has '30/02/2024'"),
        (dated("%d/%m/%Y %H:%M", count=12), None, "task.date_format='\"%d/%m/%Y %H:%M\"' or"),
    ],
)  # fmt: skip
def test_dates_that_may_be_two_days_are_refused(tmp_path, data, given, told):
    with pytest.raises(StudyError) as error:
        loaded(tmp_path, data, date_format=given, **FORECAST)
    assert told in str(error.value)


@pytest.mark.parametrize("form", ["%d/%m", "day first", "%Y", 3])
def test_a_format_has_year_and_month(tmp_path, form):
    with pytest.raises(ValueError, match="date_format must be"):
        loaded(tmp_path, dated("%Y-%m-%d"), date_format=form, **FORECAST)


def test_a_format_without_dates_is_refused(tmp_path):
    with pytest.raises(StudyError, match=r"task.date_format: needs task.time"):
        loaded(tmp_path, dated("%Y-%m-%d"), date_format="%Y-%m-%d", kind="forecast", window=3)
