"""A failed test's output fits a screen, and -vv shows all of it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import ROOT

FAILS = """
def test_it():
    for number in range(500):
        print("printed", number)
    assert False, "\\n".join(f"told {number}" for number in range(500))
"""


def shown(folder: Path, *options: str) -> str:
    (folder / "test_fails.py").write_text(FAILS)
    plugins = ["-p", "tests.support.screen", "-p", "no:cacheprovider", "-p", "no:xdist"]
    # pytest shortens nothing by itself where it runs in CI.
    environment = {name: value for name, value in os.environ.items() if name != "CI"}
    return subprocess.run(
        [sys.executable, "-m", "pytest", *plugins, "--tb=short", *options, "test_fails.py"],
        cwd=folder,
        env={**environment, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    ).stdout


def test_a_long_error_and_long_output_are_shortened_in_the_middle(tmp_path: Path) -> None:
    text = shown(tmp_path)
    assert len(text.splitlines()) < 90
    assert "1 failed" in text and text.count("lines left out, which -vv shows") == 2
    for number in (0, 499):
        assert f"printed {number}\n" in text and f"told {number}\n" in text


@pytest.mark.parametrize("what", ["printed", "told"])
def test_with_vv_everything_is_shown(tmp_path: Path, what: str) -> None:
    text = shown(tmp_path, "-vv")
    assert all(f"{what} {number}\n" in text for number in range(500))
