"""Commands of the page's last line train the study that the page is of."""

from __future__ import annotations

import subprocess
from types import SimpleNamespace
from typing import Any

import pytest

from reports.analysis.next_steps import made_by
from reports.analysis.typed import changed

RUN = "python -m study -m experiment=parity"


@pytest.mark.parametrize(
    ("typed", "command"),
    [
        (None, "make confirm STUDY=parity"),
        (RUN, "make confirm STUDY=parity"),
        (
            f"{RUN} name=parity plan=false store.folder=/x/y 'tracker=[]' executor.workers=1"
            " hydra/launcher=ours",
            "make confirm STUDY=parity",
        ),
        (
            f"{RUN} name=many updates=250 'seed=range(3)'",
            "make confirm STUDY=parity ARGS=\"name=many updates=250 'seed=range(3)'\"",
        ),
        (
            "python -m study --config-dir /home/me/mine -m experiment=parity cell=leaky",
            'make confirm STUDY=parity ARGS="--config-dir <path>/mine cell=leaky"',
        ),
        (
            f"{RUN} 'name=it is $5' task.path=/home/me/my.csv",
            "make confirm STUDY=parity ARGS=\"'name=it is \\$5' task.path=<path>/my.csv\"",
        ),
    ],
)
def test_what_was_typed_is_typed_again(typed: str | None, command: str):
    study: Any = SimpleNamespace(
        launches=[{"command": typed}] if typed else [], record={"experiment": "parity"}, name="many"
    )
    assert made_by(study, "confirm") == command


def test_settings_of_a_step_replace_what_was_typed_and_a_shell_reads_them():
    study: Any = SimpleNamespace(
        launches=[{"command": f"{RUN} updates=250 name=many '+x=a \"$b\" `c`'"}],
        record={"experiment": "parity"},
    )
    command = made_by(study, "sweep", updates=500, name="many_longer")
    words = subprocess.run(
        ["bash", "-c", f"printf '%s\\n' {command.removeprefix('make ')}"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    assert words[:2] == ["sweep", "STUDY=parity"]
    assert words[2] == "ARGS=updates=500 name=many_longer '+x=a \"$b\" `c`'"


def test_the_head_of_the_page_names_what_its_title_may_not_speak_of():
    typed = f"{RUN} task.steps=10 name=many seed=0,1 'tracker=[]' task.path=/home/me/my.csv"
    study: Any = SimpleNamespace(launches=[{"command": typed}], record={"experiment": "parity"})
    assert changed(study) == "task.steps=10 task.path=<path>/my.csv"
    study.record["experiment"] = None
    assert changed(study) == ""
