"""What the README shows is what the code does."""

from __future__ import annotations

from pathlib import Path

import pytest

from study.config.paths import conf_folder
from tests import ROOT
from tests.support import theory

README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def rows() -> list[theory.Row]:
    return list(theory.rows())


def test_every_row_of_the_theory_table_holds(rows):
    assert [row.setting for row in rows if not row.holds] == []
    assert len(rows) >= 13


def test_the_readme_shows_the_table_as_it_comes_out(monkeypatch, rows):
    monkeypatch.setattr(theory, "rows", lambda: rows)
    assert "\n".join(theory.lines()) in README


@pytest.mark.parametrize("group", ["experiment", "task", "probe", "initializer", "clip"])
def test_every_level_is_named(group):
    for path in sorted((Path(conf_folder()) / group).glob("*.yaml")):
        name = path.stem.removeprefix("normal") if path.stem.startswith("normal_") else path.stem
        assert f"`{name}`" in README, f"{group}/{path.name}"
