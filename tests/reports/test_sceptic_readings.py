"""Sentences that were false or unclear on the pages of studies of other kinds: nobody learns,
networks diverge under an error as metric, tiny errors, one arm, sizes as factors.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pandas as pd
import pytest

from reports.data.study import Study
from tests.reports.known import known_study
from tests.reports.page_text import page_text
from tests.reports.test_sceptic_pages import GRID, noise

ERROR = {
    "metric": "mean squared error",
    "higher_is_better": False,
    "baseline": 0.1667,
    "baseline_loss": 0.1667,
    "solved": 0.01,
    "steps": 100,
    "lag": 100,
}


def claim(by: str, better: Mapping[str, Any], worse: Mapping[str, Any]) -> dict[str, Any]:
    return {"statement": f"By {by}", "better": better, "worse": worse, "by": by, "least": 0.05}


def said(study: Study) -> str:
    """The words of all sections but those that describe words and rules."""
    texts = page_text(study)
    return " ".join(text for name, text in texts.items() if name not in ("method", "glossary"))


def diverging(labels: Mapping[str, Any], seed: int, rng: Any) -> dict[str, Any]:
    """Without clipping half diverge at once and half silently, with errors above the baseline."""
    if labels["clip"] == "norm":
        return {"score": 0.16 + 0.001 * rng.random(), "outcome": "learning"}
    lost = {"score": 2.0 + rng.random(), "final_score": 3.0, "solved_at": float("nan")}
    if labels["initializer"] == "normal":
        return lost | {"outcome": "silently diverged"}
    ended = {"status": "diverged", "ended_early": "diverged", "updates_done": 12.0}
    return lost | ended | {"outcome": "diverged", "verdict": "explodes", "seconds": 0.02}


def test_lost_networks_do_not_count_better_than_they_are() -> None:
    text = said(known_study(GRID, diverging, task=ERROR))
    assert re.search(r"20 lost \(10 diverged, 10 silently\)", text)
    for found in re.finditer(r"(with|at) the memoryless baseline[^.]{0,60}", text):
        if "lost" in text[found.start() - 60 : found.start()] or "count" in found.group():
            assert "own score" in found.group(), found.group()
    assert "networks stand at the baseline" not in text
    assert "diverged networks at the baseline" not in text
    assert "back at the baseline with nothing" not in text


def test_an_arm_that_only_diverged_is_on_no_front() -> None:
    """It is cheap because it ended."""
    text = page_text(known_study(GRID, diverging, task=ERROR))["pareto"]
    assert not re.search(r"orthogonal · clip none[^|]*\|[^|]*\|[^|]*\|[^|]*\|[^|]*\| on", text)
    assert not re.search(r"the cheapest recipe \([^)]*clip none", text)
    assert "4 recipes lost all their seeds" in text


def stuck(labels: Mapping[str, Any], seed: int, rng: Any) -> dict[str, Any]:
    """At chance; the best of many validations lies above it."""
    score = 0.1 + 0.01 * rng.standard_normal()
    return {"score": score, "val_score": score + 0.02, "outcome": "stuck"}


def test_nothing_is_recommended_where_every_network_is_stuck() -> None:
    text = said(known_study(GRID, stuck))
    assert "No recipe is recommended" in text
    assert not re.search(r"Recommended:|\(by |recipe was chosen|it was chosen on these", text)


def test_a_ranking_needs_an_arm_that_learned_on_either_side() -> None:
    ranks = claim("ranking", {"clip": "none"}, {"clip": "norm"})

    def point(labels: Mapping[str, Any], seed: int, rng: Any) -> dict[str, Any]:
        if labels["clip"] == "none":
            return {"score": 0.1, "outcome": "silently diverged"}
        return {"score": 0.93 + 0.02 * rng.standard_normal()}

    text = page_text(known_study(GRID, point, claims=[ranks]))["claims"]
    assert re.search(r"By ranking: not decided here", text)
    assert re.search(r"[Ww]ith clip none no recipe learned anything", text)
    assert "The best on the two sides" not in text


def tiny(labels: Mapping[str, Any], seed: int, rng: Any) -> dict[str, Any]:
    """Errors of some hundred thousandths, in which GRUs are the better."""
    error = (1e-5 if labels["cell"] == "gru" else 2e-4) * (1 + 0.4 * rng.random())
    return {"score": error, "train_score": 0.99 * error, "D": -1 - 0.3 * rng.random()}


@pytest.fixture(scope="module")
def small() -> dict[str, str]:
    sides: tuple[dict[str, Any], dict[str, Any]] = ({"cell": "gru"}, {"cell": "rnn"})
    claims = [claim(by, *sides) for by in ("score", "solved", "ranking")]
    carry = {"statement": "Solved carry", "by": "carry_if_solved", "least": 0.25}
    return page_text(known_study(GRID, tiny, task=ERROR, claims=[*claims, carry]))


def test_small_numbers_keep_their_digits(small: dict[str, str]) -> None:
    assert not re.search(r"by −?0\.0+ and −?0\.0+ over", small["claims"])
    for name, text in small.items():
        assert not re.search(r"-0\.0|by [−-]", text) or name in ("method", "glossary"), name


def test_an_outcome_of_every_network_is_said_in_words(small: dict[str, str]) -> None:
    assert not re.search(r"It is (all|none of) \d+ networks", small["claims"])
    assert "That is all 40 networks of both sides" in small["claims"]
    assert "of the other 0" not in small["claims"]
    assert "the gradient arrived at the judged lag in all 40 networks" in small["summary"]
    assert "solved at the end: 20 of 20 (100 %) with gru" in small["summary"]
    assert "with rnn; a difference of 5 % of networks would matter" in small["summary"]


def test_the_direction_of_a_rank_correlation_is_said(small: dict[str, str]) -> None:
    assert re.search(r"positive: the more is left, the better the score", small["predicts"])


def test_a_gap_names_the_side_that_is_larger() -> None:
    def point(labels: Mapping[str, Any], seed: int, rng: Any) -> dict[str, Any]:
        score = 0.05 + 0.01 * rng.random()
        return {"score": score, "train_score": score + 0.02}

    rows = [
        {"id": f"{number:016x}", "update": update, "val_loss": 0.1, "val_score": 0.1}
        for number in range(40)
        for update in (0, 200, 400)
    ]
    made = known_study(GRID, point, task=ERROR, tables={"history": pd.DataFrame(rows)})
    text = page_text(made)["learning_curves"]
    assert "exceeds" not in text
    assert re.search(r"squared error is worse than the test score by 0\.02", text)


def test_one_arm_and_one_seed_are_singular() -> None:
    text = said(known_study({"cell": ["gru"]}, noise(lambda labels: 0.93), seeds=1))
    for wrong in (
        r"\b1 networks\b",
        r"\b1 recipes\b",
        r"of 1 networks",
        r"\ball 1\b",
        r"(?<!\d )(?<!none )of 1 network ",
        r"of the 1 that",
        r"Of 1 that",
        r"seeds 0 from",
        r"recipe: the only recipe",
        r"no recipe has two seeds that differ, or",
        r"1 seed; 95 % interval",
        r"recommended 0\.9",
    ):
        found = re.search(wrong, text)
        assert not found, f"{wrong}: …{text[found.start() - 60 : found.end() + 60]}…"


def test_levels_named_by_rank_are_shown_as_they_are_here() -> None:
    more = claim("score", {"hidden": "largest"}, {"hidden": "smallest"})
    study = known_study(
        {"updates": [50, 200], "hidden": [8, 32]},
        noise(lambda labels: 0.5 + 0.01 * int(labels["hidden"])),
        claims=[more],
    )
    text = page_text(study)
    assert re.search(r"with hidden 32, [^()]*\([^()]*n = 10\) with hidden 8", text["claims"])
    assert "to every updates" not in text["effects"]


def test_counts_of_claims_agree_with_their_verb() -> None:
    both = [claim("score", {"clip": "norm"}, {"clip": "none"})] * 2
    made = [{**one, "statement": f"{one['statement']} {n}"} for n, one in enumerate(both)]
    clip = known_study(
        GRID, noise(lambda labels: 0.9 if labels["clip"] == "norm" else 0.5), claims=made
    )
    text = page_text(clip)["claims"]
    assert "2 hold here" in text
    assert not re.search(r"\b([2-9]|\d\d) holds here", text)


def test_seeds_that_disagree_are_no_verdict_of_their_own() -> None:
    def point(labels: Mapping[str, Any], seed: int, rng: Any) -> dict[str, Any]:
        return {"score": 0.5, "verdict": ("mixed", "closes", "carries")[seed % 3]}

    text = said(known_study(GRID, point))
    assert not re.search(r"◇ mixed: (mixed|closes|carries) \d", text)
    assert re.search(r"seeds differ: (mixed|closes) 2", text)
