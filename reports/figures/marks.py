"""What the marks of a figure are: the arms, the seed, the point and the value that each shows.

matplotlib keeps a mark's meaning in its artist's gid until the picture is written as SVG, where it
becomes `data-arm`, `data-seed`, `data-point` and a `<title>`. Browsers show the title without any
script.
"""

from __future__ import annotations

import html
import json
import re
import urllib.parse
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

PREFIX = "marks="
HELD = re.compile(rf' id="{PREFIX}([^"]*)"')
EACH = ("use", "path")  # elements that markers, and boxes of a heat map, are written as
TAGS = re.compile(r"<(/?)(g|use)\b[^>]*?(/?)>")


@dataclass(frozen=True)
class Mark:
    """What one mark shows. `text`: its whole meaning in words; `arms`: numbers of arms (several if
    it pools them); `seed` and `point` (an id) if it is of one point.
    """

    text: str
    arms: tuple[int, ...] = ()
    seed: str = ""
    point: str = ""


def marked(artist: Artist, *marks: Mark) -> None:
    """Say what an artist shows: one mark for all of it, or one for each of its parts (markers of a
    line, boxes of a heat map; an empty text for those that show nothing).

    Markers at values that are not finite are not drawn, and their marks not kept.
    """
    kept = list(marks)
    if isinstance(artist, Line2D) and len(marks) > 1:
        there = np.isfinite(np.asarray(artist.get_xydata(), dtype=float)).all(axis=1)
        if len(there) != len(marks):
            raise ValueError(f"{len(marks)} marks for a line of {len(there)} networks")
        kept = [mark for mark, drawn in zip(marks, there, strict=True) if drawn]
    if kept:
        artist.set_gid(_written(kept))


def settle_marks(figure: Figure) -> None:
    """Pool the marks of lines whose markers do not all lie in the picture.

    matplotlib clips the line through the markers to the picture and puts markers where it crosses
    the edge, so that it would not be known which marker is whose.
    """
    width, height = figure.bbox.width, figure.bbox.height
    for axes in figure.axes:
        axes.get_xlim()  # limits that follow the data are found when they are asked for
    for line in (line for axes in figure.axes for line in axes.lines):
        marks = _read(str(line.get_gid() or ""))
        if len(marks) < 2:
            continue
        places = line.get_transform().transform(np.asarray(line.get_xydata(), dtype=float))
        places = places[np.isfinite(places).all(axis=1)]
        inside = (places >= 0).all(axis=1) & (places <= (width, height)).all(axis=1)
        if len(places) != len(marks) or not inside.all():
            arms = sorted({arm for mark in marks for arm in mark.arms})
            line.set_gid(_written([Mark("", tuple(arms))]))


def _written(marks: Sequence[Mark]) -> str:
    plain = [[one.text, list(one.arms), one.seed, one.point] for one in marks]
    return PREFIX + urllib.parse.quote(json.dumps(plain, ensure_ascii=False))


def _read(gid: str) -> list[Mark]:
    if not gid.startswith(PREFIX):
        return []
    plain = json.loads(urllib.parse.unquote(gid.removeprefix(PREFIX)))
    return [Mark(text, tuple(arms), seed, point) for text, arms, seed, point in plain]


def drop_marks(figure: Figure) -> None:
    """Take the meanings from a figure's artists: outside the page they would be odd ids."""
    for artist in figure.findobj():
        if str(artist.get_gid() or "").startswith(PREFIX):
            artist.set_gid(None)


def take_marks(svg: str) -> tuple[str, list[list[Mark]]]:
    """The SVG with `data-mark="N"` in place of each mark's meaning, and the meanings."""
    found: list[list[Mark]] = []

    def put(match: re.Match[str]) -> str:
        found.append(_read(PREFIX + match[1]))
        return f' data-mark="{len(found) - 1}"'

    return HELD.sub(put, svg), found


def put_marks(svg: str, found: Sequence[Sequence[Mark]]) -> str:
    """The SVG with the meaning of each mark beside it: attributes and a title."""
    if not found:
        return svg
    out: list[str] = []
    at = 0
    for match in re.finditer(r'<(g|image)\b[^>]*? data-mark="(\d+)"[^>]*>', svg):
        if match.start() < at:
            continue
        marks = found[int(match[2])]
        out.append(svg[at : match.start()])
        at = match.end()
        tag = re.sub(r' data-mark="\d+"', "", match[0])
        if match[1] == "image":
            out.append(_one(tag, iter(marks)))
            continue
        end = _end(svg, at)
        inside = svg[at:end]
        if len(marks) == 1:
            out.append(f"{_with(tag[:-1], marks[0])}{inside}")
        elif name := next((one for one in EACH if inside.count(f"<{one} ") == len(marks)), ""):
            out.append(tag + _each(inside, name, marks))
        else:  # parts that are not drawn, of an artist that is no line
            arms = sorted({arm for mark in marks for arm in mark.arms})
            out.append(_with(tag[:-1], Mark("", tuple(arms))) + inside)
        at = end
    return "".join([*out, svg[at:]])


def _each(svg: str, name: str, marks: Sequence[Mark]) -> str:
    """The SVG in which each element of this name has its mark, in order."""
    each = iter(marks)
    return re.sub(rf"<{name} [^>]*>", lambda one: _one(one[0], each), svg)


def _one(tag: str, each: Iterator[Mark]) -> str:
    """An element of its own, such as <use …/>, with the next mark."""
    mark = next(each)
    if not mark.text:
        return tag
    return f"{_with(tag.rstrip('/>'), mark)}</{tag[1:].split(' ', 1)[0]}>"


def _with(start: str, mark: Mark) -> str:
    """A start tag, so far without its end, with what the mark shows."""
    more = f' data-arm="{ranges(mark.arms)}"'
    if mark.seed:
        more += f' data-seed="{html.escape(mark.seed)}"'
    if mark.point:
        more += f' data-point="{html.escape(mark.point)}"'
    title = f"<title>{html.escape(mark.text, quote=False)}</title>" if mark.text else ""
    return f"{start}{more}>{title}"


def _end(svg: str, at: int) -> int:
    """Where the group ends that begins before `at`: the place of its end tag."""
    depth = 1
    for tag in TAGS.finditer(svg, at):
        if tag[2] == "g" and not tag[3]:
            depth += -1 if tag[1] else 1
            if not depth:
                return tag.start()
    return len(svg)


def ranges(numbers: Iterable[Any]) -> str:
    """Numbers in few letters: 0-3 7 for 0, 1, 2, 3, 7."""
    parts: list[list[int]] = []
    for number in sorted({int(one) for one in numbers}):
        if parts and parts[-1][1] == number - 1:
            parts[-1][1] = number
        else:
            parts.append([number, number])
    return " ".join(str(a) if a == b else f"{a}-{b}" for a, b in parts)
