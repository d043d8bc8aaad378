"""Fixtures of the browser tests: Debian's Chromium, headless, and no other."""

from __future__ import annotations

import os
import shutil

import pytest

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
INSTALL = "no Chromium here: apt-get install chromium"


@pytest.fixture(scope="session")
def chromium() -> str:
    """Path of the browser. Without one the test is skipped, and fails where CI is set."""
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        if os.environ.get("CI", "").lower() in ("1", "true"):
            pytest.fail(INSTALL)
        pytest.skip(INSTALL)
    return path


@pytest.fixture(scope="session")
def browser_type_launch_args(chromium: str) -> dict[str, object]:
    """What pytest-playwright starts the browser with."""
    return {"executable_path": chromium, "args": FLAGS, "headless": True}
