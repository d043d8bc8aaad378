"""render --watch: the page follows the store, reloads itself only while the study runs, and ends
with it or with Ctrl-C.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from reports.documents import watch as watching
from study.store import Store
from tests import ROOT
from tests.reports.synthetic import make
from tests.support.helpers import hears_ctrl_c


@pytest.fixture
def running(tmp_path: Path) -> Store:
    """Half of a study is stored and its launch has not ended."""
    store = make(
        tmp_path / "live",
        factors={"cell": ["rnn", "gru"]},
        steps=8,
        updates=40,
        tables=("history",),
        stored=0.5,
    )
    launch(store, None)
    return store


def launch(store: Store, seconds: float | None) -> None:
    record = json.loads((store.folder / "study.json").read_text())
    record["launches"][-1]["seconds"] = seconds
    (store.folder / "study.json").write_text(json.dumps(record))


def page(store: Store) -> str:
    return (store.folder / "report.html").read_text(encoding="utf-8")


def test_the_page_follows_the_store_and_ends_with_the_study(
    running: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = make(
        tmp_path / "whole" / "live",
        factors={"cell": ["rnn", "gru"]},
        steps=8,
        updates=40,
        tables=("history",),
    )
    monkeypatch.setattr(watching, "POLL", 0.02)
    said: list[str] = []
    pages: list[str] = []

    def say(line: str) -> None:
        said.append(line)
        pages.append(page(running))
        if len(said) == 1:  # one more point, then all of them and the end of the launch
            threading.Timer(
                0.1,
                lambda: shutil.copytree(
                    whole.folder / "points" / whole.ids()[3],
                    running.folder / "points" / whole.ids()[3],
                ),
            ).start()
        elif len(said) == 2:
            for id in whole.ids()[4:]:
                shutil.copytree(whole.folder / "points" / id, running.folder / "points" / id)
            launch(running, 7.0)

    path, broken = watching.watch(running.folder, (), 0.05, say)
    assert [line.split(":")[0] for line in said] == ["3/6 points", "4/6 points", "6/6 points"]
    assert [
        "INCOMPLETE 3/6" in pages[0],
        "INCOMPLETE 4/6" in pages[1],
        "INCOMPLETE" in pages[2],
    ] == [True, True, False]
    assert ['<body data-reload="0.05"' in text for text in pages] == [True, True, False]
    assert 'id="reload"' not in pages[2] and (path, list(broken)) == (
        running.folder / "report.html",
        [],
    )


def test_a_study_that_does_not_run_is_rendered_once(running: Store) -> None:
    launch(running, 3.0)
    said: list[str] = []
    watching.watch(running.folder, (), 5.0, said.append)
    assert len(said) == 1 and "data-reload" not in page(running)


def test_ctrl_c_leaves_a_page_that_no_longer_reloads(running: Store) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "reports", "render", str(running.folder), "--watch", "1"]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        preexec_fn=hears_ctrl_c,
    )
    assert "3/6 points" in process.stdout.readline()
    assert "data-reload" in page(running)
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0 and "stopped watching" in out and "Traceback" not in err
    assert (
        "data-reload" not in page(running)
        and 'class="watch' not in page(running)
        and "INCOMPLETE 3/6" in page(running)
    )


def test_a_study_that_is_done_but_for_its_last_word_does_not_run(
    running: Store, tmp_path: Path
) -> None:
    whole = make(
        tmp_path / "whole" / "live",
        factors={"cell": ["rnn", "gru"]},
        steps=8,
        updates=40,
        tables=("history",),
    )
    launch(whole, None)
    assert watching.running(running) and not watching.running(whole)
