"""Studies and pages the tests of the report share; made once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from reports.data.study import Study
from reports.documents.page import write
from study.store import Store
from tests.reports.synthetic import make

HOSTILE = "<script>alert(1)</script>"
SMALL = {"cell": ["rnn", "gru"], "initializer": ["orthogonal", "normal"], "clip": ["none", "norm"]}


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """8 arms, 3 seeds, 24 steps; one point diverged, one failed, two missing."""
    folder = tmp_path_factory.mktemp("outputs") / "small"
    return make(
        folder,
        factors=SMALL,
        steps=24,
        updates=80,
        stored=22 / 24,
        diverged=(4,),
        failed=(7,),
        examples=60,
    )


@pytest.fixture(scope="session")
def small_study(small: Store) -> Study:
    return Study(small)


@pytest.fixture(scope="session")
def small_page(small: Store) -> Path:
    """The report of the small study, rendered."""
    return write(small.folder)


@pytest.fixture(scope="module")
def browser(playwright: Any, browser_type_launch_args: dict[str, Any]) -> Iterator[Any]:
    """A browser of pytest-playwright's own Playwright: a process can run one of them only."""
    browser = playwright.chromium.launch(**browser_type_launch_args)
    yield browser
    browser.close()
