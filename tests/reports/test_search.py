"""The report of a tuned study: what the search wrote is told and drawn, and a study without one
says nothing of it.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from reports.data.search import find
from reports.data.study import Study
from reports.documents.page import write
from reports.documents.sections import declared_sections, render_section
from reports.sections.tuning import budget_words, cautions, gain_words
from study.search.run import finish
from study.store import Store
from tests.reports.synthetic import make
from tests.search.helpers import plan, searched

ARMS = ["cell=rnn,lstm", "initializer=orthogonal,normal"]
FACTORS = {"cell": ["rnn", "lstm"], "initializer": ["orthogonal", "normal"], "tuned": [False, True]}
SECTIONS = ("tuning", "search_history", "search_slices", "search_importance", "search_parallel")


def tuned_study(folder: Path, *arguments: str) -> Study:
    """A study made by hand with a search that really ran beside it, on a known objective."""
    make(
        folder / "tuned",
        factors=FACTORS,
        updates=60,
        steps=12,
        examples=40,
        tables=("history", "test"),
    )
    spec, asks = plan(
        folder, "search/objective=bowl", "task.form=row", "name=tuned", *ARMS, *arguments
    )
    slots, _ = searched(spec)
    finish(spec, asks, slots, title=None, question=None)
    return Study(Store(folder / "tuned"))


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return tuned_study(
        tmp_path_factory.mktemp("outputs"),
        "search=default",
        "search.trials=12",
        "search/pruner=median",
        "search.budget=trials",
    )


def rendered(study: Study, name: str):
    one = next(section for section in declared_sections() if section.name == name)
    return render_section(one, study, one.name)


def test_the_budget_the_gain_and_the_edges_are_told(study):
    search = find(study)
    assert search is not None
    said = budget_words(search)
    assert "12 trials for each of 4 recipes" in said
    assert "ended early" in said
    gains = gain_words(study, search)
    assert "in 4 of 4 recipes" in gains
    assert re.search(r"fresh seeds, (tuned|default) recipes are better by .* in accuracy", gains)
    edges = sum(len(arm["best"]["boundary"]) for arm in search.arms)
    notices = cautions(search)
    assert sum(len(notice.items) for notice in notices) == edges


@pytest.mark.parametrize("name", SECTIONS)
def test_every_section_has_something_to_show(study, name):
    section = rendered(study, name)
    assert not section.broken
    text = "".join(map(str, section.blocks))
    assert "cell" not in text or "lstm" in text
    assert "orthogonal" in text
    if name != "tuning":
        assert "<svg" in text
        assert "The numbers behind the figure" in text


def test_the_front_of_several_objectives_is_drawn_and_only_there(study, tmp_path):
    assert rendered(study, "search_front").blocks == []
    several = tuned_study(tmp_path, "search=pareto", "search.trials=8")
    section = rendered(several, "search_front")
    assert not section.broken
    text = "".join(map(str, section.blocks))
    assert text.count("<svg") == 2
    assert "health" in text and "cost" in text
    for name in (*SECTIONS, "search_front"):
        assert not rendered(several, name).broken


def test_one_arm_and_levels_that_are_words(tmp_path):
    make(
        tmp_path / "tuned",
        factors={"tuned": [False, True]},
        updates=60,
        steps=12,
        examples=40,
        tables=("history",),
    )
    spec, asks = plan(
        tmp_path,
        "search/objective=bowl",
        "task.form=row",
        "name=tuned",
        "search=lr",
        "search.per=[]",
        "clip=choice(none,norm,value)",
        "search.trials=8",
    )
    slots, _ = searched(spec)
    finish(spec, asks, slots, title=None, question=None)
    for name in SECTIONS:
        section = rendered(Study(Store(tmp_path / "tuned")), name)
        assert not section.broken, section.blocks
        assert "norm" in "".join(map(str, section.blocks)) or name in (
            "search_history",
            "search_importance",
        )


def test_a_study_without_a_search_says_nothing_of_one(small_page):
    text = small_page.read_text()
    assert "Score by searched key" not in text
    assert ">Tuning<" not in text


def test_the_search_of_another_folder_is_found_and_the_page_is_stable(study):
    folder = study.store.folder
    first = write(folder).read_text()
    assert "Tuning" in first
    assert write(folder).read_text() == first
    assert str(folder) not in first
    there = Study(
        make(
            folder.parent / "other",
            factors=FACTORS,
            updates=60,
            steps=12,
            examples=40,
            tables=("history",),
        )
    )
    assert find(there) is None
    there.declaration = {**there.declaration, "search": "../elsewhere/search"}
    assert find(there) is None
    there.declaration = {**there.declaration, "search": "../tuned/search"}
    assert find(there) is not None
