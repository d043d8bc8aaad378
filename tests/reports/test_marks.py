"""What marks of figures say of themselves in the finished SVG."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reports.documents.study_data import as_json
from reports.figures.marks import Mark, marked, ranges
from reports.figures.theme import draw

HOSTILE = "</title><script>\"&'\u2028"


def svg(build: Callable[[Axes], Any]) -> str:
    def figure(_: bool) -> Figure:
        made = Figure()
        build(made.subplots())
        return made

    picture, again = draw(figure, name="x"), draw(figure, name="x")
    assert picture.svg == again.svg, "the same bytes"
    assert "marks=" not in picture.svg
    plain = picture.figure()
    assert not [one for one in plain.findobj() if str(one.get_gid() or "").startswith("marks=")]
    return str(picture.svg)


def mark(n: int, text: str = "") -> Mark:
    return Mark(text or f"recipe {n}, 0.123456789", (n,), str(n), f"id{n}")


def test_each_marker_that_is_drawn_has_its_own_mark() -> None:
    def build(axis: Axes) -> None:
        line = axis.plot([1, np.nan, 3, 4], [1, 2, np.inf, 4], "o")
        marked(line[0], *(mark(n) for n in range(4)))

    found = re.findall(
        r'<use [^>]*data-arm="(\d)" data-seed="\d" data-point="(\w+)"><title>([^<]*)</title></use>',
        svg(build),
    )
    assert found == [(f"{n}", f"id{n}", f"recipe {n}, 0.123456789") for n in (0, 3)]


def test_markers_of_which_some_lie_beyond_the_picture_keep_their_arms_alone() -> None:
    def build(axis: Axes) -> None:
        line = axis.plot([1, 900, 1, 900, 900], [1, 900, 1.5, 1, 1], "o")
        axis.set(xlim=(0, 2), ylim=(0, 2))
        marked(line[0], *(mark(n) for n in range(5)))

    made = svg(build)
    assert 'data-arm="0-4"' in made and "<title>" not in made


def test_lines_boxes_and_images_have_marks() -> None:
    def build(axis: Axes) -> None:
        marked(axis.plot([1, 2], [1, 2])[0], mark(0, HOSTILE))
        marked(axis.barh(1, 2)[0], mark(1))
        marked(axis.imshow(np.zeros((2, 2, 4))), mark(2))
        boxes = [mark(5), Mark(""), mark(6)]
        marked(axis.pcolormesh(np.array([[1.0, np.nan, 3.0]])), *boxes)

    made = svg(build)
    assert sorted(re.findall(r'data-arm="([\d ]+)"', made)) == ["0", "1", "2", "5", "6"]
    assert re.search(r"<image [^>]*data-arm=\"2\"[^>]*><title>[^<]*</title></image>", made)
    assert "<script" not in made and "&lt;/title&gt;&lt;script&gt;" in made


def test_numbers_of_arms_are_short() -> None:
    assert ranges([7, 0, 1, 2, 2, 4, 5]) == "0-2 4-5 7" and ranges([]) == ""


def test_no_text_ends_the_data_block() -> None:
    made = as_json({"a": [HOSTILE, "</script>", "<!--"]})
    assert not re.search("[<>&\u2028\u2029]", made)
    assert json.loads(made) == {"a": [HOSTILE, "</script>", "<!--"]}
