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
def browser(chromium: str, browser_type_launch_args: dict[str, Any]) -> Iterator[Any]:
    """Of a module, not of the session: Playwright's event loop ends with it, and a notebook's test
    in the same process needs one of its own.
    """
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(**browser_type_launch_args)
        yield browser
        browser.close()
