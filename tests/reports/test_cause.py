"""The first screen says whether gradients may be why, and claims no cause that counts lack."""

from __future__ import annotations

import pytest

from reports.analysis.cause import cause_words
from tests.reports.known import known_study

SCORES = {"lstm": 0.95, "gru": 0.945, "rnn": 0.6}


@pytest.mark.parametrize(
    ("left", "says", "never"),
    [
        ({"lstm": -0.3, "gru": -0.4, "rnn": -8.0}, "less than 1/1,000,000 was left)", "in part"),
        ({"lstm": -0.3, "gru": -0.4, "rnn": -3.3}, "median: 1/2,000 was left)", "do not explain"),
        ({"lstm": -0.3, "gru": -0.4, "rnn": -0.5}, "The gradients do not explain it", "may be"),
        ({"lstm": -5.0, "gru": -0.4, "rnn": -5.0}, "The gradients do not explain it", "may be"),
    ],
)
def test_a_cause_is_named_only_where_counts_go_with_it(
    left: dict[str, float], says: str, never: str
) -> None:
    study = known_study(
        {"cell": list(SCORES)},
        lambda labels, seed, rng: {
            "score": SCORES[labels["cell"]] + 0.004 * rng.standard_normal(),
            "D": left[labels["cell"]],
        },
    )
    (text,) = cause_words(study)
    assert says in text and never not in text
    if "may be why" in text:
        assert (
            "all 10 networks of the recommended recipe and of the one that cannot be told apart"
            " from it carried it" in text
        )
        assert "of the networks of worse recipes, all 5 did not" in text
        assert text.endswith("Counted, not tested: which came first is not known.")


def test_where_no_recipe_is_worse_there_is_nothing_to_explain() -> None:
    alike = known_study(
        {"cell": list(SCORES)},
        lambda labels, seed, rng: {"score": 0.9 + 0.02 * rng.standard_normal(), "D": -5.0 * seed},
    )
    assert cause_words(alike)[0].startswith("No recipe is shown to be better or worse")
