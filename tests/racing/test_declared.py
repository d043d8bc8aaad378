"""What study.certain may ask: a mistake is one sentence before anything is trained."""

import pytest

from study.racing.declared import planned_looks, question_of
from study.records import StudyError

SETTINGS = {
    "decide": "best",
    "method": "group_sequential",
    "by": "score",
    "delta": 0.02,
    "alpha": 0.05,
    "top": 3,
    "threshold": None,
    "looks": [3, 4, 5, 6, 8],
    "max_seeds": 10,
    "max_hours": None,
    "spending": "cubic",
    "dropping": "linear",
}
CONTRAST = ("gated", "score", [1.0, -1.0, 0.0, 0.0])


def asked(arms=4, declared=3, contrasts=(), **changed):
    return question_of({**SETTINGS, **changed}, arms, declared, contrasts, higher_is_better=True)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"delta": 0.0}, "certain.delta: must be greater than 0"),
        ({"delta": float("nan")}, "certain.delta: must be greater than 0"),
        ({"arms": 1}, "best compares arms, and this study has one"),
        ({"looks": [3, 3]}, "certain.looks: must be increasing whole numbers of seeds from 2 on"),
        ({"looks": [5, 4]}, r"must be increasing .* got \[5, 4\]"),
        ({"looks": [1, 2]}, "from 2 on"),
        ({"max_seeds": 3}, "must be more than the 3 seeds that are declared"),
        ({"alpha": 0.0}, "certain.alpha: must be greater than 0 and at most .5"),
        ({"decide": "worst"}, "must be best, top, contrasts, precision or threshold, got 'worst'"),
        ({"method": "peeking"}, "certain.method: must be group_sequential or anytime, got 'peek"),
        ({"by": "speed"}, "certain.by: must be score, solved or time, got 'speed'"),
        ({"spending": "all"}, "certain.spending: must be pocock, linear, cubic or obrien_fleming"),
        ({"max_hours": 0}, "certain.max_hours: must be greater than 0 or null"),
        ({"decide": "top", "top": 4}, "certain.top: must be at least 1 and fewer than the 4 arms"),
        ({"decide": "threshold"}, "certain.threshold: must be a number"),
        ({"decide": "contrasts"}, "contrasts needs study.contrasts, and none is declared"),
        (
            {"decide": "contrasts", "contrasts": [("fast", "time", [1.0, -1.0])]},
            "contrast fast compares time, and a race decides by score",
        ),
        (
            {"decide": "contrasts", "contrasts": [("empty", "score", [0.0, 0.0])]},
            "contrast empty compares no arms of this study",
        ),
        (
            {"by": "solved", "arms": 40, "alpha": 0.001, "max_seeds": 6},
            "an arm that always solves the task and one that never does could not be told apart",
        ),
        (
            {"by": "solved", "decide": "precision", "max_seeds": 6},
            "no interval of a share of solved seeds is narrower than ±",
        ),
    ],
)
def test_a_question_without_an_answer_is_refused_in_a_sentence(changed, said):
    with pytest.raises(StudyError, match=said):
        asked(**changed)


def test_looks_begin_with_the_declared_seeds_and_end_with_the_most():
    assert planned_looks(SETTINGS, 3) == (3, 4, 5, 6, 8, 10)
    assert planned_looks(SETTINGS, 5) == (5, 6, 8, 10)
    assert planned_looks(SETTINGS, 1) == (3, 4, 5, 6, 8, 10), "one seed shows no spread"
    assert planned_looks({**SETTINGS, "looks": []}, 2) == (2, 10)
    assert planned_looks({**SETTINGS, "looks": [20]}, 3) == (3, 10)


def test_contrasts_are_weights_over_the_arms():
    question = asked(decide="contrasts", contrasts=[CONTRAST])
    assert question.weights == ((1.0, -1.0, 0.0, 0.0),)
    assert not question.between and question.z.shape == (6, 1)
    assert asked(decide="top", top=2).top == 2 and asked().top == 1
