"""reports/gallery from a study's folder: its page as the tool made it, and a picture of the first
screen. python -m tests.support.gallery outputs/digits
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from tests import ROOT
from tests.conftest import FLAGS, INSTALL

GALLERY = ROOT / "reports" / "gallery"
LARGEST = 5e6  # bytes


def main(folder: Path) -> int:
    from playwright.sync_api import sync_playwright

    report, path = (
        folder / "report.html",
        shutil.which("chromium") or shutil.which("chromium-browser"),
    )
    if path is None:
        print(f"error: {INSTALL}", file=sys.stderr)
        return 1
    if "data-broken" in report.read_text(encoding="utf-8") or report.stat().st_size > LARGEST:
        print(
            f"error: {report} has broken sections or more than {LARGEST / 1e6:.0f} MB: not for"
            f" show",
            file=sys.stderr,
        )
        return 1
    page = GALLERY / f"{folder.name}.html"
    shutil.copyfile(report, page)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        shown = browser.new_page(viewport={"width": 1280, "height": 1180}, color_scheme="light")
        shown.goto(page.as_uri())
        shown.screenshot(path=str(GALLERY / "first-screen.png"))
        browser.close()
    print(f"reports/gallery: {page.name} ({page.stat().st_size / 1e6:.1f} MB), first-screen.png")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
