"""Pages judged by axe-core in a real browser and by the Nu HTML checker: a report with every
section, an index, a comparison.
"""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from reports.data.study import Study
from reports.documents.diff import compare
from reports.documents.diff_page import write_diff
from reports.documents.index import write_index
from reports.documents.page import page as whole
from reports.documents.page import write
from reports.documents.sections import declared_sections
from reports.documents.watch import without_reload
from study.search.run import finish
from study.store import Store, seal
from tests.reports.browser import invalid, opened, violations
from tests.reports.synthetic import make
from tests.search.helpers import plan, searched

pytestmark = [pytest.mark.browser, pytest.mark.slow]

FACTORS = {
    "cell": ["rnn", "gru"],
    "initializer": ["orthogonal", "normal"],
    "depth": [1, 2],
    "tuned": [False, True],
}


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A tuned study with a search beside it, every probe's table, points diverged, failed and
    missing; an index over it; a comparison.
    """
    folder = tmp_path_factory.mktemp("outputs")
    tables = ("history", "profile", "states", "test", "measures", "traces")
    make(
        folder / "tuned",
        factors=FACTORS,
        updates=60,
        steps=12,
        examples=40,
        tables=tables,
        stored=44 / 48,
        diverged=(4, 5),
        failed=(9,),
    )
    arms = ["cell=rnn,gru", "initializer=orthogonal,normal"]
    spec, asks = plan(
        folder,
        "search/objective=bowl",
        "task.form=row",
        "name=tuned",
        *arms,
        "search=pareto",
        "search.trials=6",
    )
    slots, _ = searched(spec)
    finish(spec, asks, slots, title=None, question=None)
    record = json.loads((folder / "tuned" / "study.json").read_text())
    record["declaration"]["claims"] = [
        {
            "statement": "GRU reads better",
            "better": {"cell": "gru"},
            "worse": {"cell": "rnn"},
            "by": "score",
            "least": 0.02,
            "formula": "h_t = (1 - z_t) ⊙ h_{t-1} + z_t ⊙ h̃_t",
            "means": "A unit whose gate is shut keeps its state.",
        }
    ]
    (folder / "tuned" / "study.json").write_text(json.dumps(record))
    shutil.copytree(folder / "tuned", folder / "other", ignore=shutil.ignore_patterns("search"))
    for path in sorted((folder / "other" / "points").glob("*/result.json"))[:3]:
        result = json.loads(path.read_text())
        result["row"] |= {"score": 0.5, "verdict": "carries"}
        seal(path.parent, result)
    report = write(folder / "tuned")
    found = compare(Study(Store(folder / "tuned")), Study(Store(folder / "other")), ())
    return {
        "report": report,
        "index": write_index(folder, None)[0],
        "diff": write_diff(found, folder / "diff.html"),
    }


def test_the_report_has_every_section(pages: dict[str, Path]) -> None:
    """Else the checks below look at less than they say.

    A confirmation needs a study of its own (tests/launch/test_confirm.py), so does a race
    (tests/launch/test_certain.py), lengths as a factor too (test_longest_lag.py).
    """
    html = pages["report"].read_text(encoding="utf-8")
    lacking = [
        one.name
        for one in declared_sections()
        if f'aria-labelledby="{one.name.replace("_", "-")}-title"' not in html
    ]
    assert lacking == ["race", "confirmation", "longest_lag"]
    assert "data-broken" not in html


def test_every_figure_tells_how_to_read_it_and_every_term_is_explained(
    pages: dict[str, Path],
) -> None:
    html = pages["report"].read_text(encoding="utf-8")
    assert (
        html.count("<summary>How to read this</summary>")
        == html.count('role="img"')
        == html.count("The numbers behind the figure")
        >= 18
    )
    explained = set(re.findall(r'class="term" tabindex="0" data-gloss="([^"]+)"', html))
    assert len(explained) > 20 and 'href="#term-' not in html
    kept = re.findall(r'<div id="term-[^"]+"><dt>[^<]+</dt><dd>([^<]+)', html)
    assert len(kept) >= len(explained)
    assert all(any(text.startswith(one) for one in kept) for text in explained)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["report", "index", "diff"])
def test_axe_finds_nothing(browser: Any, pages: dict[str, Path], name: str, scheme: str) -> None:
    page, noise = opened(browser, pages[name], color_scheme=scheme)
    assert violations(page) == []
    assert noise == []


def test_axe_finds_what_is_wrong(browser: Any, pages: dict[str, Path], tmp_path: Path) -> None:
    """The judge is awake: a page without a language and with a picture without words is refused."""
    html = (
        pages["index"]
        .read_text(encoding="utf-8")
        .replace('<html lang="en">', "<html>")
        .replace("</main>", '<div role="img"></div></main>')
    )
    (tmp_path / "bad.html").write_text(html, encoding="utf-8")
    page, _ = opened(browser, tmp_path / "bad.html")
    assert {one.split()[0] for one in violations(page)} == {"html-has-lang", "role-img-alt"}


def test_the_html_validates(pages: dict[str, Path], tmp_path: Path) -> None:
    assert invalid(*pages.values()) == []
    html = pages["index"].read_text(encoding="utf-8")
    (tmp_path / "bad.html").write_text(
        html.replace("<main", "<p><main").replace("</main>", "</main></p>"), encoding="utf-8"
    )
    assert any("error" in line for line in invalid(tmp_path / "bad.html"))


@pytest.mark.parametrize("name", ["index", "diff"])
def test_the_smaller_pages_fit_a_phone_and_do_without_scripts(
    browser: Any, pages: dict[str, Path], name: str
) -> None:
    page, noise = opened(
        browser, pages[name], viewport={"width": 390, "height": 800}, java_script_enabled=False
    )
    assert page.locator("h1").count() == 1 and page.locator("#theme").is_hidden()
    assert page.locator("main").evaluate("() => document.documentElement.scrollWidth") <= 390
    assert noise == []


def test_links_of_the_index_open_the_reports(browser: Any, pages: dict[str, Path]) -> None:
    page, _ = opened(browser, pages["index"])
    page.get_by_role("link", name="Reading handwritten digits").first.focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**/tuned/report.html")
    assert page.locator("section#summary").is_visible()


def test_the_index_sorts_by_a_column_and_what_is_unknown_stays_last(
    browser: Any, pages: dict[str, Path], tmp_path: Path
) -> None:
    html = pages["index"].read_text(encoding="utf-8")
    rows = re.findall(r'<tr id="study-.*?(?=<tr id="study-|</tbody>\n</table>\n</div>)', html, re.S)
    solved = re.compile(r'(data-label="solved") data-sort="[^"]*">[^<]*')
    made = [rows[0], *(solved.sub(rf'\1 data-sort="{n}">{n}', rows[0]) for n in (0.5, 0.25))]
    made[0] = solved.sub(r"\1>no rule", rows[0])
    path = tmp_path / "index.html"
    path.write_text(html.replace("".join(rows), "".join(made)), encoding="utf-8")
    page, noise = opened(browser, path)
    head = page.locator(".overview .sorter", has_text="solved")
    column = page.locator(".overview td[data-label=solved]")
    read = "all => all.map(one => one.firstChild.textContent)"
    for order in (["0.25", "0.5", "no rule"], ["0.5", "0.25", "no rule"]):
        head.focus()
        page.keyboard.press("Enter")
        assert column.evaluate_all(read) == order
    assert page.locator(".overview .small-matrix .sorter").count() == 0
    assert noise == []


def watched(folder: Path) -> str:
    store = make(
        folder / "live",
        factors={"cell": ["rnn", "gru"]},
        updates=40,
        steps=8,
        tables=(),
        stored=0.5,
    )
    return whole(Study(store), reload=600).text


def test_a_watched_page_reloads_and_can_be_stopped(browser: Any, tmp_path: Path) -> None:
    calm, path = watched(tmp_path), tmp_path / "live.html"
    path.write_text(calm, encoding="utf-8")
    assert violations(opened(browser, path)[0]) == []
    text = calm.replace('data-reload="600"', 'data-reload="0.4"')
    path.write_text(text, encoding="utf-8")
    page, noise = opened(browser, path)
    path.write_text(text.replace("<h1>", "<h1>Now "), encoding="utf-8")
    page.locator(
        "h1", has_text="Now "
    ).wait_for()  # evaluates nothing: the page's policy forbids that
    path.write_text(without_reload(text), encoding="utf-8")
    page, noise = opened(browser, path)
    assert page.locator("#reload").count() == 0 and page.locator("body[data-reload]").count() == 0
    assert noise == []


def test_a_reload_on_its_way_can_be_stopped(browser: Any, tmp_path: Path) -> None:
    text, asked, answer = (
        watched(tmp_path).replace('data-reload="600"', 'data-reload="3"'),
        [],
        threading.Event(),
    )

    class Slow(BaseHTTPRequestHandler):
        """Answers the first time at once, then when it is told to."""

        def do_GET(self) -> None:
            asked.append(self.path)
            if len(asked) > 1:
                answer.wait(60)
            with contextlib.suppress(OSError):  # the browser no longer listens
                self.send_response(200)
                self.send_header("Content-Type", "text/html; charset=utf-8")
                self.end_headers()
                self.wfile.write(text.replace("<h1>", f"<h1>{len(asked)}: ").encode())

        def log_message(self, *arguments: Any) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Slow) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            page = browser.new_page()
            page.goto(f"http://127.0.0.1:{server.server_port}/")
            page.get_by_role("button", name="Stop reloading").focus()
            while len(asked) < 2:
                page.wait_for_timeout(20)
            page.keyboard.press("Enter")
            answer.set()
            page.wait_for_timeout(4000)
            assert page.locator("h1").text_content().startswith("1: ")
            assert page.get_by_role("button", name="Reloading stopped").is_disabled()
            assert len(asked) == 2
        finally:
            answer.set()
            server.shutdown()
