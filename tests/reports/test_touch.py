"""The page under the hand, in a real browser: marks, arms, levels, points, pins, saved files.

One page is opened once; every test leaves it as it found it.
"""

from __future__ import annotations

import csv
import io
import itertools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from reports.analysis.arms import with_counted
from reports.data.study import Study
from reports.data.test_set import weighted_noise
from reports.documents.page import page as whole
from reports.statistics import clamp, weighted_arms, widen
from study.store.run_addresses import note_address
from tests.reports.browser import opened, violations
from tests.reports.conftest import HOSTILE
from tests.reports.synthetic import make

pytestmark = [pytest.mark.browser, pytest.mark.slow]

RTL = "שלום\"'><b>"
RUN = "https://example.test/us/touch/runs/touch-0?a=1&b=2"
FACTORS = {
    "cell": ["rnn", "gru"],
    "initializer": ["orthogonal", HOSTILE, RTL],
    "clip": ["none", "🙂"],
}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """12 arms with hostile levels, 3 seeds, a lost point and results by example."""
    folder = tmp_path_factory.mktemp("outputs") / "touch"
    tables = ("history", "profile", "states", "test")
    store = make(
        folder, factors=FACTORS, steps=8, updates=40, diverged=(4,), examples=30, tables=tables
    )
    (folder / "wandb").mkdir()
    note_address(folder / "wandb", store.ids()[0], RUN)
    note_address(folder / "wandb", store.ids()[1], "javascript:alert(1)")
    return Study(store)


@pytest.fixture(scope="module")
def path(study: Study, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(whole(study).text, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def page(browser: Any, path: Path) -> Iterator[Any]:
    page, noise = opened(browser, path, viewport={"width": 1400, "height": 900})
    page.on("dialog", lambda dialog: noise.append(f"alert: {dialog.message}"))
    page.evaluate("document.querySelectorAll('main details').forEach(one => one.open = true)")
    yield page
    assert noise == []


def canvas(page: Any) -> Any:
    return page.locator("#accuracy .canvas").first


def lit(page: Any) -> set[str]:
    found = page.evaluate("[...document.querySelectorAll('.on')].map(one => one.dataset.arm)")
    return set(found)


def test_marks_of_stacked_panels_are_found_where_they_are_seen(browser: Any, path: Path) -> None:
    page, noise = opened(browser, path, viewport={"width": 390, "height": 900})
    dots = page.locator("#choices .piece [data-point]")
    places = []
    for dot in (dots.first, dots.last):
        dot.scroll_into_view_if_needed()
        box = dot.bounding_box()
        places.append(page.evaluate("scrollY") + box["y"])
        page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        said = page.locator(".tip").text_content()
        assert 0 < box["x"] < 390 and ", seed " in said
    assert places[1] - places[0] > 150, "the last panel lies below the first"
    assert noise == []


def test_a_mark_says_its_arm_seed_and_value_and_lights_its_arm(page: Any, study: Study) -> None:
    dot = page.locator("#accuracy .drawing [data-point]").first
    dot.scroll_into_view_if_needed()
    box, point = dot.bounding_box(), dot.get_attribute("data-point")
    page.mouse.move(box["x"] + 2, box["y"] + 2)
    row = study.stored.set_index("id").loc[point]
    label = study.arms.set_index("arm").loc[row["arm"], "label"]
    said = page.locator(".tip").text_content()
    assert said.startswith(f"{label}, seed {row['seed']}: test ")
    assert said.endswith(f"{row['score']:.3f}")
    page.locator("html.lit").wait_for(state="attached")
    assert page.locator("tr.on").count() > 0 and page.locator("svg .on").count() > 3
    arms = page.evaluate(
        "[...document.querySelectorAll('#accuracy .on[data-point]')].map(one => one.dataset.arm)"
    )
    assert set(arms) == {str(int(row["arm"]))}
    other = page.locator(f"#accuracy .drawing [data-point]:not([data-arm='{arms[0]}'])").first
    page.wait_for_timeout(300)  # of the transition
    assert float(other.evaluate("one => getComputedStyle(one).opacity")) < 0.2
    page.mouse.move(1, 1)
    page.locator("html:not(.lit)").wait_for(state="attached")
    assert page.locator(".tip").is_hidden()


def test_arrows_go_from_mark_to_mark_and_escape_leaves(page: Any) -> None:
    said, tip = page.locator("[role=status].unseen"), page.locator(".tip")
    canvas(page).focus()
    assert tip.is_hidden(), "focus alone says nothing"
    page.keyboard.press("ArrowRight")
    first = said.text_content()
    page.keyboard.press("ArrowDown")
    second = said.text_content()
    page.keyboard.press("ArrowLeft")
    assert said.text_content() == first != second
    assert re.search(r"\(1 of \d+\)$", first) and tip.text_content() == first.rsplit(" (", 1)[0]
    page.keyboard.press("End")
    assert re.search(r"\((\d+) of \1\)$", said.text_content())
    page.keyboard.press("Escape")
    assert tip.is_hidden() and not lit(page)
    stops = page.locator("#accuracy .canvas [tabindex], #accuracy .canvas a").count()
    assert stops == 0, "one tab stop a figure"


def test_every_figure_says_what_its_marks_are(page: Any) -> None:
    without = page.evaluate(
        "[...document.querySelectorAll('.canvas')].filter(one => !one.querySelector('[data-arm]'))"
        ".map(one => one.closest('section').id)"
    )
    assert without == []


def test_levels_filter_marks_rows_and_boxes(page: Any, study: Study) -> None:
    chip = page.locator(".chip", has_text="rnn")
    chip.click()
    assert chip.get_attribute("aria-pressed") == "false"
    assert page.locator(".shown").text_content() == "6 of 12 recipes shown"
    assert page.locator(".unchanged").is_visible()
    arms = study.arms[study.arms["cell"] == "rnn"]["arm"].astype(int)
    for arm in study.arms["arm"].astype(int):
        rows = page.locator(f"tr[data-arm='{arm}'], use[data-arm='{arm}'], td[data-arm='{arm}']")
        off = rows.evaluate_all("all => all.map(one => one.classList.contains('off'))")
        assert off and set(off) == {arm in set(arms)}
    counted = page.locator("#accuracy .count").first.text_content()
    assert counted == "6 of 12 rows"
    assert page.evaluate("location.hash") == "#show=cell:gru"
    page.locator("nav.side a[href='#accuracy']").click()
    page.wait_for_timeout(100)
    assert page.evaluate("location.hash") == "#accuracy&show=cell:gru"
    page.locator(".all").click()
    assert page.locator(".off").count() == 0
    assert page.locator(".shown").text_content() == "12 of 12 recipes shown"


def test_the_address_restores_the_filter_the_pins_and_the_place(browser: Any, path: Path) -> None:
    page, noise = opened(browser, path, viewport={"width": 390, "height": 800})
    assert not page.locator(".handbar > details").evaluate("one => one.open"), "folded on a phone"
    page.locator(".handbar > details > summary").click()
    page.locator(".chip", has_text="script").click()
    page.locator(".chip", has_text="🙂").click()
    hash_ = page.evaluate("location.hash")
    assert "<" not in hash_
    again = page.context.new_page()
    again.goto(f"{path.as_uri()}#provenance&{hash_[1:]}&pin=0,7")
    assert again.locator(".shown").text_content() == "4 of 12 recipes shown"
    assert again.locator(".chip[aria-pressed=false]").count() == 2
    assert "minus" in again.locator(".difference").text_content()
    top = again.locator("#provenance").bounding_box()["y"]
    assert -5 <= top < 800, "the place of the anchor"
    assert again.evaluate("document.documentElement.scrollWidth") <= 390
    assert noise == []


def test_two_pinned_arms_have_the_difference_that_the_statistics_give(
    page: Any, study: Study
) -> None:
    points = with_counted(study)
    low, high = study.score_range
    lists = page.locator(".pins select")
    for a, b in itertools.islice(itertools.permutations(range(12), 2), 0, None, 17):
        weights = {a: 1.0, b: -1.0}
        wanted = widen(weighted_arms(points, "counted", weights), weighted_noise(study, weights))
        wanted = clamp(wanted, low - high, high - low)
        lists.nth(0).select_option(str(a))
        lists.nth(1).select_option(str(b))
        said = page.locator(".difference").text_content().replace("−", "-")
        found = re.search(r": (-?[\d.]+) \[(-?[\d.]+), (-?[\d.]+)\] in mean test", said)
        numbers = [float(one) for one in found.groups()]
        assert numbers == pytest.approx([wanted.value, wanted.low, wanted.high], abs=6e-4), (a, b)
    for at in (0, 1):
        lists.nth(at).select_option("")


def test_an_id_leads_to_what_is_known_of_the_point(page: Any, study: Study) -> None:
    link = page.locator(".idlink").first
    id = link.text_content()
    link.click()
    sheet = page.locator("dialog.sheet")
    row = study.grid.set_index("id").loc[id]
    label = study.arms.set_index("arm").loc[row["arm"], "label"]
    assert sheet.locator("h2").text_content() == f"{label}, seed {row['seed']}"
    assert sheet.locator("svg[role=img]").count() == 3
    assert f"{row['score']:.3f}" in sheet.locator("dl").first.text_content()
    page.keyboard.press("Escape")
    assert sheet.is_hidden()


def test_a_point_leads_to_its_run_and_its_command_is_copied_from_the_keyboard(
    browser: Any, path: Path, study: Study, tmp_path: Path
) -> None:
    command = "python -m study -m cell=rnn seed=@ name=again"  # made-up points have none
    html = path.read_text(encoding="utf-8")
    given = html.replace('"commands":{}', f'"commands":{{"0":"{command}"}}')
    assert given != html
    (tmp_path / "report.html").write_text(given, encoding="utf-8")
    page, noise = opened(browser, tmp_path / "report.html")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    first, second = study.store.ids()[:2]
    sheet = page.locator("dialog.sheet")
    for id, links in ((second, 0), (first, 1)):
        page.evaluate("document.querySelectorAll('main details').forEach(one => one.open = true)")
        page.locator(".idlink", has_text=id).first.focus()
        page.keyboard.press("Enter")
        assert sheet.get_by_role("link", name="Weights & Biases").count() == links
        if not links:
            page.keyboard.press("Escape")
    assert sheet.get_by_role("link").get_attribute("href") == RUN
    copy = sheet.get_by_role("button", name="Copy")
    copy.focus()
    page.keyboard.press("Enter")
    sheet.get_by_text("Copied").wait_for()
    assert page.evaluate("navigator.clipboard.readText()") == command.replace("@", "0")
    assert copy.evaluate("one => one === document.activeElement")
    page.evaluate("() => { navigator.clipboard.writeText = () => Promise.reject(Error('no')); }")
    page.keyboard.press("Escape")
    listing = page.locator("main .listing").first
    page.locator("main .copies .copy").first.click()
    page.locator("main .copies", has_text="Copied").first.wait_for()
    assert page.evaluate("navigator.clipboard.readText()").strip() == listing.text_content().strip()
    assert noise == []


def test_the_matrix_changes_what_its_colour_means(page: Any, study: Study) -> None:
    figure = page.locator("figure.matrices:has(select)").first
    colours = "all => all.map(one => getComputedStyle(one).backgroundColor)"
    boxes = figure.locator("td.box[data-arm]")
    before = boxes.evaluate_all(colours)
    figure.locator("select").select_option(label="share of seeds lost")
    assert boxes.evaluate_all(colours) != before
    arm = int(study.grid[study.grid["status"] == "diverged"]["arm"].iloc[0])
    strong = [
        one for one in range(boxes.count()) if boxes.nth(one).get_attribute("data-arm") == str(arm)
    ]
    others = {colour for at, colour in enumerate(boxes.evaluate_all(colours)) if at not in strong}
    assert len(others) == 1, "only the arm with the lost seed stands out"
    figure.locator("select").select_option("")
    assert boxes.evaluate_all(colours) == before


def test_limits_of_the_score_keep_arms_written_or_dragged(page: Any, study: Study) -> None:
    means = with_counted(study).groupby("arm")["counted"].mean().sort_values()
    field = page.locator("#parallel [data-limit=mean0]")
    field.fill(str(float(means.iloc[6:8].mean())))
    field.press("Tab")
    assert page.locator(".shown").text_content() == "5 of 12 recipes shown"
    hash_ = page.evaluate("location.hash")
    assert hash_.endswith(f"limit=mean:{field.input_value()},")
    again = page.context.new_page()
    again.goto(f"{page.url.partition('#')[0]}#parallel&limit=D:x,;mean:{field.input_value()},")
    assert again.locator(".shown").text_content() == "5 of 12 recipes shown"
    assert again.locator("#parallel [data-limit=mean0]").input_value() == field.input_value()
    assert again.evaluate("location.hash") == f"#parallel&{hash_[hash_.index('limit') :]}"
    again.close()
    page.locator(".all").click()
    assert "limit" not in page.evaluate("location.hash")
    assert field.input_value() == "" and page.locator(".off").count() == 0
    page.locator("#parallel .canvas").scroll_into_view_if_needed()
    ends = page.evaluate(
        r"""() => [...document.querySelectorAll("#parallel svg [data-arm] path")].map(path => {
          const last = path.getAttribute("d").trim().split("L").pop().trim().split(/\s+/);
          const at = new DOMPoint(last[0], last[1]).matrixTransform(path.getScreenCTM());
          return [at.x, at.y];
        })"""
    )
    heights = sorted(y for _, y in ends)
    middle = (heights[5] + heights[6]) / 2
    page.mouse.move(ends[0][0], heights[0] - 8)
    page.mouse.down()
    page.mouse.move(ends[0][0], middle)
    page.mouse.up()
    assert page.locator(".shown").text_content() == "6 of 12 recipes shown"
    assert page.locator(".brush").count() == 1
    assert "limit=mean:" in page.evaluate("location.hash")
    page.locator(".all").click()
    assert page.locator(".brush").count() == 0


def test_tables_and_figures_are_saved_as_they_are_seen(page: Any, study: Study) -> None:
    box = page.locator("#accuracy .tablebox").first
    with page.expect_download() as saved:
        box.get_by_role("button", name="Save as CSV").click()
    text = Path(saved.value.path()).read_text(encoding="utf-8-sig")
    head, *rows = csv.reader(io.StringIO(text))
    assert head[:3] == ["cell", "initializer", "clip"] and len(rows) == 12
    assert {row[1].strip("\u2068\u2069") for row in rows} == set(FACTORS["initializer"])
    exact = head.index(f"test {study.metric} (as stored)")
    means = with_counted(study).groupby("arm")["counted"].mean()
    assert sorted(float(row[exact]) for row in rows) == pytest.approx(sorted(means))
    for end, start in (("SVG", b"<svg"), ("PNG", b"\x89PNG")):
        with page.expect_download() as saved:
            page.locator("#accuracy figure").first.get_by_role("button", name=end).click()
        data = Path(saved.value.path()).read_bytes()
        assert data.startswith(start) and (end == "PNG" or b"var(--" not in data)


def test_without_a_script_marks_have_titles_and_the_data_are_data(browser: Any, path: Path) -> None:
    page, noise = opened(browser, path, java_script_enabled=False)
    assert page.locator("#accuracy .drawing [data-point] > title").count() == 36
    assert page.locator(".handbar, .tools, .copy, dialog").count() == 0
    assert " logged at https://example.test/us/touch" in page.content()
    data = json.loads(page.locator("#study-data").text_content())
    assert data["factors"][1]["levels"] == FACTORS["initializer"]
    assert noise == []


def test_what_the_script_adds_is_accessible_in_the_dark_and_is_not_printed(
    browser: Any, path: Path
) -> None:
    page, noise = opened(browser, path, color_scheme="dark", reduced_motion="reduce")
    page.locator(".handbar > details > summary").click()
    page.locator(".chip").first.click()
    page.locator(".idlink").first.evaluate("one => one.click()")
    assert violations(page) == []
    page.keyboard.press("Escape")
    page.emulate_media(media="print")
    assert page.locator(".copy").first.is_hidden()
    assert page.locator(".handbar").is_hidden() and page.locator(".tools").first.is_hidden()
    assert noise == []
