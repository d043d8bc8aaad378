"""The index page over a folder of studies."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from reports.__main__ import main
from reports.documents.index import write_index
from study.records import StudyError
from tests.reports.conftest import HOSTILE
from tests.reports.synthetic import make


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
    entries = {re.search(r"<b>([^<]*)</b>", part)[1]: part for part in html.split("<article")[1:]}
    assert list(entries) == ["damaged", "empty one", "half", "whole"]
    assert (
        'href="whole/report.html"' in entries["whole"]
        and 'href="empty%20one/report.html"' in entries["empty one"]
    )
    assert (
        "href" not in entries["half"].split("</h2>")[0]
        and "no report rendered yet" in entries["half"]
    )
    assert (
        "6 of 6" in entries["whole"]
        and "5 done" in entries["whole"]
        and "1 diverged" in entries["whole"]
        and "INCOMPLETE" not in entries["whole"]
    )
    assert (
        "3 of 6" in entries["half"]
        and "3 missing" in entries["half"]
        and "INCOMPLETE" in entries["half"]
    )
    assert re.search(
        r"recommended, test accuracy</dt><dd>0\.\d\d"
        r"(\u00a0±\u00a00\.\d\d| \[0\.\d\d, [01]\.\d\d\]) · n=3 · gru",
        entries["whole"],
    )
    assert "2026-11-23 18:00" in entries["whole"]
    assert "cannot be read" in entries["damaged"]
    assert HOSTILE not in html and "&lt;script&gt;" in entries["half"]
    assert (
        str(outputs) not in html
        and "default-src 'none'" in html
        and not re.search(r"https?://", html)
    )


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
