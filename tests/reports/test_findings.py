"""Findings: report.json, what `check` reads, and pages that would contradict themselves."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from reports.analysis import contradictions
from reports.analysis.claim_ledger import all_claims
from reports.analysis.findings import findings
from reports.analysis.tallies import tally
from reports.api import load
from reports.data.study import Study
from reports.documents import page
from reports.documents.fail_if import claims
from reports.documents.findings_file import findings_text
from reports.findings.finding import NOT_TESTABLE, STRENGTHS
from reports.statistics import Estimate
from study.records import StudyError
from study.store import Store
from tests.reports.known import known_study

OWN = [
    {
        "statement": "GRU is better",
        "better": {"cell": "gru"},
        "worse": {"cell": "rnn"},
        "by": "score",
        "least": 0.02,
    },
    {
        "statement": "RNN is better",
        "better": {"cell": "rnn"},
        "worse": {"cell": "gru"},
        "by": "score",
        "least": 0.02,
    },
]


def point(labels: Any, seed: int, rng: Any) -> dict[str, Any]:
    gone = labels["cell"] == "rnn" and seed == 0
    return {
        "score": (0.93 if labels["cell"] == "gru" else 0.6) + 0.01 * rng.standard_normal(),
        "outcome": "silently diverged"
        if gone
        else "solved"
        if labels["cell"] == "gru"
        else "stuck",
        "ends_solved": labels["cell"] == "gru" and seed != 1,
    }


@pytest.fixture(scope="module")
def study() -> Study:
    return known_study(
        {"cell": ["rnn", "gru"], "initializer": ["orthogonal", "normal"]}, point, claims=OWN
    )


def test_the_file_has_every_finding_with_its_numbers(study: Study) -> None:
    made = json.loads(findings_text(study))
    assert made["schema"] == 1 and made["strengths"] == list(STRENGTHS)
    kinds = {one["kind"] for one in made["findings"]}
    assert {"count", "recommendation", "association", "selection", "claim"} <= kinds
    keys = {"kind", "subject", "measure", "strength", "effect", "low", "high", "n", "least"}
    keys |= {"rule", "scope", "why", "sentence", "points", "within"}
    for one in made["findings"]:
        assert set(one) == keys
        assert one["strength"] in (None, *STRENGTHS)
        assert one["why"] or one["strength"] not in ("not decided", "not testable")
        assert set(one["points"]) <= set(study.grid["id"])
    assert findings_text(study) == json.dumps(made, indent=1, ensure_ascii=False) + "\n"


def test_check_the_claims_and_the_file_say_the_same(study: Study) -> None:
    by_name = {one.subject: one.strength for one in findings(study) if one.kind == "claim"}
    assert claims(study) == {
        name: word
        for name, word in by_name.items()
        if word != NOT_TESTABLE or name in claims(study)
    }
    assert claims(study)["gru-is-better"] == "holds"
    assert claims(study)["rnn-is-better"] == "opposite"


def test_counts_are_those_of_the_points(study: Study) -> None:
    by_measure = {one.measure: one.effect for one in findings(study) if one.kind == "count"}
    found = tally(study.stored)
    assert found.lost == 2 and found.solved == 8 and found.ever == 10
    assert by_measure["solved at the end"].value == found.solved / found.n
    assert by_measure["solved at some time and kept it to the end"].value == 0.8


def test_findings_that_agree_pass(study: Study) -> None:
    contradictions.check_findings(study, findings(study))


def test_a_page_that_would_contradict_itself_is_not_written(
    small: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    every = list(findings(Study(small)))
    (solved,) = [one for one in every if one.measure == "solved at the end"]
    other = dataclasses.replace(solved, effect=Estimate(0.99, 0.9, 1.0, solved.effect.n))
    monkeypatch.setattr(page, "findings", lambda study: [*every, other])
    with pytest.raises(StudyError, match="would contradict itself"):
        page.page(Study(small))


def test_claims_that_cannot_both_be_true_are_named(study: Study) -> None:
    judged = all_claims(study).by_name
    wrong = dict(judged)
    wrong["rnn-is-better"] = dataclasses.replace(judged["rnn-is-better"], verdict="holds")
    assert contradictions.opposed(judged) == []
    assert "gru-is-better (holds) and rnn-is-better (holds)" in contradictions.opposed(wrong)[0]


def test_counts_that_do_not_add_up_are_named(study: Study) -> None:
    every = list(findings(study))
    assert contradictions.miscounted(study, every) == []
    (lost,) = [one for one in every if one.kind == "count" and one.measure.startswith("lost")]
    one_less = dataclasses.replace(lost, effect=Estimate(1 / 20, 0.0, 0.2, 20))
    (said,) = contradictions.miscounted(study, [one_less])
    assert said == "lost (diverged or silently diverged): 1 networks, and 2 by recipe"


def test_a_script_reads_the_same_findings(small_page: Path) -> None:
    made = json.loads((small_page.parent / "report.json").read_text(encoding="utf-8"))
    read = load(small_page.parent).findings
    assert [(one.kind, one.subject, one.strength or None) for one in read] == [
        (one["kind"], one["subject"], one["strength"]) for one in made["findings"]
    ]


def test_rendering_writes_the_file_beside_the_page(small_page: Path) -> None:
    made = json.loads((small_page.parent / "report.json").read_text(encoding="utf-8"))
    assert made["study"] == "small" and len(made["findings"]) > 10
