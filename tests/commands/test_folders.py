"""Commands that read a study find it by its overrides, too, as make's targets pass them on."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from study.commands.main import in_folder
from tests import ROOT
from tests.commands.script import environment

STORED = ROOT / "tests" / "compatibility" / "stores" / "quick"


def test_overrides_are_replaced_by_the_folder_of_their_study(tmp_path: Path):
    (tmp_path / "section").mkdir()
    named = ["experiment=quick", "name=mine", "store.folder=my results", "seed=0,1"]
    assert in_folder("status", [*named, "--repair"]) == ["my results/mine", "--repair"]
    judged = ["--fail-if", "score=0.9", "--config-dir", str(tmp_path)]
    assert in_folder("check", [*named, *judged]) == [
        *["my results/mine", "--config-dir", str(tmp_path)],
        *["--fail-if", "score=0.9"],
    ]
    assert in_folder("sync", ["outputs/mine", "--seconds", "3"])[0] == "outputs/mine"
    assert in_folder("compact", []) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("target", "told"),
    [
        ("report", "my results/mine/report.html"),
        ("sync", "no offline runs are waiting"),
        ("compact", "mine: "),
    ],
)
def test_targets_of_make_follow_name_and_folder(tmp_path: Path, target: str, told: str):
    """The line that make would run, in a folder with a study of this name."""
    shutil.copytree(STORED, tmp_path / "my results" / "mine")
    arguments = "name=mine 'store.folder=my results'"
    printed = subprocess.run(
        ["make", "-n", "-C", str(ROOT), target, "STUDY=quick", f"ARGS={arguments}"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout
    (line,) = [each for each in printed.splitlines() if " -m study.commands " in each]
    ran = subprocess.run(
        line.replace(".venv/bin/python", shlex.quote(sys.executable)),
        shell=True,
        cwd=tmp_path,
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert ran.returncode == 0 and told in ran.stdout, ran.stdout + ran.stderr
    assert not (tmp_path / "outputs").exists()
