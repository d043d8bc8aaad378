"""The tiers name what is there: a file that is renamed must not fall out of one unseen."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests import ROOT, conftest

FILES = sorted(path for path in (ROOT / "tests").rglob("test_*.py"))


def test_every_file_of_the_fast_tier_is_there():
    text = (ROOT / "Makefile").read_text()
    (line,) = re.findall(r"^FAST := \$\(addprefix tests/, (.*)\)$", text, re.M)
    for name in line.split():
        path = ROOT / "tests" / name
        assert path in FILES or any(file.is_relative_to(path) for file in FILES), name


def test_every_file_that_begins_first_is_there():
    assert set(conftest.LONGEST) <= {path.stem for path in FILES}


class Config:
    """As much of pytest's configuration as the rule reads."""

    def __init__(self, tier: str) -> None:
        self.option = self
        self.markexpr = tier


@pytest.mark.parametrize(
    ("text", "tiers"),
    [
        ("pytestmark = pytest.mark.slow\n", ["slow"]),
        ("pytestmark = [pytest.mark.browser, pytest.mark.slow]\n", ["slow"]),
        ("@pytest.mark.slow\ndef test_it(): ...\n", ["not slow", "slow"]),
        ("def test_it(): ...\n", ["not slow"]),
    ],
)
def test_a_tier_imports_a_file_that_has_tests_of_it(tmp_path: Path, text: str, tiers: list[str]):
    path = tmp_path / "test_it.py"
    path.write_text(text)
    found = [
        tier
        for tier in ("not slow", "slow")
        if not conftest.pytest_ignore_collect(path, Config(f"{tier} and not cluster"))
    ]
    assert found == tiers
    assert not conftest.pytest_ignore_collect(path, Config("not cluster"))
