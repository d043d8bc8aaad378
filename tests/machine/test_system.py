"""Where the system lacks what training needs, the first line says so, and nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import ROOT

# What Python lacks on Windows, hidden before anything of ours is imported.
WINDOWS = """
import os, runpy, signal, sys
del os.fork, signal.SIGKILL
sys.modules["fcntl"] = None
"""
COMMANDS = {
    "study": "runpy.run_module('study', run_name='__main__', alter_sys=True)",
    "script": "from study.commands.main import start; sys.argv[1:] = ['run', 'cell=rnn']; start()",
    "python": "import study; study.plan('quick')",
}


@pytest.mark.parametrize("by", COMMANDS)
def test_the_first_line_names_what_is_missing_and_what_is_supported(tmp_path: Path, by: str):
    ran = subprocess.run(
        [sys.executable, "-c", WINDOWS + COMMANDS[by], "cell=rnn"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    said = "training needs os.fork, fcntl.flock, signal.SIGKILL, which Python does not have on "
    assert ran.returncode != 0
    assert ran.stdout == ""
    if by == "python":
        assert ran.stderr.splitlines()[-1].startswith(f"study.records.StudyError: {said}")
    else:
        assert ran.stderr.startswith(f"error: {said}")
        assert ran.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())
