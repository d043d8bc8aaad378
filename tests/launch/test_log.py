"""log.txt of a launch: lines with times, two files at most, nothing private, no launch harmed."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import shutil
from pathlib import Path

import pytest
from rich.console import Console
from rich.table import Table

from study.launch import log
from study.launch.console import LaunchConsole, logged, note, open_log, print_line
from study.launch.log import NAME, LaunchLog, LogFile, Private
from study.records import StudyError


@pytest.fixture
def console():
    made = LaunchConsole()
    yield made
    made.log_file.close()


def test_lines_before_there_is_a_folder_are_kept(console, tmp_path, capsys):
    print_line(console, "first [not markup]")
    print_line(console, "careful", "yellow")
    note(console, "for the log alone")
    assert not list(tmp_path.iterdir())
    open_log(console, tmp_path)
    console.print(Table("a column"))
    lines = (tmp_path / NAME).read_text().splitlines()
    assert [re.sub(r"^[\d: ,-]+", "", line) for line in lines[:3]] == [
        "INFO    first [not markup]",
        "WARNING careful",
        "INFO    for the log alone",
    ]
    assert "a column" in "".join(lines[3:])
    assert "alone" not in capsys.readouterr().out


def test_what_a_bar_redraws_is_not_logged(console, tmp_path):
    from rich.control import Control

    open_log(console, tmp_path)
    console.print(Control())
    assert (tmp_path / NAME).read_text() == ""


def test_an_error_that_ends_a_launch_is_in_it(console, tmp_path):
    with pytest.raises(StudyError), logged(console):
        open_log(console, tmp_path)
        raise StudyError("name: is taken")
    assert "ERROR   error: name: is taken" in (tmp_path / NAME).read_text()


def test_it_stays_below_two_files(tmp_path, monkeypatch):
    monkeypatch.setattr(log, "MOST_BYTES", 1000)
    launch = LaunchLog()
    launch.open(tmp_path)
    for number in range(100):
        launch.info("line %d of a long launch", number)
    launch.close()
    assert {path.name for path in tmp_path.iterdir()} == {NAME, f"{NAME}.1"}
    assert all(path.stat().st_size <= 1000 for path in tmp_path.iterdir())
    assert "line 99 " in (tmp_path / NAME).read_text()


def test_launches_share_a_file_that_one_of_them_rotates(tmp_path, monkeypatch):
    monkeypatch.setattr(log, "MOST_BYTES", 4000)
    first, second = LaunchLog(), LaunchLog()
    for launch in (first, second):
        launch.open(tmp_path)
    for number in range(60):
        first.info("first %d", number)
        second.info("second %d", number)
    for launch in (first, second):
        launch.close()
    both = "".join((tmp_path / name).read_text() for name in (f"{NAME}.1", NAME))
    for word in ("first", "second"):
        found = [int(number) for number in re.findall(rf"{word} (\d+)", both)]
        assert found == list(range(found[0], 60)) and len(found) > 30


def test_a_log_that_cannot_be_written_harms_nothing(tmp_path, capfd):
    launch = LaunchLog()
    launch.open(tmp_path / "missing")
    launch.info("lost")
    launch.close()
    folder = tmp_path / "removed"
    folder.mkdir()
    launch = LaunchLog()
    launch.open(folder)
    shutil.rmtree(folder)
    launch.info("lost")
    launch.info("lost as well")
    launch.close()
    full = LogFile(tmp_path)
    full.stream.close()
    with contextlib.suppress(OSError), Path("/dev/full").open("w") as full.stream:
        full._in_place = lambda number: True
        full.emit(logging.makeLogRecord({"msg": "no room"}))
    assert capfd.readouterr() == ("", "")


def test_paths_and_secrets_of_the_environment_are_left_out(tmp_path):
    environment = {
        "WANDB_API_KEY": "0123456789abcdef",
        "MY_PASSWORD": "correct horse",
        "DEBUG_KEY": "1",
        "SECRET_FILE": "/etc/secret",
        "LANG": "elsewhere",
    }
    formatter = Private(tmp_path, environment)

    def line(text: str) -> str:
        record = logging.makeLogRecord({"msg": text, "levelname": "INFO"})
        return formatter.format(record).split("INFO", 1)[1].strip()

    assert line("key 0123456789abcdef, correct horse, 1 elsewhere") == (
        "key <secret>, <secret>, 1 elsewhere"
    )
    assert line(f"{tmp_path}/points/a") == "<study>/points/a"
    assert line(f"report: file://{tmp_path}/my%20study/report.html") == "report: <path>/report.html"
    assert line("postgresql://me:word@db/x") == "postgresql://<secret>@db/x"
    assert "/srv/data" not in line("task.path=/srv/data/walks.csv has no column y")
    assert str(Path.home()) not in line(f"{Path.home()}/notes") or os.path.sep == str(Path.home())


def test_debug_lines_follow_hydras_verbosity(tmp_path):
    root = logging.getLogger()
    before = root.level
    try:
        root.setLevel(logging.DEBUG)
        launch = LaunchLog()
        launch.open(tmp_path)
        launch.debug("an event")
        logging.getLogger("of.a.library").debug("asked for it")
        launch.close()
    finally:
        root.setLevel(before)
    text = (tmp_path / NAME).read_text()
    assert "DEBUG   an event" in text and "asked for it" in text
    quiet = LaunchLog()
    (tmp_path / NAME).unlink()
    quiet.open(tmp_path)
    quiet.debug("an event")
    logging.getLogger("of.a.library").warning("not ours")
    quiet.close()
    assert (tmp_path / NAME).read_text() == ""


def test_other_consoles_have_no_log(tmp_path):
    console = Console(file=(tmp_path / "shown").open("w"))
    open_log(console, tmp_path)
    note(console, "nowhere")
    assert [path.name for path in tmp_path.iterdir()] == ["shown"]
