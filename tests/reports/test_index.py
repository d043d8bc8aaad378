"""The index page over a folder of studies."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from reports.__main__ import main
from reports.analysis.arms import summary
from reports.analysis.recommendation import use_words
from reports.analysis.two_factors import small_matrix
from reports.data.study import UNKNOWN, Study
from reports.documents.index import write_index
from study.records import StudyError
from study.store import Store
from tests.reports.conftest import HOSTILE
from tests.reports.synthetic import TASK, make


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("outputs")
    make(
        folder / "whole",
        factors={"cell": ["rnn", "gru"]},
        steps=8,
        updates=40,
        tables=("history",),
        diverged=(1,),
    )
    make(
        folder / "half",
        factors={"cell": ["rnn", "gru"]},
        steps=8,
        updates=40,
        tables=("history",),
        stored=0.5,
        question=HOSTILE,
    )
    make(folder / "empty one", factors={"cell": ["rnn", "gru"]}, steps=8, updates=40, stored=0.0)
    (folder / "whole" / "report.html").write_text("here")
    (folder / "empty one" / "report.html").write_text("here")
    (folder / "damaged").mkdir()
    (folder / "damaged" / "study.json").write_text("{")
    (folder / "no study").mkdir()
    return folder


def test_every_study_is_listed_with_what_it_found(outputs: Path) -> None:
    path, n = write_index(outputs, None)
    html = path.read_text(encoding="utf-8")
    assert (path, n) == (outputs / "index.html", 4)
    entries = {
        re.search(r"<b>([^<]*)</b>", part)[1]: part for part in html.split('<tr id="study')[1:]
    }
    assert list(entries) == ["damaged", "empty one", "half", "whole"]
    assert (
        'href="whole/report.html"' in entries["whole"]
        and 'href="empty%20one/report.html"' in entries["empty one"]
    )
    assert "href" not in entries["half"] and "no report rendered yet" in entries["half"]
    assert "6 of 6" in entries["whole"] and "INCOMPLETE" not in entries["whole"]
    assert "5 done" in entries["whole"] and "1 diverged" in entries["whole"]
    assert ">17 %<" in squeezed(entries["whole"]) and "1 of 6" in entries["whole"]
    assert "3 of 6" in entries["half"] and "3 missing" in entries["half"]
    assert "INCOMPLETE" in entries["half"]
    assert "there is no answer" in entries["empty one"]
    study = Study(Store(outputs / "whole"))
    answer = use_words(study, summary(study))
    assert answer.startswith("gru (by ") and squeezed(answer) in squeezed(entries["whole"])
    assert "2026-11-23" in entries["whole"] and "18:00" in entries["whole"]
    assert "cannot be read" in entries["damaged"]
    assert HOSTILE not in html and "&lt;script&gt;" in entries["half"]
    assert (
        str(outputs) not in html
        and "default-src 'none'" in html
        and not re.search(r"https?://", html)
    )


def squeezed(text: str) -> str:
    return text.replace("\u00a0", " ")


def test_a_small_matrix_has_what_was_solved_and_lost(tmp_path: Path) -> None:
    """Against counts by hand: levels pooled over depth, which is neither row nor column."""
    factors = {"depth": [1, 2], "initializer": ["orthogonal", "normal"], "cell": ["rnn", "gru"]}
    store = make(tmp_path / "one", factors=factors, steps=8, updates=40, diverged=(1, 2), tables=())
    study = Study(store)
    found = small_matrix(study)
    assert (found.names, found.rows, found.columns) == (
        ("cell", "initializer"),
        ["rnn", "gru"],
        ["orthogonal", "normal"],
    )
    for row, line in zip(found.rows, found.squares, strict=True):
        for column, square in zip(found.columns, line, strict=True):
            there = study.stored[["cell", "initializer"]].eq([row, column]).all(axis=1)
            own = study.stored[there]
            solved = int((own["outcome"] == "solved").sum())
            assert (square.text, len(own)) == (f"{solved}/6", 6)
            assert square.lost == int((own["status"] == "diverged").sum())
    assert sum(one.lost for line in found.squares for one in line) == 2


def test_a_small_matrix_without_a_rule_has_scores_and_pools_long_factors(tmp_path: Path) -> None:
    scores = {"rnn": 0.4, "gru": 0.2}  # errors: gru is better
    task = {**TASK, "metric": "mean squared error", "higher_is_better": False, "solved": None}
    store = make(
        tmp_path / "errors",
        factors={"cell": list(scores), "hidden": list(range(1, 11))},
        seeds=(0, 1),
        steps=8,
        updates=40,
        tables=(),
        task=task,
        score=lambda labels, _: scores[labels["cell"]],
    )
    found = small_matrix(Study(store))
    assert found.says == "mean test squared error" and found.columns == [UNKNOWN]
    assert [[one.text for one in line] for line in found.squares] == [["0.40"], ["0.20"]]
    assert [line[0].share for line in found.squares] == [0.0, 1.0]
    one = make(tmp_path / "one", factors={"cell": ["gru"]}, steps=8, updates=40, tables=())
    assert small_matrix(Study(one)) is None


def test_same_studies_same_bytes_wherever_they_lie(outputs: Path, tmp_path: Path) -> None:
    first = write_index(outputs, None)[0].read_bytes()
    assert write_index(outputs, None)[0].read_bytes() == first
    shutil.copytree(outputs, tmp_path / "moved")
    assert write_index(tmp_path / "moved", None)[0].read_bytes() == first


def test_an_index_elsewhere_links_only_to_what_lies_below_it(outputs: Path, tmp_path: Path) -> None:
    write_index(outputs, outputs.parent / "above.html")
    assert f'href="{outputs.name}/whole/report.html"' in (outputs.parent / "above.html").read_text()
    write_index(outputs, tmp_path / "aside.html")
    assert (
        'href="#main"' in (tmp_path / "aside.html").read_text()
        and "report.html" not in (tmp_path / "aside.html").read_text()
    )


def test_a_folder_without_studies_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(StudyError, match="no study here"):
        write_index(tmp_path, None)
    assert main(["index", str(tmp_path / "nowhere")]) == 2
    assert "no such folder" in capsys.readouterr().err
