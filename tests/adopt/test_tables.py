"""Tables become studies: factors, seeds, ids, adopting again, and what is no table of runs."""

from __future__ import annotations

import importlib
import io
import re
import shlex
import shutil
from pathlib import Path

import pandas as pd
import pytest

import study
from study.records import StudyError
from study.store import Store
from tests.adopt.runs import command, page, real, runs
from tests.support.pages import PAGES

SCORES = {"score": "test_acc", "val_score": "val_acc"}


def written(folder: Path, table: pd.DataFrame, name: str = "runs.csv") -> Path:
    path = folder / name
    table.to_parquet(path) if name.endswith(".parquet") else table.to_csv(path, index=False)
    return path


@pytest.mark.slow
def test_the_commands_write_a_study_and_its_page(tmp_path: Path):
    written(tmp_path, runs())
    shown, *_ = re.findall(r"^python -m (study\.adopt .*)$", PAGES["README.md"], re.M)
    adopted = real(tmp_path, *shlex.split(shown))
    assert adopted.returncode == 0, adopted.stderr
    assert "stored in outputs/mine; " in adopted.stdout
    assert "-m reports render outputs/mine" in adopted.stdout
    for options in ("render outputs/mine", "check outputs/mine", "index outputs"):
        done = real(tmp_path, "reports", *options.split())
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in done.stderr
    same = real(tmp_path, "reports", "diff", "outputs/mine", "outputs/mine")
    assert "No setting of the 24 networks of both differs." in same.stdout
    assert "the very same: no score differs" in same.stdout
    failed = real(tmp_path, "reports", "check", "outputs/mine", "--fail-if", "score < 0.6")
    assert failed.returncode == 1
    assert "holds for 2 of 6" in failed.stdout


@pytest.mark.parametrize("kind", ["csv", "parquet", "frame"])
def test_every_kind_of_table_gives_the_same_scores(tmp_path: Path, kind: str):
    table = runs()
    given = table if kind == "frame" else written(tmp_path, table, f"runs.{kind}")
    result = study.adopt(given, name="mine", folder=tmp_path, **SCORES)
    points = result.points.set_index(["cell", "initializer", "seed"])["score"]
    expected = table.set_index(["cell", "initializer", "seed"])["test_acc"]
    pd.testing.assert_series_equal(
        points.sort_index(), expected.sort_index(), check_names=False, check_index_type=False
    )
    assert study.load(tmp_path / "mine").points.equals(result.points)
    launch = Store(tmp_path / "mine").study()["launches"][-1]["adopted"]
    assert launch["kind"] == kind
    assert "/" not in launch["name"]
    assert len(launch["digest"]) == 16


def test_separators_and_marks_of_spreadsheets(tmp_path: Path):
    text = runs().to_csv(index=False, sep=";")
    (tmp_path / "runs.csv").write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert len(study.adopt(tmp_path / "runs.csv", name="a", folder=tmp_path, **SCORES).points) == 24


def test_the_package_can_be_called_once_it_was_imported(tmp_path: Path):
    importlib.import_module("study.adopt.api")
    assert len(study.adopt(runs(), name="a", folder=tmp_path, **SCORES).points) == 24


def test_adopting_again_adds_what_is_new_and_changes_nothing_else(tmp_path: Path):
    table = runs()
    first, whole = table[table["seed"] < 3], table
    study.adopt(written(tmp_path, first), name="mine", folder=tmp_path, **SCORES)
    points = tmp_path / "mine" / "points"
    before = {path: path.read_bytes() for path in points.rglob("*") if path.is_file()}
    result = study.adopt(written(tmp_path, whole), name="mine", folder=tmp_path, **SCORES)
    assert len(result.points) == 24
    assert all(path.read_bytes() == data for path, data in before.items())
    assert {point.name for point in points.iterdir()} == set(result.points["id"])
    # a part of the table takes nothing away
    again = study.adopt(written(tmp_path, first), name="mine", folder=tmp_path, **SCORES)
    assert again.points.equals(result.points)


def test_runs_that_were_set_aside_are_adopted_again(tmp_path: Path):
    """As are those that an interrupted adoption left out."""
    path = written(tmp_path, runs())
    result = study.adopt(path, name="mine", folder=tmp_path, **SCORES)
    first, second, *_ = sorted((result.folder / "points").iterdir())
    shutil.rmtree(first)
    (second / "result.json").write_bytes(b"{}")
    assert study.adopt(path, name="mine", folder=tmp_path, **SCORES).points.equals(
        Store(result.folder).points().set_index("id").loc[result.points["id"]].reset_index()
    )
    assert not Store(result.folder).damaged()


def test_no_path_of_this_machine_is_kept(tmp_path: Path):
    table = runs(data=str(tmp_path / "data.csv"))
    path = written(tmp_path, table)
    done = command(tmp_path, str(path), "--name=mine", "--score=test_acc")
    assert done.returncode == 0, done.stderr
    kept = [one.read_text() for one in (tmp_path / "outputs").rglob("*.json")]
    assert len(kept) == 25
    assert not [text for text in kept if str(tmp_path) in text]
    assert "<path>/runs.csv" in page(tmp_path / "outputs" / "mine")


def test_another_score_of_a_stored_run_is_refused(tmp_path: Path):
    table = runs()
    study.adopt(written(tmp_path, table), name="mine", folder=tmp_path, **SCORES)
    table.loc[5, "test_acc"] = 0.9
    with pytest.raises(
        StudyError, match=r"line 7: cell rnn, initializer normal, seed 1 was .*0\.9"
    ):
        study.adopt(written(tmp_path, table), name="mine", folder=tmp_path, **SCORES)


def test_a_run_of_another_file_is_refused(tmp_path: Path):
    table = runs()
    study.adopt(written(tmp_path, table), name="mine", folder=tmp_path, **SCORES)
    other = written(tmp_path, table, "others.csv")
    with pytest.raises(StudyError, match=r"adopted before, from runs\.csv \(line 2\)"):
        study.adopt(other, name="mine", folder=tmp_path, **SCORES)


def test_claims_stay_when_runs_are_added(tmp_path: Path):
    claim = {
        "statement": "gru is better",
        "better": {"cell": "gru"},
        "worse": {"cell": "rnn"},
        "by": "score",
        "least": 0.02,
    }
    study.adopt(runs(3), name="mine", folder=tmp_path, claims=[claim], **SCORES)
    study.adopt(runs(3), name="mine", folder=tmp_path, **SCORES)
    assert Store(tmp_path / "mine").study()["declaration"]["claims"] == [claim]


# --- factors and seeds ----------------------------------------------------------------------------


def test_any_column_may_be_a_factor(tmp_path: Path):
    """Names that pages use otherwise are kept apart from what they stand for there."""
    names = ["lag", "time", "D", "val_loss", "updates"]
    for name in names:
        table = runs().rename(columns={"cell": name})
        result = study.adopt(
            table, name=name, folder=tmp_path, factors=[name, "initializer"], **SCORES
        )
        assert f"{name.replace('_', ' ')} gru" in page(result.folder)


def test_levels_of_texts_and_numbers(tmp_path: Path):
    table = pd.DataFrame(
        {
            "clip": ["None", "None", "0.10", "0.10", "10", "10"],
            "acc": [0.1, 0.2, 0.3, 0.4, 0.5, 0.6],
        }
    )
    result = study.adopt(written(tmp_path, table), name="a", folder=tmp_path, score="acc")
    assert Store(result.folder).study()["declaration"]["factors"] == {
        "clip": ["None", "0.10", "10"]
    }
    table["clip"] = ["10", "10", "0.10", "0.1", "2", "2"]
    result = study.adopt(written(tmp_path, table), name="b", folder=tmp_path, score="acc")
    assert Store(result.folder).study()["declaration"]["factors"] == {"clip": [0.1, 2, 10]}


def test_rows_without_seeds_are_replicates(tmp_path: Path):
    table = runs().drop(columns="seed")
    done = command(tmp_path, str(written(tmp_path, table)), "--name=a", "--score=test_acc")
    assert "no column of seeds: rows of one arm are its replicates" in done.stderr
    text = page(tmp_path / "outputs" / "a")
    assert "There is no column of seeds: rows of one recipe count as its replicates" in text


def test_columns_that_vary_together_are_one_factor(tmp_path: Path):
    table = runs(cell_class=lambda of: of["cell"].str.upper(), run=lambda of: of.index)
    path = written(tmp_path, table)
    done = command(tmp_path, str(path), "--name=a", "--score=test_acc")
    assert "factors found: cell, initializer; left out: " in done.stderr
    assert "val_acc (" in done.stderr
    assert "cell_class (varies as cell does), run (differs in every row)" in done.stderr


def test_a_task_column_makes_problems(tmp_path: Path):
    table = pd.concat([runs().assign(data="a"), runs().assign(data="b")])
    result = study.adopt(table, name="a", folder=tmp_path, task="data", **SCORES)
    assert "On a: gru · orthogonal (by validation score): mean test" in page(result.folder)
    assert set(Store(result.folder).study()["declaration"]["tasks"]) == {"a", "b"}


def test_histories_join_by_run_or_by_factors_and_seed(tmp_path: Path):
    table = runs(run=lambda of: [f"r{at}" for at in of.index])
    rows = [
        {"step": at, "train/loss": 2 / (1 + at), "val/loss": 2.1 / (1 + at)} for at in (0, 5, 9)
    ]
    curves = pd.DataFrame([{"run": run, **row} for run in table["run"] for row in rows])
    result = study.adopt(table, name="a", folder=tmp_path, history=curves, **SCORES)
    history = result.table("history")
    assert len(history) == 3 * 24
    assert history["update"].tolist()[:3] == [0, 5, 9]
    assert history["loss"].iloc[0] == 2
    assert result.points["updates_done"].eq(9).all()
    keyed = curves.merge(table, on="run").drop(columns="run")
    other = study.adopt(table, name="b", folder=tmp_path, history=keyed, **SCORES)
    assert len(other.table("history")) == 3 * 24
    text = page(result.folder)
    assert "Above: the validation loss as it was recorded" in text
    assert "loss / baseline" not in text


# --- what is refused ------------------------------------------------------------------------------

CASES = {
    "a column": (
        {"score": "accuracy"},
        {},
        r"score: a frame has no column 'accuracy'; it has cell,",
    ),
    "a factor": ({"factors": ["cel"]}, {}, r"factors: a frame has no column 'cel'; it has cell,"),
    "no number": (
        {},
        {"test_acc": ["x"] + [0.5] * 23},
        r"test_acc: row 0 has 'x', which is not a n",
    ),
    "every row": (
        {"factors": ["cell", "run"]},
        {"run": range(24)},
        r"factors: run differs in every one of the 24 rows",
    ),
    "one recipe": (
        {"factors": ["cell"]},
        {"cell": "rnn"},
        r"all 24 runs are of one arm \(cell rnn\)",
    ),
    "solved": ({"solved": 0.1, "baseline": 0.2}, {}, r"solved: must be above the baseline \(0\.2"),
    "solved below": (
        {"solved": 0.9, "baseline": 0.2, "higher_is_better": False},
        {},
        r"solved: must be below the baseline \(0\.2",
    ),
    "tasks": (
        {"factors": ["cell", "initializer"]},
        {"task": ["a", "b"] * 12},
        r"task: the runs are of 2 tasks \(a, b\), whose scores do not compare; name the column",
    ),
    "a status": (
        {},
        {"status": "odd"},
        r"status: row 0 has 'odd'; it must be one of done, finished",
    ),
    "a seed": ({}, {"seed": "x"}, r"seed: must be whole numbers, row 0 has 'x'"),
    "twice": ({}, {"seed": 0}, r"row 0 and row 1 are the same run \(cell rnn, initializer ortho"),
    "an empty level": (
        {"factors": ["cell"]},
        {"cell": [None] + ["a", "b"] * 11 + ["a"]},
        r"row 0 has no level of cell",
    ),
    "a direction": ({"score": "points"}, {"points": 1.0}, r"say whether a higher points is better"),
    "a measure": (
        {
            "claims": [
                {
                    "statement": "s",
                    "better": {"cell": "gru"},
                    "worse": {"cell": "rnn"},
                    "by": "D",
                    "least": 1,
                }
            ]
        },
        {},
        r"study\.claims: by D needs transport of gradients, which these runs did not record",
    ),
    "a level": (
        {
            "contrasts": [
                {"name": "n", "first": {"cell": "gr"}, "second": {"cell": "rnn"}, "by": "score"}
            ]
        },
        {},
        r"study\.contrasts: cell has the levels rnn, lstm, gru in this plan, got 'gr'",
    ),
    "curves of none": (
        {"history": pd.DataFrame({"run": ["r9"], "update": [0], "loss": [1.0]})},
        {"run": [f"q{at}" for at in range(24)]},
        r"history: row 0 is of a run that a frame lacks \(run r9\)",
    ),
    "a name": ({"name": "../up"}, {}, r"name: must be the name of a folder"),
}


@pytest.mark.parametrize("case", CASES)
def test_bad_input_gets_one_sentence(tmp_path: Path, case: str):
    arguments, columns, expected = CASES[case]
    table = runs().assign(**columns)
    with pytest.raises(StudyError, match=expected):
        study.adopt(table, **{"name": "a", "folder": tmp_path, **SCORES, **arguments})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a,b\n1,2\n3\n", "line 3 has 1 fields, the header has 2"),
        ("", "is empty"),
        ("a,b\n", "has no rows"),
        ("a,a\n1,2\n", "has the column 'a' twice"),
        ('a,b\n1,"2\n', "not readable as CSV (line 2"),
    ],
)
def test_broken_files_are_refused_by_the_command(tmp_path: Path, text: str, expected: str):
    (tmp_path / "runs.csv").write_text(text)
    done = command(tmp_path, "runs.csv", "--name=a", "--score=b")
    assert done.returncode == 2
    assert done.stderr.startswith("error: runs.csv: ")
    assert expected in done.stderr


def test_a_folder_without_runs_is_refused(tmp_path: Path):
    done = command(tmp_path, ".", "--name=a")
    assert "holds neither W&B runs" in done.stderr
    assert "there is no such file" in command(tmp_path, "none.csv", "--name=a").stderr


def test_messages_go_to_one_place_and_results_to_the_other(tmp_path: Path):
    out = io.StringIO(command(tmp_path, "none.csv", "--name=a").stdout)
    assert out.read() == ""
