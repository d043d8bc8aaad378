"""A page is kept only as long as nothing that it is made of has changed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from reports.__main__ import main
from reports.documents import page as pages
from reports.documents.kept import keep_answer, kept_answer, made_of


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    study = tmp_path / "outputs" / "mine"
    for name in ("points/a1/result.json", "tables/arms.parquet", "study.json", "log.txt"):
        (study / name).parent.mkdir(parents=True, exist_ok=True)
        (study / name).write_text("1")
    before = made_of(study)
    for name in ("report.html", "report.json"):
        (study / name).write_text("page")
    keep_answer(study, before, "use gru")
    return study


def test_a_page_is_kept_while_nothing_has_changed(folder: Path) -> None:
    assert kept_answer(folder) == "use gru"
    for name in ("log.txt", "log.txt.1", "points.parquet", "wandb", "leases"):
        (folder / name).write_text("more")
    assert kept_answer(folder) == "use gru"


@pytest.mark.parametrize(
    "name",
    [
        "points/a1/result.json",  # another number of the same length
        "points/a2/result.json",
        "study.json",
        "search/summary.json",
        "wandb/addresses.jsonl",  # where runs are online, to which the page links
        "../tuned/search/summary.json",
        "report.html",
        "report.json",
        "tables/other.parquet",
    ],
)
def test_a_changed_file_is_seen_even_if_its_date_and_size_are_as_before(
    folder: Path, name: str
) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    stat = path.stat() if path.exists() else None
    path.write_text("2")
    if stat:
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert kept_answer(folder) is None


def test_a_removed_file_and_new_code_are_seen(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reports.documents.kept._version", lambda package: "0")
    assert kept_answer(folder) is None
    monkeypatch.undo()
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder.parents[1] / "cache"))
    assert kept_answer(folder) == "use gru"
    (folder / "points" / "a1" / "result.json").unlink()
    assert kept_answer(folder) is None


def test_the_command_says_that_it_kept_the_page_and_renders_with_own_sections(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rendered = []

    def render(folder: Path, config_dirs: list[Path]) -> tuple[Path, pages.Page]:
        rendered.append(config_dirs)
        return folder / "report.html", pages.Page("", "", {}, answer="use lstm")

    monkeypatch.setattr(pages, "render", render)
    assert main(["render", str(folder)]) == 0
    assert not rendered
    said = capsys.readouterr().out
    assert said.startswith("use gru\n")
    assert "nothing that it is made of has changed" in said
    assert main(["render", str(folder), "--config-dir", str(folder)]) == 0
    (folder / "points" / "a1" / "result.json").write_text("22")
    assert main(["render", str(folder)]) == 0
    assert len(rendered) == 2
    assert kept_answer(folder) == "use lstm"
