"""How often statements are wrong over random studies whose truth is known (simulated.py)."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from reports.analysis.contradictions import check_findings
from reports.analysis.findings import findings
from reports.data.study import Study
from study.store import Store
from tests.reports.simulated import LEAST, associations_wrong, judged, random_study, terms_wrong

STORES = sorted(
    path.parent
    for path in (Path(__file__).parents[1] / "compatibility" / "stores").glob("*/study.json")
)


@pytest.mark.slow
def test_at_most_one_decided_claim_in_twenty_is_wrong() -> None:
    total: Counter[str] = Counter()
    for by in LEAST:
        total += judged(range(5000, 5120), by)
    assert total["decided"] > 100
    assert total["wrong"] <= 0.05 * total["decided"], total


@pytest.mark.slow
def test_at_most_one_study_in_twenty_shows_a_term_that_is_not_there() -> None:
    """Family error .05 with binomial room for 150 studies."""
    found = terms_wrong(range(6000, 6150))
    assert found["studies with a wrong one"] <= 14, found


@pytest.mark.slow
def test_what_differs_between_cells_is_hardly_ever_called_an_association() -> None:
    found = associations_wrong(range(40))
    assert found["wrong"] <= 3 and found["pooled alone would be wrong"] >= 20, found


@pytest.mark.slow
def test_no_random_study_has_findings_that_contradict_each_other() -> None:
    for draw in range(100):
        study, _ = random_study(7000 + draw, sorted(LEAST)[draw % 4])
        check_findings(study, findings(study))


@pytest.mark.parametrize("store", STORES, ids=lambda path: path.name)
def test_no_stored_study_has_findings_that_contradict_each_other(store: Path) -> None:
    study = Study(Store(store))
    check_findings(study, findings(study))
