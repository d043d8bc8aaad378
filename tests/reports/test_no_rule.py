"""A task without a rule for solved: every section says so, and none counts its networks."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from reports.analysis.claims import judge
from reports.analysis.measures import measured
from reports.data.study import Study
from reports.documents.sections import declared_sections, render_section
from tests.reports.synthetic import TASK, edit_points, make

WITHOUT = {**TASK, "solved": None}
SMALL = {"factors": {"cell": ["rnn", "gru"], "clip": ["none", "norm"]}, "steps": 16, "updates": 80}


@pytest.fixture
def study(tmp_path: Path) -> Study:
    store = make(tmp_path / "none", **SMALL, examples=40, task=WITHOUT)
    edit_points(
        store,
        lambda row: {
            "solved_at": None,
            "ends_solved": None,
            **({"outcome": "learning"} if row.get("outcome") == "solved" else {}),
        },
    )
    return Study(store)


def test_no_section_counts_networks_that_solved_it(study: Study) -> None:
    parts = {one.name: render_section(one, study, one.name) for one in declared_sections()}
    assert not [name for name, part in parts.items() if part.broken]
    pages = {
        name: re.sub(r"<svg.*?</svg>|<[^>]+>", " ", "".join(map(str, part.blocks)), flags=re.S)
        for name, part in parts.items()
    }
    for name in ("summary", "design", "time_to_solve"):
        assert "There is no rule for solved" in pages[name], name
    assert "no rule" in pages["accuracy"]
    assert "n/a on validation" not in pages["accuracy"]
    assert "solved its task at the end" not in pages["summary"]


def test_claims_about_solving_are_not_testable(study: Study) -> None:
    assert measured(study, "solved").empty
    assert measured(study, "time").empty
    claim = {"statement": "x", "source": "y", "better": {"cell": "gru"}, "worse": {"cell": "rnn"}}
    for by in ("solved", "time"):
        found = judge(study, {**claim, "by": by, "least": 0.1}, unit=1.0)
        assert found.verdict == "not testable"
        assert "no rule for solved" in found.why


def test_skill_is_unknown_where_the_baseline_is_perfect(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    factors = {"task": ["digits", "adding"], "cell": ["rnn", "gru"], "clip": ["none", "norm"]}
    store = make(tmp_path / "two", factors=factors, steps=16, updates=80, examples=40)
    record = store.study()
    errors = {"metric": "mean squared error", "higher_is_better": False, "solved": None}
    tasks = {"digits": TASK, "adding": {**TASK, **errors, "baseline": 0.0, "baseline_loss": 0.0}}
    declared = {**record, "declaration": {**record["declaration"], "tasks": tasks}}
    monkeypatch.setattr(store, "study", lambda: declared)
    study = Study(store)
    assert study.as_skill
    of_adding = study.stored["task"] == "adding"
    assert study.stored.loc[of_adding, "score"].isna().all()
    assert study.stored.loc[~of_adding, "score"].notna().all()
    parts = {one.name: render_section(one, study, one.name) for one in declared_sections()}
    assert not [name for name, part in parts.items() if part.broken]
    told = "".join(map(str, parts["design"].blocks))
    assert "On adding the baseline is perfect: there is no skill to have." in told
