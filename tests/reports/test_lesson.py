"""Claims with a formula lead the page: answer, figure, formula."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from reports.analysis.claim_ledger import all_claims
from reports.blocks import Cards
from reports.data.study import Study
from reports.documents.templates import Templates, formula
from reports.sections.lesson import Lesson
from reports.sections.summary import Summary
from study.design.claims import check_claim
from study.records import StudyError
from tests import ROOT
from tests.reports.synthetic import make

CLAIM = {
    "statement": "Gates read better",
    "better": {"cell": "gru"},
    "worse": {"cell": "rnn"},
    "by": "score",
    "least": 0.02,
}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """Three claims, two of which have a formula; one network of gru is lost."""
    return Study(
        make(
            tmp_path_factory.mktemp("outputs") / "taught",
            factors={"cell": ["rnn", "gru"], "clip": ["none", "norm"]},
            steps=8,
            updates=40,
            diverged=(6,),
            tables=("history", "profile"),
            claims=[
                {**CLAIM, "formula": "z_{t-1} < x^2", "means": "A <b>gate</b> holds."},
                {**CLAIM, "statement": "Gates carry", "by": "D", "formula": "∏_k f_k"},
                {**CLAIM, "statement": "Clipping is plain", "when": {"clip": "norm"}},
            ],
        )
    )


def test_claims_with_a_formula_are_cards_and_no_others(study: Study) -> None:
    (block,) = Lesson().render(study).blocks
    assert isinstance(block, Cards)
    assert [one.statement for one in block.cards] == ["Gates read better", "Gates carry"]
    judged = list(all_claims(study).own.values())
    assert [judged[at].verdict in one.verdict for at, one in enumerate(block.cards)] == [True] * 2
    html = Templates()(block)
    assert "z<sub>t−1</sub> &lt; x<sup>2</sup>" in html and "∏<sub>k</sub> f<sub>k</sub>" in html
    assert "A &lt;b&gt;gate&lt;/b&gt; holds." in html
    said = [line.steps for line in Summary(trusted=5, draws=1000).render(study).blocks[0].lines]
    texts = [step.text for steps in said for step in steps]
    assert any(text.startswith("Clipping is plain: ") for text in texts)
    assert not any("Gates" in text for text in texts), "said once"


def test_figures_of_cards_have_a_line_per_network_of_both_sides(study: Study) -> None:
    (block,) = Lesson().render(study).blocks
    scores, lags = (str(one.figure.picture.svg) for one in block.cards)
    marks = re.compile(r'data-point="([^"]+)"><title>([^<]*)')
    ids = set(study.stored["id"])
    assert {id for id, _ in marks.findall(scores)} == ids and len(marks.findall(scores)) == 12
    found = marks.findall(lags)  # at the first and at the last probe
    assert {id for id, _ in found} == ids and len(found) == 24
    assert sum(text.endswith(", before training") for _, text in found) == 12
    assert len(block.cards[0].figure.table.rows) == 12


def test_a_study_without_formulas_has_no_lesson(tmp_path: Path) -> None:
    store = make(
        tmp_path / "plain",
        factors={"cell": ["rnn", "gru"]},
        steps=8,
        updates=40,
        tables=(),
        claims=[CLAIM],
    )
    assert Lesson().render(Study(store)).blocks == []


def test_the_textbook_has_a_formula_for_each_of_its_claims() -> None:
    text = (ROOT / "conf" / "experiment" / "textbook.yaml").read_text(encoding="utf-8")
    claims = yaml.safe_load(text)["study"]["claims"]
    assert len(claims) == 6 and all(one["formula"] and one["means"] for one in claims)
    for one in claims:
        check_claim(one, "textbook")
        assert not re.search(r"[_^{}]", re.sub("<[^>]*>", "", formula(one["formula"])))
    with pytest.raises(StudyError, match="formula must be a text"):
        check_claim({**CLAIM, "formula": 2}, "mine")
