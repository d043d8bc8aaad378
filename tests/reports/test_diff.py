"""Two studies compared: what was put into one store by hand is what comes out, and what cannot be
compared is refused by name.
"""

from __future__ import annotations

import json
import re
import shutil
import statistics
from pathlib import Path

import pytest
import scipy.stats

from reports.__main__ import main
from reports.data.study import Study
from reports.documents.diff import compare
from reports.documents.diff_page import write_diff
from reports.documents.diff_recipes import ALIKE, BETTER, PERHAPS, SAME, WORSE
from reports.documents.diff_words import sentences, text
from study.records import StudyError
from study.store import Store, seal
from tests.reports.conftest import SMALL
from tests.reports.synthetic import make

FACTORS = {"cell": ["rnn", "gru"], "initializer": ["orthogonal", "normal"]}


def edit(folder: Path, change) -> None:
    """Change study.json in place."""
    record = json.loads((folder / "study.json").read_text())
    change(record)
    (folder / "study.json").write_text(json.dumps(record))


def edit_point(folder: Path, number: int, **row) -> str:
    """Change a stored point's row; its id."""
    id = sorted(path.name for path in (folder / "points").iterdir())[number]
    path = folder / "points" / id / "result.json"
    result = json.loads(path.read_text())
    result["row"] |= row
    seal(path.parent, result)
    return id


def reconfigure(store: Store, config: str) -> None:
    """Another configuration of every stored point."""
    for id in store.ids():
        (store.point_folder(id) / "config.yaml").write_text(config)
        seal(store.point_folder(id), store.result(id))


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    """A study of 4 arms and its copy under another name."""
    store = make(
        tmp_path / "before", factors=FACTORS, steps=8, updates=40, examples=40, tables=("history",)
    )
    shutil.copytree(store.folder, tmp_path / "after")
    edit(tmp_path / "after", lambda record: record.update(name="after"))
    return tmp_path / "before", tmp_path / "after"


def found(pair: tuple[Path, Path], *allow: str):
    return compare(Study(Store(pair[0])), Study(Store(pair[1])), allow)


def test_a_study_and_its_copy_differ_in_nothing(pair):
    same = found(pair)
    assert (same.sizes, same.shared, same.networks, same.settings) == ((12, 12), 12, [], {})
    assert same.only_recipes == same.only_seeds == ([], [])
    assert {one.word for one in same.recipes} == {SAME} and len(same.recipes) == 4
    assert "No setting of the 12 networks of both differs." in text(same, 20)
    assert "Every recipe of both is the very same" in text(same, 20)
    assert "by recipe" not in text(same, 20) and "by recipe" in text(shifted(pair, [0.1] * 12), 20)


def test_what_was_added_removed_and_changed_is_named_by_recipe(pair):
    first, second = pair
    shutil.rmtree(
        first / "points" / sorted(path.name for path in (first / "points").iterdir())[11]
    )  # gru normal seed 2: only in the second
    shutil.rmtree(
        second / "points" / sorted(path.name for path in (second / "points").iterdir())[0]
    )  # rnn orthogonal seed 0: only in the first
    edit_point(first, 4, verdict="carries", score=0.5)
    edit_point(second, 3, verdict="shut", score=0.75)  # rnn normal seed 1, the fourth that is left
    of = found(pair)
    assert of.only_seeds == ([("rnn · orthogonal", "0")], [("gru · normal", "2")])
    assert of.only_recipes == ([], [])
    change = "same settings, other numbers: 0.50 → 0.75; verdict carries → shut"
    assert of.networks == [("rnn · normal", "1", change)]
    by_label = {one.label: one for one in of.recipes}
    assert by_label["gru · normal"].same, "the seeds that both have"
    assert by_label["gru · normal"].first.n == by_label["gru · normal"].second.n == 2
    moved = by_label["rnn · normal"]
    assert moved.difference.value == pytest.approx(0.25 / 3) and moved.paired
    assert moved.difference.low < 0 < moved.difference.high and moved.word == ALIKE
    said = text(of, 20)
    for part in (
        "the same settings gave other numbers in 1 of the 10 networks of both",
        "Of 4 recipes of both, 1 cannot be told apart; 3 are the very same networks.",
        "Only in before: other seeds of 1 recipe.",
        "verdicts shut 2, carries 1 → shut 3",
        "gru · normal: seeds 2",
    ):
        assert part in said, said
    assert re.search(
        r"rnn · normal: cannot be told apart, \+0\.08 \[−0\.\d+, 0\.\d+\], 3 seeds", said
    )


def shifted(pair, shifts):
    """The comparison after each point of the second study has its score shifted by its own."""
    for number, shift in enumerate(shifts):
        name = sorted(path.name for path in (pair[1] / "points").iterdir())[number]
        row = json.loads((pair[0] / "points" / name / "result.json").read_text())["row"]
        edit_point(pair[1], number, score=row["score"] + shift)
    return found(pair)


def test_differences_are_within_seeds_and_words_say_how_sure_they_are(pair):
    """By hand: t of 2 degrees of freedom is 4.303, and at .05 / 4 it is 8.860."""
    shifts = [0.11, 0.1, 0.09, 0.06, 0.05, 0.04, -0.03, -0.02, -0.01, 0.02, -0.01, 0.0]
    of = shifted(pair, shifts)
    assert [one.word for one in of.recipes] == [BETTER, PERHAPS + BETTER, ALIKE, ALIKE]
    assert all(one.paired for one in of.recipes)
    for one, own in zip(of.recipes, ([0.11, 0.1, 0.09], [0.06, 0.05, 0.04]), strict=False):
        half = statistics.stdev(own) / 3**0.5
        assert one.difference.value == pytest.approx(statistics.mean(own))
        assert one.difference.half == pytest.approx(4.3027 * half, rel=1e-4)
        assert one.among_all.half == pytest.approx(8.8602 * half, rel=1e-4)
    assert of.overall.value == pytest.approx(statistics.mean(shifts))
    first = next(one for one in sentences(of) if one.startswith("Of 4 recipes"))
    assert "1 is better and 1 is perhaps better in after; 2 cannot be told apart." in first
    for study in pair:  # less is better: the same differences are worse
        edit(
            study,
            lambda record: [
                one.update(higher_is_better=False)
                for one in record["declaration"]["tasks"].values()
            ],
        )
    assert [one.word for one in found(pair).recipes][:2] == [WORSE, PERHAPS + WORSE]


def test_seeds_of_two_studies_that_differ_are_compared_as_two_samples(pair, tmp_path):
    other = make(
        tmp_path / "other", factors=FACTORS, seeds=(7, 8), steps=8, updates=40, tables=("history",)
    )
    of = compare(Study(Store(pair[0])), Study(other), ())
    assert not any(one.paired for one in of.recipes) and of.shared == 0
    assert [(one.first.n, one.second.n) for one in of.recipes] == [(3, 2)] * 4
    one = of.recipes[0]
    sides = [
        study.stored.query("arm == 0")["score"].tolist()
        for study in (Study(Store(pair[0])), Study(other))
    ]
    wanted = scipy.stats.ttest_ind(sides[1], sides[0], equal_var=False).confidence_interval()
    assert (one.difference.low, one.difference.high) == pytest.approx(tuple(wanted), abs=1e-9)
    assert "No network is in both" in sentences(of)[0]


def test_a_setting_that_differs_is_named_refused_and_allowed_on_demand(pair, capsys):
    edit(pair[1], lambda record: record["declaration"]["fixed"].update(updates=800))
    reconfigure(Store(pair[1]), "updates: 800\ncell: x\n")
    with pytest.raises(StudyError, match=r"updates: 40 in before, 800 in after"):
        found(pair)
    assert main(["diff", str(pair[0]), str(pair[1])]) == 2
    assert "not comparable" in capsys.readouterr().err
    assert found(pair, "updates").allowed == ("updates",)


def test_changed_settings_of_points_are_counted(pair, tmp_path):
    second = make(
        tmp_path / "third",
        factors={**FACTORS, "cell": ["gru", "rnn"]},
        steps=8,
        updates=40,
        examples=40,
        tables=("history",),
    )
    reconfigure(second, "cell: x\noptimizer:\n  lr: 0.01\n")
    of = compare(Study(Store(pair[0])), Study(second), ())
    assert len(of.networks) == 12, (
        "ids follow the order of the grid, so that every point has another one"
    )
    assert of.settings[("optimizer.lr", "absent", "0.01")] == len(
        [one for one in of.networks if one[2].startswith("other settings")]
    )
    assert "optimizer.lr absent → 0.01" in sentences(of)[0], "settings come first"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda record: record["fingerprint"]["tasks"].update(digits="ffff"),
            "task digits: its data differ (hash 3f2a and ffff)",
        ),
        (
            lambda record: record["fingerprint"].update(numerics=2),
            "numerics: 1 in before, 2 in after",
        ),
        (
            lambda record: record["declaration"]["health"].update(fading=-1.0),
            "health.fading: -2.0 in before, -1.0 in after",
        ),
        (
            lambda record: record["declaration"]["tasks"]["digits"].update(solved=0.8),
            "task digits: solved is 0.9 in before, 0.8 in after",
        ),
        (
            lambda record: record["declaration"].update(
                tasks={"adding": record["declaration"]["tasks"]["digits"]}
            ),
            "task: digits in before, adding in after",
        ),
    ],
)
def test_studies_that_are_not_comparable_are_refused(pair, change, said):
    edit(pair[1], change)
    with pytest.raises(StudyError) as error:
        found(pair)
    assert said in str(error.value)


def test_a_factor_only_one_of_them_knows_is_refused(pair, tmp_path):
    wider = make(
        tmp_path / "wider",
        factors={**FACTORS, "dropout_at": [1, 2]},
        steps=8,
        updates=40,
        tables=("history",),
    )
    with pytest.raises(StudyError, match="dropout_at: varies in wider and is not known to before"):
        compare(Study(Store(pair[0])), Study(wider), ())


def test_a_fixed_setting_that_varies_in_the_other_matches_at_its_level(tmp_path):
    one = make(
        tmp_path / "one", factors={"cell": ["rnn", "gru"]}, steps=8, updates=40, tables=("history",)
    )
    both = make(
        tmp_path / "both",
        factors={"cell": ["rnn", "gru"], "depth": [1, 2]},
        steps=8,
        updates=40,
        tables=("history",),
    )
    of = compare(Study(one), Study(both), ())
    assert (of.shared, len(of.only_recipes[1])) == (6, 2)
    assert all("depth 2" in one.label and one.n == 3 for one in of.only_recipes[1])
    assert of.only_levels == ({}, {"depth": ["2"]})
    assert "Only in both: 2 recipes (depth 2)." in sentences(of)


def test_the_page_of_a_comparison_is_whole_stable_and_escaped(pair, tmp_path, capsys):
    edit(pair[0], lambda record: record.update(name="<script>x</script>"))
    edit_point(pair[0], 4, verdict="carries", score=0.5)
    first = write_diff(found(pair), tmp_path / "diff.html").read_bytes()
    assert write_diff(found(pair), tmp_path / "diff.html").read_bytes() == first
    html = first.decode()
    assert "<script>x" not in html and html.count("<script>") == 1
    assert "default-src 'none'" in html and not re.search(r"https?://", html)
    assert html.count("<h1>") == 1 and html.count("<svg") == 1
    assert re.search(r"<title>rnn · normal: cannot be told apart, [^<]*3 seeds in pairs", html)
    assert main(["diff", str(pair[0]), str(pair[1]), "--html", str(tmp_path / "again.html")]) == 0
    assert "1 of the 12 networks" in capsys.readouterr().out
    assert (tmp_path / "again.html").read_bytes() == first


def test_small_studies_of_other_factors_share_no_key(tmp_path):
    a = make(tmp_path / "a", factors=SMALL, steps=8, updates=40, tables=("history",))
    b = make(
        tmp_path / "b",
        factors={**SMALL, "cell": ["lstm"]},
        steps=8,
        updates=40,
        tables=("history",),
    )
    of = compare(Study(a), Study(b), ())
    assert (of.shared, len(of.recipes)) == (0, 0)
    assert "No recipe is in both" in text(of, 5)
    assert "seed" not in sentences(of)[-1] and sentences(of)[-1].startswith("Only in b: ")


def test_findings_that_changed_are_told(pair: tuple[Path, Path]) -> None:
    """The study after has one cell ruined: what was found of the cells is another finding."""
    before, after = pair
    folder = sorted((after / "points").iterdir())
    for number, path in enumerate(folder):
        if json.loads((path / "result.json").read_text())["row"]["cell"] == "gru":
            edit_point(after, number, score=0.05, val_score=0.05)
    found = compare(Study(Store(before)), Study(Store(after)), [])
    assert found.findings and all(" → " in change for _, change in found.findings)
    assert any("gru" in what for what, _ in found.findings), found.findings
    assert "findings that changed (" in text(found, 10)
    assert compare(Study(Store(before)), Study(Store(before)), []).findings == ()
