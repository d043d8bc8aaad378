"""A sceptic's battery for outcomes: what ended well, what was lost, what is recommended."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd
import pytest

from reports.analysis.associations import association_at
from reports.analysis.claims import judge
from reports.analysis.flattery import flattery, flattery_words, limit_on_test
from reports.analysis.recipe import leaders, recipe
from reports.analysis.tallies import tally
from reports.blocks import Fold
from reports.data.test_set import weighted_noise
from reports.findings.finding import HOLDS, NOT_DECIDED
from reports.sections.recipe import RecipeSection
from reports.sections.summary import Summary
from study.design.ranking import best_first
from tests.reports.known import known_study
from tests.reports.page_text import words

ARMS = {"cell": ["rnn", "lstm", "gru"]}


def texts(section: Any) -> str:
    return " ".join(words(section.blocks))


def first(study: Any) -> str:
    found = recipe(study)
    assert found is not None
    return str(study.arms.set_index("arm").loc[found.first, "cell"])


def silent(labels: Any, seed: int, rng: Any) -> dict[str, Any]:
    """Three arms of nearly equal best validation; one seed of the LSTM is lost silently."""
    gone = labels["cell"] == "lstm" and seed == 2
    best = {"rnn": 0.950, "lstm": 0.953, "gru": 0.951}[labels["cell"]]
    return {
        "score": best - 0.01 + 0.001 * seed,
        "val_score": best + 0.001 * seed,
        "final_score": 0.11 if gone else best,
        "outcome": "silently diverged" if gone else "solved",
        "ends_solved": not gone,
    }


def test_an_arm_with_a_silently_lost_seed_is_not_recommended() -> None:
    study = known_study(ARMS, silent)
    assert first(study) == "gru"
    text = texts(RecipeSection(shown=5).render(study))
    assert "gru" in text and "chosen over the runner-up by validation score" in text


def test_fewest_lost_then_most_solved_then_validation() -> None:
    def point(lost: dict[str, int], solved: dict[str, int], val: dict[str, float]) -> Any:
        def of(labels: Any, seed: int, rng: Any) -> dict[str, Any]:
            cell = labels["cell"]
            gone = seed < lost.get(cell, 0)
            ends = not gone and seed < lost.get(cell, 0) + solved.get(cell, 5)
            return {
                "score": val[cell] + 0.002 * seed,
                "outcome": "diverged" if gone else "solved" if ends else "learning",
                "status": "diverged" if gone else "done",
                "ends_solved": ends,
            }

        return of

    alike = {"rnn": 0.92, "lstm": 0.91, "gru": 0.90}
    assert first(known_study(ARMS, point({"rnn": 1}, {}, alike))) == "lstm"
    assert first(known_study(ARMS, point({}, {"rnn": 4, "lstm": 3, "gru": 5}, alike))) == "gru"
    assert first(known_study(ARMS, point({}, {}, alike))) == "rnn"
    far = {"rnn": 0.95, "lstm": 0.30, "gru": 0.31}
    assert first(known_study(ARMS, point({"rnn": 1}, {"lstm": 0, "gru": 0}, far))) == "rnn", (
        "a recipe that learns little is not recommended for losing no seed"
    )


def test_where_nothing_was_learned_nothing_is_recommended() -> None:
    study = known_study(ARMS, lambda labels, seed, rng: {"score": 0.1 - 0.001 * seed})
    assert "No recipe is recommended" in texts(RecipeSection(shown=5).render(study))
    assert "No recipe is recommended" in texts(Summary(trusted=5, draws=1000).render(study))


def test_the_test_set_counts_in_what_cannot_be_told_apart() -> None:
    """Seeds agree to a thousandth, and 50 test examples cannot tell .90 from .86."""
    scores = {"rnn": 0.90, "lstm": 0.86, "gru": 0.20}

    def point(labels: Any, seed: int, rng: Any) -> dict[str, Any]:
        return {"score": scores[labels["cell"]], "val_score": scores[labels["cell"]]}

    found = recipe(known_study(ARMS, point, examples=50, draw=3))
    assert found is not None and found.close is not None and len(found.close) == 1


def test_met_once_and_not_at_the_end_is_counted_apart() -> None:
    study = known_study(
        ARMS,
        lambda labels, seed, rng: {
            "score": 0.93,
            "outcome": "solved",
            "solved_at": 100.0,
            "ends_solved": seed != 0,
        },
    )
    found = tally(study.stored)
    assert (found.ever, found.solved, found.not_kept) == (15, 12, 3)
    text = texts(Summary(trusted=5, draws=1000).render(study))
    assert "12 of 15 networks solved the task at the end" in text and "3 more met their" in text


@pytest.mark.parametrize("state", ["fading", "vanishing", "exploding", "undefined"])
def test_every_state_but_carrying_ends_without_carrying(state: str) -> None:
    study = known_study(
        ARMS, lambda labels, seed, rng: {"score": 0.5, "state": state if seed < 2 else "carrying"}
    )
    found = tally(study.stored)
    assert (found.without_carrying, found.carrying) == (6, 9)
    assert "Of the 6 networks that ended without carrying it, none solved" in texts(
        Summary(trusted=5, draws=1000).render(study)
    )


def test_what_validation_flatters_by_is_measured_and_said() -> None:
    study = known_study(
        ARMS,
        lambda labels, seed, rng: {
            "score": 0.88 + 0.001 * seed,
            "val_score": 0.92 + 0.001 * seed + 0.02 * (labels["cell"] == "gru"),
        },
    )
    found = flattery(study)
    assert found is not None and found.mean.value == pytest.approx(0.04 + 0.02 / 3)
    assert (found.met, found.reach) == (15, 0)
    assert limit_on_test(study) == pytest.approx(0.9 - found.mean.value)
    text = flattery_words(study)
    assert "gru +0.060" in text and "Of 15 that met the rule on some validation, none reach" in text


def test_a_rank_needs_no_test_score() -> None:
    points = known_study(ARMS, silent).stored
    changed = points.assign(score=[0.99, *[0.1] * (len(points) - 1)])
    assert best_first(points, higher_is_better=True) == best_first(changed, higher_is_better=True)


def test_old_points_end_as_their_history_says() -> None:
    """Stored before `ends_solved`: the last validation is read from the history."""
    study = known_study({"cell": ["rnn"]}, lambda labels, seed, rng: {"score": 0.95}, seeds=2)
    ids = study.grid["id"].tolist()
    history = pd.DataFrame(
        {
            "id": [ids[0]] * 2 + [ids[1]] * 2,
            "update": [200, 400] * 2,
            "val_score": [0.95, 0.93, 0.95, 0.80],
        }
    )
    old = known_study(
        {"cell": ["rnn"]},
        lambda labels, seed, rng: {"score": 0.95, "ends_solved": None},
        seeds=2,
        tables={"history": history},
    )
    assert old.stored["outcome"].tolist() == ["solved", "learning"]


LENGTHS = {"cell": ["rnn", "lstm"], "task.steps": [16, 64]}


def test_a_length_is_a_task_of_its_own_and_no_choice() -> None:
    """At 16 steps all is easy: nobody may be told to take 16 steps."""
    scores = {("rnn", 16): 0.99, ("lstm", 16): 0.95, ("rnn", 64): 0.30, ("lstm", 64): 0.90}

    def point(labels: Any, seed: int, rng: Any) -> dict[str, Any]:
        return {"score": scores[labels["cell"], labels["task.steps"]] + 0.001 * seed}

    study = known_study(LENGTHS, point)
    text = texts(Summary(trusted=5, draws=1000).render(study))
    assert "On steps 16: rnn" in text and "On steps 64: lstm" in text
    assert [name for name, _ in leaders(study)] == ["steps 16", "steps 64"]
    section = texts(RecipeSection(shown=5).render(study))
    assert "Task steps 16" in section and "Runner-up: lstm · steps 16" in section


def test_of_many_tasks_the_choice_that_leads_most_is_said() -> None:
    lengths = {"cell": ["rnn", "lstm"], "task.steps": [16, 32, 64, 128]}

    def point(labels: Any, seed: int, rng: Any) -> dict[str, Any]:
        short = labels["task.steps"] == 16
        return {"score": (0.95 if (labels["cell"] == "rnn") == short else 0.6) + 0.001 * seed}

    text = texts(Summary(trusted=5, draws=1000).render(study := known_study(lengths, point)))
    assert "There are 4 tasks (steps). lstm is first" in text and "in 3 of 4, more often" in text
    blocks = RecipeSection(shown=5).render(study).blocks
    assert [one.summary for one in blocks if isinstance(one, Fold)] == [
        f"Task steps {steps}" for steps in lengths["task.steps"]
    ]


def test_arms_that_differ_in_the_task_alone_leave_nothing_to_choose() -> None:
    study = known_study({"task.steps": [16, 64]}, lambda labels, seed, rng: {"score": 0.9})
    text = texts(Summary(trusted=5, draws=1000).render(study))
    assert "there is no recipe to choose" in text and "ecommended is" not in text
    assert "ecommended" not in texts(RecipeSection(shown=5).render(study))


def test_what_a_task_calls_a_choice_can_be_recommended() -> None:
    """How many rows a forecast reads is chosen with the recipe."""
    study = known_study(
        {"task.window": [24, 48]},
        lambda labels, seed, rng: {"score": labels["task.window"] / 100 + 0.001 * seed},
        task={"choices": ["window"]},
    )
    text = texts(Summary(trusted=5, draws=1000).render(study))
    assert "window 48 (by validation score)" in text


def test_a_tie_goes_to_the_arm_that_met_the_rule_sooner() -> None:
    """All three end solved at a perfect score: the last declared one was there first."""
    at = {"rnn": 800.0, "lstm": 400.0, "gru": 400.0}

    def point(labels: Any, seed: int, rng: Any) -> dict[str, Any]:
        return {"score": 1.0, "ends_solved": True, "solved_at": at[labels["cell"]] + 10 * seed}

    found = recipe(known_study(ARMS, point))
    assert found is not None and found.order[-1] == 0
    assert found.chosen_by.startswith(
        "being listed before the next recipe, with which it ties in lost seeds"
    )
    at["gru"] = 300.0
    sooner = recipe(known_study(ARMS, point))
    assert sooner is not None and sooner.first == 2
    assert sooner.chosen_by.startswith("meeting the rule sooner than the next recipe")


def test_the_first_screen_has_the_claims_and_what_limits_an_average() -> None:
    factors = {"cell": ["rnn", "lstm"], "clip": ["none", "norm"]}
    study = known_study(
        factors,
        lambda labels, seed, rng: {"score": 0.5 + 0.3 * (labels["cell"] == "lstm")},
        excluded=lambda labels: labels == {"cell": "rnn", "clip": "none"},
        claims=[
            {
                "statement": "The LSTM is better",
                "better": {"cell": "lstm"},
                "worse": {"cell": "rnn"},
                "by": "score",
                "least": 0.05,
            }
        ],
    )
    text = texts(Summary(trusted=5, draws=1000).render(study))
    found = "The LSTM is better: ✓ holds here (test score: "
    assert f"{found}" in text
    assert "over the 2 of 3 recipes that differ in it alone" in text


def test_where_no_level_has_both_outcomes_nothing_is_said_of_transport() -> None:
    """One factor, whose levels all solve or all fail: within them there is nothing to compare."""

    def point(labels: Any, seed: int, rng: Any) -> dict[str, Any]:
        good = labels["cell"] == "lstm"
        return {"score": 0.95 if good else 0.3, "D": -1.0 + 9 * (not good) + 0.1 * seed}

    text = texts(Summary(trusted=5, draws=1000).render(known_study(ARMS, point)))
    assert "cannot be determined here: no solved and unsolved network share a level" in text


def test_what_ended_when_it_met_the_rule_is_ranked_by_when_it_did() -> None:
    """Its score is that of the moment, and the better score may be the slowest arm's."""
    at = {"rnn": 900.0, "lstm": 500.0, "gru": 700.0}

    def point(labels: Any, seed: int, rng: Any) -> dict[str, Any]:
        when = at[labels["cell"]] + seed
        better = 0.95 + when / 100_000
        return {"score": better, "ends_solved": True, "solved_at": when, "ended_early": "solved"}

    study = known_study(ARMS, point)
    found = recipe(study)
    assert found is not None and found.order == [1, 2, 0]
    text = texts(Summary(trusted=5, draws=1000).render(study))
    assert "by meeting the rule soonest, as its networks and the next recipe's ended when" in text
    assert "told apart" not in text and "ahead of" not in text
    claimed = {"by": "score", "least": 0.01, "statement": "As good", "direction": "no less"}
    of = judge(study, {**claimed, "better": {"cell": "lstm"}, "worse": {"cell": "rnn"}})
    assert of.verdict == NOT_DECIDED and "scores are those of that moment" in of.why


def test_lengths_are_never_ranked_and_have_test_sets_of_their_own() -> None:
    """Nobody learns anything; the test set of one length happens to be easier."""
    luck = {16: 0.10, 64: 0.13}

    def point(labels: Any, seed: int, rng: Any) -> dict[str, Any]:
        return {"score": luck[labels["task.steps"]] + 0.0005 * seed}

    study = known_study(LENGTHS, point, examples=200, draw=5)
    text = texts(Summary(trusted=5, draws=1000).render(study))
    assert "is better than" not in text and "steps 0." not in text
    weights = {0: 1.0, 1: -1.0}
    (one, other) = (weighted_noise(study, {arm: 1.0}) for arm in weights)
    assert weighted_noise(study, weights) == pytest.approx(math.hypot(one, other))


def test_transport_and_success_are_compared_within_a_task() -> None:
    """On one task nobody solves and all carry; on the other it separates perfectly."""
    cells = ["rnn", "lstm", "gru"]  # six arms on the task that has both outcomes
    factors = {"task": ["adding", "copying"], "cell": cells, "clip": ["none", "norm"]}

    def point(labels: Any, seed: int, rng: Any) -> dict[str, Any]:
        solved = labels["task"] == "adding" and seed % 2 == 0
        D = -1.0 if solved else -3.0 if labels["task"] == "adding" else -0.5
        return {"score": 0.95 if solved else 0.3, "D": D + 0.01 * seed}

    found = association_at(known_study(factors, point, seeds=8), 1.0, 1000)
    assert found.word == HOLDS
    assert all(one.auc.value == 1.0 for one in found.within.values())


def test_where_levels_disagree_no_number_of_seeds_is_forecast() -> None:
    factors = {"cell": ["lstm", "gru"], "initializer": ["orthogonal", "normal"]}

    def point(labels: Any, seed: int, rng: Any) -> dict[str, Any]:
        way = {"lstm": -0.15, "gru": 0.2}[labels["cell"]] * (labels["initializer"] == "orthogonal")
        return {"score": 0.5 + way + 0.2 * (seed - 1)}

    claimed = {"statement": "Orthogonal is better", "by": "score", "least": 0.1}
    sides = {"better": {"initializer": "orthogonal"}, "worse": {"initializer": "normal"}}
    found = judge(known_study(factors, point, seeds=3), {**claimed, **sides})
    assert found.verdict == NOT_DECIDED and "the estimates go both ways" in found.why


def test_the_first_screen_says_up_to_which_length_each_choice_solves() -> None:
    reach = {"rnn": 16, "lstm": 64}

    def point(labels: Any, seed: int, rng: Any) -> dict[str, Any]:
        solved = labels["task.steps"] <= reach[labels["cell"]]
        return {"score": 0.95 if solved else 0.3, "steps": labels["task.steps"]}

    text = texts(Summary(trusted=5, draws=1000).render(known_study(LENGTHS, point)))
    assert "solve at the end: 64 (the longest tried): lstm; 16: rnn." in text
