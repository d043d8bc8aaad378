"""The page in a real browser: nothing leaves the file, and everything works from the keyboard."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from reports.blocks import Box, Matrices, Matrix
from reports.documents.templates import Templates
from tests.reports.browser import UNFOLD, opened
from tests.reports.test_report import TITLES

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def test_nothing_leaves_the_file_and_every_section_shows(browser: Any, small_page: Path) -> None:
    page, noise = opened(browser, small_page)
    assert page.locator("main section").count() == len(TITLES)
    assert all(page.locator("main section").nth(at).is_visible() for at in range(len(TITLES)))
    for at in range(page.locator(".drawing svg").count()):
        page.locator(".drawing svg").nth(at).scroll_into_view_if_needed()
        assert page.locator(".drawing svg").nth(at).bounding_box()["height"] > 100
    assert noise == []


def test_tables_sort_from_the_keyboard(browser: Any, small_page: Path) -> None:
    page, noise = opened(browser, small_page)
    page.evaluate(UNFOLD)
    table = page.locator("#states .tablebox table").first
    head = table.locator("th", has_text="left at end")

    def column() -> list[float]:
        at = table.evaluate(
            "(table) => Array.from(table.tHead.rows[0].cells).findIndex(cell => cell.textContent"
            " === 'left at end')"
        )
        cells = table.evaluate(
            "(table, at) => Array.from(table.tBodies[0].rows).map(row =>"
            " row.cells[at].dataset.sort)",
            at,
        )
        return [float(cell) for cell in cells if cell is not None]

    before = column()
    head.locator("button").focus()
    page.keyboard.press("Enter")
    assert head.get_attribute("aria-sort") == "ascending" and column() == sorted(before) != before
    page.keyboard.press("Space")
    assert head.get_attribute("aria-sort") == "descending" and column() == sorted(
        before, reverse=True
    )
    assert noise == []


def test_filter_hides_rows(browser: Any, small_page: Path) -> None:
    page, _ = opened(browser, small_page)
    page.evaluate(UNFOLD)
    box = page.locator("#states .tablebox.filtered").first
    rows = box.locator("tbody tr")
    box.locator("input").fill("gru norm")
    shown = [rows.nth(at).inner_text() for at in range(rows.count()) if rows.nth(at).is_visible()]
    assert 0 < len(shown) < rows.count() and all("gru" in text for text in shown)


def test_theme_follows_the_system_and_the_switch(browser: Any, small_page: Path) -> None:
    background = "() => getComputedStyle(document.body).backgroundColor"
    ink = "() => getComputedStyle(document.querySelector('.drawing svg text')).fill"
    page, noise = opened(browser, small_page, color_scheme="dark")
    dark = page.evaluate(background), page.evaluate(ink)
    page.get_by_role("button", name="Light theme").press("Enter")
    light = page.evaluate(background), page.evaluate(ink)
    assert dark[0] != light[0] and dark[1] != light[1], "the figures change with the page"
    fresh, _ = opened(browser, small_page, color_scheme="light")
    assert fresh.evaluate(background) == light[0]
    assert noise == []


@pytest.mark.parametrize("width", [390, 768, 1100, 1200, 1440])
def test_no_sideways_scroll(browser: Any, small_page: Path, width: int) -> None:
    page, _ = opened(browser, small_page, viewport={"width": width, "height": 800})
    assert page.evaluate("() => document.documentElement.scrollWidth") <= width
    page.evaluate(UNFOLD)
    assert page.evaluate("() => document.documentElement.scrollWidth") <= width
    assert page.locator("nav.side").is_visible() == (width >= 1100)
    assert page.locator("details.fold-contents").is_visible() == (width < 1100)


@pytest.mark.parametrize("columns", [3, 5])
def test_no_column_of_the_boxes_is_cut(browser: Any, small_page: Path, columns: int) -> None:
    """As many matrices stand side by side as there is room for with all their columns."""
    box = Box(
        [
            ("◇ opens 2 · carries 1", "word"),
            ("◐ learning 2 · solved 1", "outcome"),
            ("0.88 ± 0.07 · n=3", "score"),
        ],
        "v-mixed",
    )
    names = [f"level_{number}" for number in range(columns)]
    four = [
        Matrix(
            f"depth {number}", "cell \\ initializer", ["rnn", "lstm"], names, [[box] * columns] * 2
        )
        for number in range(4)
    ]
    page, _ = opened(browser, small_page)
    page.evaluate(
        "made => { document.querySelector('figure.matrices').outerHTML = made }",
        str(Templates()(Matrices(four, "", []))),
    )
    cut = (
        "() => [...document.querySelectorAll('.matrices .scroll')].filter(one => one.scrollWidth >"
        " one.clientWidth).length"
    )
    for width in (768, 1000, 1100, 1200, 1366, 1440):
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate(cut) == 0, width


def test_readable_without_scripts(browser: Any, small_page: Path) -> None:
    page, _ = opened(browser, small_page, java_script_enabled=False)
    assert (
        page.locator("main section").count() == len(TITLES) and page.locator("#theme").is_hidden()
    )
    assert page.locator(".drawing svg").first.is_visible()
    page.locator("#accuracy-title").click()
    page.locator("#accuracy details.fold summary", has_text="The numbers").click()
    assert page.locator("#accuracy details.fold table").first.is_visible()


def test_skip_link_leads_to_the_report(browser: Any, small_page: Path) -> None:
    page, _ = opened(browser, small_page)
    page.keyboard.press("Tab")
    assert page.evaluate("() => document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    assert page.evaluate("() => document.activeElement.id") == "main"


CONTRAST = """() => {
  const rgb = text => {
    const c = document.createElement('canvas').getContext('2d');
    c.fillStyle = text;
    c.fillRect(0, 0, 1, 1);
    return Array.from(c.getImageData(0, 0, 1, 1).data);
  };
  const light = c => {
    const linear = v => v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4;
    const [r, g, b] = c.slice(0, 3).map(v => linear(v / 255));
    return .2126 * r + .7152 * g + .0722 * b;
  };
  const paper = node => {
    for (; node; node = node.parentElement) {
      const c = rgb(getComputedStyle(node).backgroundColor);
      if (c[3] === 255) return c;
    }
    return [255, 255, 255];
  };
  const under = (node, svg) => {  // the filled shape of the picture that a text stands on
    node.scrollIntoView({block: 'center', behavior: 'instant'});
    const box = node.getBoundingClientRect();
    for (const shape of document.elementsFromPoint(box.x + box.width / 2, box.y + box.height / 2)) {
      if (shape.closest('svg') !== svg) continue;
      if (!['path', 'use', 'rect'].includes(shape.tagName)) continue;
      const fill = rgb(getComputedStyle(shape).fill);
      if (getComputedStyle(shape).fill !== 'none' && fill[3] === 255) return fill;
    }
  };
  const poor = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode.parentElement;
    if (!walker.currentNode.textContent.trim()) continue;
    if (['SCRIPT', 'STYLE'].includes(node.tagName)) continue;
    const svg = node.closest('svg'), style = getComputedStyle(node);
    const ink = light(rgb(svg ? style.fill : style.color));
    const ground = light(svg && under(node, svg) || paper(node));
    const [a, b] = [ink, ground].sort((x, y) => y - x);
    const ratio = (a + .05) / (b + .05);
    const text = walker.currentNode.textContent.trim().slice(0, 30);
    if (ratio < 4.5) poor.push(`${node.tagName}.${node.className} ${ratio.toFixed(2)} ${text}`);
  }
  return Array.from(new Set(poor)).slice(0, 20);
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast_of_every_text(browser: Any, small_page: Path, scheme: str) -> None:
    page, _ = opened(browser, small_page, color_scheme=scheme)
    page.evaluate(UNFOLD)
    assert page.evaluate(CONTRAST) == []


def test_prints_to_a_pdf(browser: Any, small_page: Path, tmp_path: Path) -> None:
    page, noise = opened(browser, small_page)
    page.pdf(path=str(tmp_path / "report.pdf"), prefer_css_page_size=True)
    data = (tmp_path / "report.pdf").read_bytes()
    assert (
        data.startswith(b"%PDF")
        and 4 <= data.count(b"/Type /Page\n") + data.count(b"/Type /Page ") <= 60
    )
    assert noise == []
