"""A sceptic's battery for pages: what a page must say of a study whose truth is known, and what
no section may say of it. A section that is added is held to it as well.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from reports.analysis.contradictions import check_findings
from reports.analysis.findings import findings
from reports.data.study import Study
from tests.reports.known import known_study
from tests.reports.page_text import page_text

GRID = {"cell": ["rnn", "gru"], "initializer": ["orthogonal", "normal"], "clip": ["none", "norm"]}
CLAIM = {
    "statement": "Orthogonal weights are better",
    "better": {"initializer": "orthogonal"},
    "worse": {"initializer": "normal"},
    "by": "score",
    "least": 0.02,
}
SOONER = {**CLAIM, "statement": "Orthogonal weights solve sooner", "by": "time", "least": 0.1}
# Of an effect of the initializer or the cell on the score, in any section.
EFFECT_SHOWN = r"shown for [^.]*\b(initializer|cell)\b|explained by [^.]*\b(initializer|cell)\b"


@dataclass(frozen=True)
class Case:
    """A study, and patterns that its page must have and may not have."""

    study: Callable[[], Study]
    must: tuple[str, ...]
    must_not: tuple[str, ...]


def noise(score: Callable[[Mapping[str, Any]], float], sd: float = 0.01) -> Any:
    def point(labels: Mapping[str, Any], seed: int, rng: Any) -> dict[str, Any]:
        return {"score": score(labels) + sd * rng.standard_normal()}

    return point


def good(labels: Mapping[str, Any]) -> float:
    return float(labels["initializer"] == "orthogonal")


def lost_once(labels: Mapping[str, Any], seed: int, rng: Any) -> dict[str, Any]:
    """Every seed meets the rule, and one of the best arm is back at chance at the end."""
    gone = labels == {"cell": "gru", "initializer": "orthogonal", "clip": "none"} and seed == 0
    return {
        "score": 0.93 + 0.002 * rng.standard_normal() + 0.01 * gone,
        "final_score": 0.1 if gone else 0.93,
        "outcome": "silently diverged" if gone else "solved",
        "ends_solved": not gone,
    }


def simpson(labels: Mapping[str, Any], seed: int, rng: Any) -> dict[str, Any]:
    """GRUs carry and mostly solve, plain networks do neither; within a cell D says nothing."""
    gru = labels["cell"] == "gru"
    solved = rng.random() < (0.8 if gru else 0.2)
    D = (-1.0 if gru else -8.0) + rng.standard_normal()
    return {"score": 0.95 if solved else 0.5 + 0.01 * rng.standard_normal(), "D": D}


def early(labels: Mapping[str, Any], seed: int, rng: Any) -> dict[str, Any]:
    ended = labels["cell"] == "gru"
    return {
        "score": (0.93 if ended else 0.6) + 0.005 * rng.standard_normal(),
        "ended_early": "solved" if ended else None,
        "updates_done": 150.0 + seed if ended else 400.0,
        "updates_saved": 250.0 - seed if ended else 0.0,
    }


def few_missing(labels: Mapping[str, Any], seed: int) -> bool:
    return labels["cell"] == "gru" and labels["initializer"] == "normal" and seed > 1


CASES = {
    "null": Case(
        lambda: known_study(GRID, noise(lambda labels: 0.5), claims=[CLAIM]),
        (r"Orthogonal weights are better: too small to matter here \(T = 64\)",),
        (EFFECT_SHOWN, r"Orthogonal weights are better: (holds|opposite|mixed)"),
    ),
    "one main effect": Case(
        lambda: known_study(GRID, noise(lambda labels: 0.5 + 0.2 * good(labels)), claims=[CLAIM]),
        (
            r"Orthogonal weights are better: holds here \(T = 64\)",
            r"initializer 0\.\d+ \[[^]]*\] \(orthogonal 0\.\d+, normal 0\.\d+\)",
        ),
        (r"× \w+ explains", r"\b(cell|initializer|clip) depends on"),
    ),
    "crossing": Case(
        lambda: known_study(
            {"clip": ["none", "norm"], "optimizer.lr": [0.01, 0.05], "cell": ["rnn", "gru"]},
            noise(
                lambda labels: (
                    0.5
                    + (0.1 if labels["clip"] == "norm" else -0.1)
                    * (1 if labels["optimizer.lr"] == 0.05 else -1)
                )
            ),
            claims=[
                {
                    **CLAIM,
                    "statement": "Clipping is better",
                    "better": {"clip": "norm"},
                    "worse": {"clip": "none"},
                }
            ],
        ),
        (
            r"Clipping is better: mixed here",
            r"learning rate 0\.01 no, the opposite",
            r"learning rate 0\.05 yes",
            r"[Cc]lip × optimizer\.lr explains",
        ),
        (r"No interaction is shown", r"Averaged over everything else[^.]*\bclip 0"),
    ),
    "Simpson": Case(
        lambda: known_study(GRID, simpson, seeds=12),
        (r"is not shown to go with solving the task here",),
        (r"the healthier, the more often solved",),
    ),
    "confounded by exclusion": Case(
        lambda: known_study(
            GRID,
            noise(lambda labels: 0.5 + 0.3 * good(labels)),
            excluded=lambda labels: (labels["cell"] == "gru") != (good(labels) > 0),
        ),
        (r"cell and initializer are confounded", r"no two recipes differ in one of them alone"),
        (r"goes with higher interactions", r"explained by [^.]*higher interactions"),
    ),
    "ceiling": Case(
        lambda: known_study(GRID, noise(lambda labels: 0.996, 0.001), claims=[CLAIM]),
        (r"so close to a perfect score",),
        (r"Orthogonal weights are better: (holds|opposite|too small)", r", 1\.0*[1-9]\d*\]"),
    ),
    "all censored": Case(
        lambda: known_study(GRID, noise(lambda labels: 0.5), claims=[SOONER]),
        (
            r"Orthogonal weights solve sooner: not decided here",
            r"[Nn]o network on either side met the task's rule",
            r"None of 40 networks|[Nn]one of 40",
        ),
        (r"Orthogonal weights solve sooner: (holds|opposite|too small)",),
    ),
    "one silent divergence": Case(
        lambda: known_study(GRID, lost_once),
        (
            r"39 of 40 networks solved the task at the end",
            r"1 network diverged silently",
            r"1 more met its rule at an earlier validation",
        ),
        (
            r"gru · orthogonal · clip none \(by ",
            r"all 40 networks? solved",
            r"40 of 40 [^.;]*at the end",
        ),
    ),
    "unequal variance": Case(
        lambda: known_study(
            GRID,
            lambda labels, seed, rng: {
                "score": 0.5 + (0.1 if labels["cell"] == "rnn" else 0.005) * rng.standard_normal()
            },
            claims=[CLAIM],
        ),
        (),
        (EFFECT_SHOWN, r"Orthogonal weights are better: (holds|opposite|mixed)"),
    ),
    "missing networks": Case(
        lambda: known_study(GRID, noise(lambda labels: 0.5), missing=few_missing, claims=[CLAIM]),
        (r"INCOMPLETE 34/40", r"Orthogonal weights are better: too small to matter here"),
        (EFFECT_SHOWN,),
    ),
    "one seed": Case(
        lambda: known_study(
            GRID, noise(lambda labels: 0.5 + 0.2 * good(labels)), seeds=1, claims=[CLAIM]
        ),
        (r"Orthogonal weights are better: not decided here",),
        (EFFECT_SHOWN, r"Orthogonal weights are better: (holds|opposite|too small)"),
    ),
    "mixed early ends": Case(
        lambda: known_study(GRID, early, claims=[CLAIM]),
        (
            r"20 of 40 networks were trained no further once the task was solved",
            r"a difference in score may be one of training time",
        ),
        (),
    ),
}
# What no page may say, whatever the study.
NEVER = (
    r"\b(supported|refuted|inconclusive)\b",
    r"\bnan\b|\binf\b",
    r"0\.0+ ± 0\.0+\b",
    r"recurrence is forgets",
    r"\[1\.\d\d, 1\.\d\d\]",
)


@pytest.fixture(scope="module", params=CASES)
def case(request: pytest.FixtureRequest) -> tuple[Case, Study, dict[str, str]]:
    made: Case = CASES[request.param]
    study = made.study()
    return made, study, page_text(study)


def test_the_page_says_what_it_must(case: tuple[Case, Study, dict[str, str]]) -> None:
    made, _, said = case
    text = " ".join(said.values())
    for pattern in made.must:
        assert re.search(pattern, text), pattern


def test_no_section_says_what_it_may_not(case: tuple[Case, Study, dict[str, str]]) -> None:
    made, _, said = case
    for section, text in said.items():
        if section in ("method", "glossary"):  # these describe words and rules
            continue
        for pattern in (*made.must_not, *NEVER):
            found = re.search(pattern, text)
            assert not found, f"{section}: …{text[found.start() - 80 : found.end() + 80]}…"


def test_its_findings_do_not_contradict_each_other(
    case: tuple[Case, Study, dict[str, str]],
) -> None:
    _, study, _ = case
    check_findings(study, findings(study))


def test_numbers_that_mean_the_same_are_the_same(case: tuple[Case, Study, dict[str, str]]) -> None:
    """Solved at the end, and lost, in the summary, the tables by arm and the recipe."""
    _, study, said = case
    by_measure = {one.measure: one.effect for one in findings(study) if one.kind == "count"}
    solved = by_measure["solved at the end"]
    hits = round(solved.value * solved.n)
    first = re.search(r"(all|none of|\d+ of|All|None of) (\d+) networks? solved", said["summary"])
    assert first is not None
    word = first[1].lower().removesuffix(" of")
    assert {"all": solved.n, "none": 0}.get(word, int(word) if word.isdigit() else -1) == hits
    for section, column in (("accuracy", r"(\d+)/(\d+) \["),):
        table = said[section].split("Means by factor level")[0]
        assert sum(int(found[1]) for found in re.finditer(column, table)) == hits, section
