"""What sections say: one answer everywhere on the page, tasks apart from each other, levels
compared over arms that are alike.
"""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from reports.analysis.arms import share_words, short_words, summary, with_counted
from reports.analysis.recipe import folded, recipe
from reports.blocks import Answer, Figure, Heading, Prose, Section
from reports.data.study import Study
from reports.documents.sections import build, declared_sections
from reports.figures.gradient_flow import gradient_flow
from reports.figures.marks import Mark
from reports.figures.theme import PanelGrid, theme
from reports.sections.effects import _alike
from study.store import Store
from tests.reports.page_text import words
from tests.reports.synthetic import make

BUILT = {one.name: one for one in declared_sections()}


def render(name: str, study: Study) -> Section:
    return build(BUILT[name]).render(study)


def texts(section: Section) -> str:
    return " ".join(words([one for one in section.blocks if isinstance(one, Answer | Prose)]))


def figures(section: Section) -> list[Figure]:
    return [block for block in section.blocks if isinstance(block, Figure)]


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    factors = {
        "cell": ["rnn", "lstm", "gru"],
        "initializer": ["orthogonal", "normal"],
        "clip": ["none", "norm"],
    }
    return Study(
        make(
            tmp_path_factory.mktemp("outputs") / "one",
            factors=factors,
            steps=16,
            updates=80,
            examples=60,
        )
    )


@pytest.fixture(scope="module")
def two_tasks(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """digits with both initializers, adding with orthogonal alone and scores that are all low: an
    average over tasks would set one against the other.
    """
    factors = {
        "cell": ["rnn", "gru"],
        "initializer": ["orthogonal", "normal"],
        "task": ["digits", "adding"],
    }
    left = ({"labels": {"task": "adding", "initializer": "normal"}, "why": "one is enough"},)
    store = make(
        tmp_path_factory.mktemp("outputs") / "two",
        factors=factors,
        excluded=left,
        steps=16,
        updates=80,
        examples=40,
    )
    record = json.loads((store.folder / "study.json").read_text())
    tasks = record["declaration"]["tasks"]
    tasks["adding"] = {**tasks["digits"], "lag": 9}
    (store.folder / "study.json").write_text(json.dumps(record))
    of = Study(store)
    adding = of.grid["task"] == "adding"
    of.grid.loc[adding, ["score", "val_score"]] = of.grid.loc[adding, ["score", "val_score"]] - 0.4
    return of


def test_the_first_screen_and_the_recipe_name_the_same_arm_and_the_same_rivals(
    study: Study,
) -> None:
    found = recipe(study)
    assert found is not None and found.close is not None
    first = study.arms.set_index("arm").loc[found.first, "label"]
    screen, chosen = render("summary", study), texts(render("recipe", study))
    lead = texts(screen)
    assert lead.startswith(f"{first} (by {found.chosen_by}): mean test accuracy")
    assert f"Recommended: {first}" in chosen
    others = len(found.order) - 1
    apart = others - len(found.close)
    are = "is" if apart == 1 else "are"
    assert f"Of the other {others} recipes, {apart} {are} worse by test accuracy, and" in lead
    assert f"and {len(found.close)} cannot be told apart from it (" in lead
    assert f"of the other {others} cannot be told apart from it" in chosen and chosen.split(
        f" of the other {others}"
    )[0].split(". ")[-1].startswith(f"{len(found.close)} recipe")
    (answer,) = [block for block in screen.blocks if isinstance(block, Answer)]
    named = [line.name for line in answer.lines]
    assert named == ["Use", "How sure", "What failed", "What mattered", "Why", "Next"]
    second = study.arms.set_index("arm").loc[found.order[1], "label"]
    assert re.search(rf"ahead of the runner-up, {second}\.|The runner-up, {second}, is", lead)


def test_runs_that_diverged_silently_stand_beside_the_diverged(study: Study) -> None:
    of = Study(study.store)
    of.grid.loc[[0, 1], "outcome"] = "silently diverged"
    assert "2 of 36 networks were lost (2 diverged silently: finite, but no better than" in texts(
        render("summary", of)
    )


def test_levels_are_compared_over_arms_alike_in_everything_else(two_tasks: Study) -> None:
    """Orthogonal is better on digits; on adding, where all scores are low, it stands alone and must
    not drag its mean down.
    """
    points = with_counted(two_tasks)
    pooled = points[points["cell"] == "rnn"].groupby("initializer")["counted"].mean()
    assert pooled["normal"] > pooled["orthogonal"], "the mean over everything says the opposite"
    means = _alike(two_tasks, ("cell", "initializer"), points, "counted", "rnn")
    digits = (
        points[(points["cell"] == "rnn") & (points["task"] == "digits")]
        .groupby("initializer")["counted"]
        .mean()
    )
    assert means == pytest.approx(digits.to_dict()) and means["orthogonal"] > means["normal"]
    finding = figures(render("effects", two_tasks))[-1].finding
    assert re.search(
        r"[Cc]ell × initializer.*highest mean of each line, over recipes alike in all else within"
        r" it: rnn orthogonal 0\.\d\d, gru ",
        finding,
    )


def test_tasks_are_told_one_by_one(two_tasks: Study) -> None:
    for name in ("learning_curves", "clipping", "side_by_side", "pareto", "gradient_flow"):
        section = render(name, two_tasks)
        heads = [block.text.lower() for block in section.blocks if isinstance(block, Heading)]
        assert len(figures(section)) == 2 and [head.removeprefix("task ") for head in heads] == [
            "digits",
            "adding",
        ], name
        assert (
            len(
                {
                    re.search(r'id="([\w-]+)"', str(one.picture)).group(1).split("-m")[0]
                    for one in figures(section)
                }
            )
            == 2
        ), "pictures have ids of their own"
    lead = texts(render("summary", two_tasks))
    best = {problem.name: recipe(two_tasks, problem) for problem in two_tasks.problems}
    assert list(best) == ["digits", "adding"]
    for task, of in best.items():
        cell, start = (
            two_tasks.arms.set_index("arm").loc[of.first, key] for key in ("cell", "initializer")
        )
        assert f"On {task}: {cell} · {start} (by {of.chosen_by}): " in lead
    effects = lead.partition("at initialization")[0]
    assert "task 0." not in effects, "what tasks differ by is no finding about recipes"


def test_every_map_has_the_lag_of_its_own_task(two_tasks: Study) -> None:
    of = Study(two_tasks.store)
    states = of.table("states")
    states.loc[states["task"] == "adding", "lag"] = 9
    (maps,) = figures(render("opening_maps", of))
    assert "Dashed: the lag that is judged, 9 and 15." in maps.caption


def test_clip_rates_of_text_figure_and_phases_agree(two_tasks: Study) -> None:
    """Runs of several lengths: every rate is a mean over points, so that the longer runs do not
    outweigh the others.
    """
    of = Study(two_tasks.store)
    history = of.table("history")
    short = of.grid.loc[of.grid["task"] == "digits", "id"]
    history["clip_scale"] = np.where(history["id"].isin(short), 0.5, 1.0)
    of._tables["history"] = history[~history["id"].isin(short) | (history["update"] <= 20)]
    of.grid.loc[of.grid["id"].isin(short), "updates"] = 20.0
    of.grid["clip_rate"] = np.where(of.grid["id"].isin(short), 1.0, 0.0)
    said = texts(render("clipping", of))
    share = len(short) / len(of.grid)
    assert f"fired on {100 * share:.0f} % of updates" in said
    assert (
        len(re.findall(rf"in the (?:first tenth|middle|last third) \({100 * share:.0f} %\)", said))
        == 3
    )


def test_what_no_seed_solved_has_no_time(study: Study) -> None:
    of = Study(study.store)
    of.grid["solved_at"] = np.where(of.grid["cell"] == "gru", 20.0, np.nan)
    section = render("time_to_solve", of)
    assert "rnn none of 12; lstm none of 12; gru 12 of 12, mean time" in texts(section)
    assert figures(section)[0].table.rows[0][3].text == "over 80", (
        "an interval of no width would say that it is known"
    )


def test_seconds_of_points_trained_together_have_no_interval(study: Study) -> None:
    table = render("cost", study).blocks[1]
    assert [row[0] for row in table.rows] == ["rnn", "lstm", "gru"], "what does the same arithmetic"
    assert all("[" not in cell.text for row in table.rows for cell in row[1:4])


def test_lines_end_where_the_row_of_exact_zeros_begins() -> None:
    lag = np.arange(20)
    rows = pd.DataFrame(
        {
            "cell": "rnn",
            "initializer": "normal",
            "above": 0,
            "stage": 0,
            "update": 0,
            "lag": lag,
            "log10_mean": -2.0 * lag,
            "zero": 0.0,
            "bad": 0.0,
        }
    )
    rows = rows.assign(log10_p10=rows["log10_mean"] - 1, log10_p90=rows["log10_mean"] + 1, points=3)
    rows.loc[19, "zero"] = 1.0
    with theme():
        figure = gradient_flow(
            rows,
            pd.DataFrame(columns=["cell", "initializer", "last", "lag", "value"]),
            PanelGrid("cell", ["rnn"], "initializer", ["normal"]),
            limits={"exploding": 1.0, "fading": -2.0, "vanishing": -4.0},
            lag=None,
            span=(-14.0, 2.0),
            counted=0.1,
            width=10.0,
            says=lambda i, j, text: Mark(text),
        )
        figure.canvas.draw()
        axis = figure.axes[0]
        line = max(axis.lines, key=lambda one: len(one.get_xdata()))
        box = axis.transData.inverted().transform_bbox(line.get_clip_box())
        assert axis.get_ylim()[0] < -14.5, "there is a row below for what is exactly 0"
        assert (box.y0, box.y1) == (pytest.approx(-14, abs=0.05), pytest.approx(2, abs=0.05))


def test_the_counts_of_an_arm_are_words_and_never_look_like_a_change(tmp_path: Path) -> None:
    row = pd.Series({"verdicts": {"opens": 2, "carries": 1}, "word": None, "n": 3})
    assert short_words(row) == "↗ opens 2, carries 1"
    assert (
        short_words(pd.Series({"verdicts": {"carries": 3}, "word": None, "n": 3}))
        == "→ carries 3/3"
    )


def test_one_arm_is_compared_with_nothing(tmp_path: Path) -> None:
    of = Study(
        make(tmp_path / "alone", factors={}, seeds=(0, 1, 2), steps=12, updates=40, examples=20)
    )
    said = " ".join(
        texts(render(name, of)) for name in ("summary", "accuracy", "learning_curves", "predicts")
    )
    said += " ".join(
        one.finding
        for name in ("accuracy", "opening_maps", "predicts")
        for one in figures(render(name, of))
    )
    assert "There is one recipe with a score: mean test accuracy" in said
    assert not re.search(r"\b1 recipes|only recipe\) to|least for|n/a\b|runner-up", said), said
    assert summary(of)["n"].tolist() == [3]


def test_a_folded_command_is_the_same_command() -> None:
    line = shlex.join(
        [
            "python",
            "-m",
            "study",
            "experiment=x",
            "tracker=[]",
            "task.path=my data.csv",
            *(f"key{i}=value" for i in range(20)),
        ]
    )
    shown = folded(line)
    assert max(map(len, shown.split("\n"))) <= 100 and shown.count("\\\n") >= 2
    assert shlex.split(shown.replace("\\\n", "")) == shlex.split(line)


@pytest.mark.parametrize(
    ("section", "message"),
    [
        (
            "accuracy",
            (
                r"runs from (\S+) \[\S+, \S+\] \(.+, n = 3\) to \S+ \[\S+, \S+\] \(.+, n = 3\); 95"
                r" % intervals"
            ),
        ),
        (
            "pareto",
            (
                r"The best mean score, \S+ \[\S+, \S+\] \(.+, n = 3\), costs .+;"
                r" (.+ reaches \S+ \[\S+, \S+\]|no recipe is shown to be cheaper); 95 % intervals"
            ),
        ),
        (
            "side_by_side",
            (
                r"the recipe of best gradient health .+, gradient health \S+ \[\S+, \S+\] powers of"
                r" ten at test accuracy \S+ \[\S+, \S+\] \(n = 3, 95 % t-interval over seeds\)"
            ),
        ),
        ("time_to_solve", r"gru \d+ of 12\b(?! \[)"),
        ("learning_curves", r"gru \d+ of 12\b(?! \[)"),
        (
            "clipping",
            (
                r"on \d+ % \[\d+ %, \d+ %\] of the updates in the first third .+ \(n = \d+"
                r" networks; 95 % t interval"
            ),
        ),
    ],
)
def test_a_finding_states_n_and_kind_and_level_of_its_interval(
    tmp_path: Path, section: str, message: str
):
    make(
        tmp_path / "s",
        factors={
            "cell": ["rnn", "gru"],
            "initializer": ["orthogonal", "normal"],
            "clip": ["none", "norm"],
        },
        steps=12,
        updates=60,
    )
    figure, *_ = [
        block
        for block in render(section, Study(Store(tmp_path / "s"))).blocks
        if isinstance(block, Figure)
    ]
    assert re.search(message, figure.finding), figure.finding


def test_health_beside_accuracy_hides_no_seed_without_a_number(tmp_path: Path):
    """A mean over the seeds that have a finite D is starred; where none has one, the box is hatched
    and the arm stays in the table.
    """
    store = make(
        tmp_path / "s",
        factors={"cell": ["rnn", "gru"], "initializer": ["orthogonal", "normal"]},
        steps=12,
        updates=60,
    )
    study = Study(store)
    lacking = study.grid["arm"].eq(0) | (study.grid["arm"].eq(1) & study.grid["seed"].eq(0))
    study.grid.loc[lacking, "D"] = -np.inf
    (figure,) = figures(render("side_by_side", study))
    assert str(figure.picture).count("*</text>") == 1 and "pattern" in str(figure.picture)
    cells = [
        [cell if isinstance(cell, str) else cell.text for cell in row] for row in figure.table.rows
    ]
    assert [(row[1] == "–", row[3]) for row in cells[:3]] == [
        (True, "0/3"),
        (False, "2/3"),
        (False, "3/3"),
    ]


def test_a_share_of_networks_has_wilsons_interval():
    """Newcombe (1998): 81 of 263, 95 %: .2553 to .3662; 0 of 20: 0 to .1611."""
    assert share_words(81, 263) == "81 of 263 [26 %, 37 %]"
    assert share_words(0, 20) == "none of 20 [0 %, 16 %]"


def test_learning_curves_show_the_last_rate_of_a_schedule(
    study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where there is none, nothing is said of it."""

    def columns() -> list[str]:
        return list(figures(render("learning_curves", study))[0].table.columns)

    column = "learning rate at the end, median"
    assert column not in columns()
    table = study.table

    def scheduled(name: str) -> pd.DataFrame:
        found = table(name)
        return (
            found.assign(lr=0.016 / found["update"].clip(lower=1)) if name == "history" else found
        )

    monkeypatch.setattr(study, "table", scheduled)
    assert column in columns()
    rows = figures(render("learning_curves", study))[0].table.rows
    assert {row[-1] for row in rows} == {"0.0002"}  # after 80 updates
