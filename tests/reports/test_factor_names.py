"""Factors whose names the page also needs for something else: sizes, and names with one end."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from reports.analysis.associations import at_share
from reports.analysis.ends import different_stopping_points
from reports.data.study import Study
from reports.documents.plain_names import with_plain_names
from reports.documents.sections import declared_sections, render_section
from reports.formatting import short_names
from tests.reports.synthetic import edit_points, make

SMALL = {"steps": 16, "updates": 80, "examples": 40}


def html_of(study: Study) -> dict[str, str]:
    """Every section of the page, none of them broken."""
    rendered = [
        render_section(one, study, f"part-{number}")
        for number, one in enumerate(declared_sections())
    ]
    assert [one.title for one in rendered if one.broken] == []
    return {one.title: "".join(map(str, one.blocks)) for one in rendered}


@pytest.mark.parametrize(
    "sizes",
    [
        {"updates": [80, 200]},
        {"hidden": [8, 16], "batch": [4, 128]},
        {"depth": [1, 2], "updates": [80, 200]},
    ],
    ids=lambda sizes: " × ".join(sizes),
)
def test_a_size_as_a_factor_breaks_no_section_and_no_sum(
    tmp_path: Path, sizes: dict[str, list[int]]
) -> None:
    store = make(tmp_path / "sizes", factors={"cell": ["rnn", "gru"], **sizes}, **SMALL)
    saved = edit_points(
        store,
        lambda row: {
            "ended_early": "solved",
            "solved_at": 30,
            "updates_saved": row["updates"] - 40,
            "updates_done": 40,
        },
    )
    study = Study(store)
    pages = html_of(study)
    planned = sum(row["updates"] for row in saved)
    less = sum(row["updates_saved"] for row in saved)
    assert f"{less:,} of {planned:,} updates were saved" in pages["Cost"]
    assert re.search(r"\d{3}(,\d{3}){4}", pages["Cost"]) is None, "texts were joined"
    assert len(at_share(study, 0.1)) == len(study.stored)
    whole = study.stored.assign(ended_early=["solved", *[None] * (len(study.stored) - 1)])
    most = max(sizes.get("updates", [80]))
    assert f"the others for up to {most}" in different_stopping_points(whole)


def test_short_names_are_as_long_as_it_takes() -> None:
    assert short_names(["cell", "optimizer.lr"]) == {
        "cell": "cell",
        "optimizer.lr": "learning rate",
    }
    assert short_names(["task.length", "encoder.length", "lr"]) == {
        "task.length": "task length",
        "encoder.length": "encoder length",
        "lr": "learning rate",
    }
    deep = short_names(["a.x.lr", "b.x.lr", "b.y.lr", "lr"])
    assert list(deep.values()) == [f"{path}learning rate" for path in ("a x ", "b x ", "y ", "")]


def test_names_that_words_would_make_alike_stay_as_they_are() -> None:
    assert short_names(["lr", "learning_rate"]) == {"lr": "lr", "learning_rate": "learning_rate"}
    assert short_names(["a column", "x-y"]) == {"a column": "a column", "x-y": "x-y"}


def test_a_page_calls_factors_by_words_and_commands_by_keys() -> None:
    html = (
        '<p title="clip × optimizer.lr">Optimizer.lr 2: clip × optimizer.lr</p>'
        '<pre>optimizer.lr 1</pre><p data-key="optimizer.lr">optimizer.lr=1, my.optimizer.lr</p>'
    )
    made = with_plain_names(html, {"optimizer.lr": "learning rate", "clip": "clip"})
    assert made == (
        '<p title="clip × learning rate">Learning rate 2: clip × learning rate</p>'
        '<pre>optimizer.lr 1</pre><p data-key="optimizer.lr">optimizer.lr=1, my.optimizer.lr</p>'
    )


def test_two_factors_that_end_alike_are_told_apart_everywhere(tmp_path: Path) -> None:
    """Both would be "lr", and "lr 0.1 · lr 0.2" says nothing."""
    store = make(
        tmp_path / "same",
        factors={"cell": ["rnn", "gru"], "optimizer.lr": [0.1, 0.3], "cell.lr": [0.1, 0.2]},
        claims=[
            {
                "statement": "A larger rate is better",
                "better": {"optimizer.lr": 0.3},
                "worse": {"optimizer.lr": 0.1},
                "by": "score",
                "least": 0.01,
            }
        ],
        **SMALL,
    )
    pages = html_of(Study(store))
    whole = " ".join(pages.values())
    assert "optimizer learning rate 0.1" in whole and "cell learning rate 0.2" in whole
    assert re.findall(r"(?<![.\w])lr 0\.\d", whole) == []
