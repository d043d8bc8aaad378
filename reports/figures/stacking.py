"""A second arrangement of a figure's panels, for narrow screens: one under the other.

The picture stays one SVG. Panels and entries of legends are groups, each with the way it moves on a
narrow screen as CSS variables (`--x`, `--y`; style.css moves them), so that nothing is drawn twice.
What a panel shares with its neighbours (names of rows and columns, labels of ticks) it then has
for itself: hidden elements that refer to the neighbour's.
"""

from __future__ import annotations

import html
import re
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from matplotlib.text import Text

from reports.figures.svg_boxes import (
    LETTER,
    NUMBER,
    Box,
    Group,
    box_around,
    groups_in,
    length_of,
    texts_in,
)

NARROW, WIDEST = 280.0, 400.0  # points: width to stack to, and from which a figure stays as it is
GAP, LINE = 7.0, 12.0  # points between items; height of a line of text
ROW, COLUMN = "name-of-row", "name-of-column"


def is_name(text: Text, of: str) -> None:
    """Say that a text names a row (`of` = ROW) or column of panels: stacked, each panel has it."""
    text.set_gid(of)


@dataclass
class Item:
    """What moves as one: a panel (with its twin), or an entry of a legend.

    `box` is what it covers; `frame`, of a panel, its axes; `more`: elements for narrow screens.
    """

    groups: list[Group]
    box: Box
    frame: Box | None = None
    more: list[str] = field(default_factory=list)
    x: float = 0.0
    y: float = 0.0


def stacked(svg: str) -> str:
    """The SVG as matplotlib writes it, with its second arrangement if it has several panels."""
    size = re.search(rf'viewBox="0 0 {NUMBER} {NUMBER}"', svg)
    at = svg.find('<g id="figure_1">')
    if not size or at < 0 or svg.count('<g id="axes_') < 2:
        return svg
    width, height = float(size[1]), float(size[2])
    children = list(groups_in(svg, at + len('<g id="figure_1">')))
    panels = _panels(svg, children)
    if len(panels) < 2:
        return svg
    wide: list[Group] = []
    entries, *labels = _loose(svg, children, panels, wide)
    _name(svg, panels, wide)
    _ticks(svg, panels)
    items = [*entries, *panels]
    across = max(NARROW, *(one.box.right - one.box.left for one in items))
    if across > min(WIDEST, width):
        return svg
    above, below = (_written(words, across) for words in labels)
    tall = _place((above, entries, panels, below), across)
    edits: list[tuple[int, int, str]] = [
        (
            size.start(),
            size.end(),
            f'{size[0]} class="stack" preserveAspectRatio="xMinYMin"'
            f' style="--wide:{width:.0f};--narrow:{across:.0f};--tall:{max(tall, height):.0f}"',
        )
    ]
    begin = at + len('<g id="figure_1">')
    for item in (*items, *above, *below):
        if not item.groups:
            text = _text(item.more[0], item.x, item.y + 9.5)
            edits.append((begin, begin, text))
            continue
        move = f' class="piece" style="--x:{item.x:.0f}px;--y:{item.y:.0f}px"'
        for number, group in enumerate(item.groups):
            edits.append((group.start + 2, group.start + 2, move))
            if number == 0 and item.more:
                edits.append((group.inside, group.inside, "".join(item.more)))
    edits += [(one.start + 2, one.start + 2, ' class="wide"') for one in wide]
    for start, end, text in sorted(edits, reverse=True):
        svg = svg[:start] + text + svg[end:]
    return svg


def _panels(svg: str, children: Sequence[Group]) -> list[Item]:
    """Axes with a frame, each with those that lie on it, row by row."""
    panels: list[Item] = []
    axes = [one for one in children if one.id.startswith("axes_")]
    for group in axes:
        if frame := _frame(svg, group):
            panels.append(Item([group], _covered(svg, group, frame), frame))
    for group in axes:
        own = _spines(svg, group)
        under = next((one for one in panels if one.frame and own and _in(own, one.frame)), None)
        if under and group not in under.groups:  # a second y axis
            under.groups.append(group)
            under.box.join(_covered(svg, group, Box()))
    return sorted(panels, key=lambda one: (round(_of(one).top), _of(one).left))


def _of(panel: Item) -> Box:
    assert panel.frame is not None
    return panel.frame


def _covered(svg: str, group: Group, frame: Box) -> Box:
    """What axes cover with their texts, the names of rows and columns aside."""
    box = Box()
    box.join(frame)
    for child in groups_in(svg, group.inside):
        if child.id not in (ROW, COLUMN):
            for place, _, _ in texts_in(svg, child):
                box.join(place)
    return box


def _frame(svg: str, group: Group) -> Box | None:
    """The rectangle of axes; None of a second axis and of axes that are switched off."""
    first = next(groups_in(svg, group.inside), None)
    return box_around(svg, [first]) if first and first.id.startswith("patch_") else None


def _spines(svg: str, group: Group) -> Box | None:
    """The rectangle around the spines of axes that have an axis; None of others."""
    own = list(groups_in(svg, group.inside))
    if not any(one.id.startswith("matplotlib.axis") for one in own):
        return None
    return box_around(svg, [one for one in own if one.id.startswith("patch_")])


def _in(inner: Box, outer: Box) -> bool:
    return (
        inner.left > outer.left - 1
        and inner.right < outer.right + 1
        and abs(inner.top - outer.top) + abs(inner.bottom - outer.bottom) < 2
    )


def _loose(
    svg: str, children: Sequence[Group], panels: Sequence[Item], wide: list[Group]
) -> tuple[list[Item], list[str], list[str]]:
    """Entries of legends, and the words of labels that all panels share: of y axes, and below all
    panels. The labels themselves are added to `wide`.
    """
    bottom = max(_of(one).bottom for one in panels)
    middle = (min(_of(one).left for one in panels) + max(_of(one).right for one in panels)) / 2
    loose: list[Group] = []
    for group in children[1:]:  # the first is the figure's own background
        if not any(group in one.groups for one in panels):
            loose += groups_in(svg, group.inside) if group.id.startswith("axes_") else [group]
    entries: list[Item] = []
    above: list[str] = []
    below: list[str] = []
    keys: list[tuple[Box, Group]] = []  # of a legend, each left of its word
    for group in loose:
        texts = texts_in(svg, group)
        words = " ".join(words for _, words, _ in texts)
        if not texts:
            if drawn := box_around(svg, [group]):
                keys.append((drawn, group))
        elif abs(texts[0][2]) > 45:
            wide.append(group)
            side = "Right axis: " if texts[0][0].left > middle else "Up: "
            above.append(f"{side}{words}")
        elif texts[0][0].top > bottom:
            wide.append(group)
            below.append(f"Across: {words}")
        else:
            box = Box()
            for place, _, _ in texts:
                box.join(place)
            entries.append(Item([group], box))
    places = [entry.box for entry in entries]
    joined = [Box(**vars(box)) for box in places]
    for box, group in keys if entries else []:
        away = [_away(box, place) for place in places]
        at = away.index(min(away))
        entries[at].groups.append(group)
        joined[at].join(box)
    for entry, box in zip(entries, joined, strict=True):
        entry.box = box
    return entries, above, below


def _away(key: Box, word: Box) -> float:
    """How far a word lies right of a key; another line, or the left, is far away."""
    line = abs(key.top + key.bottom - word.top - word.bottom) / 2
    along = word.left - key.right
    return (along if along > -3 else 1e4 - along) + 100 * line


def _name(svg: str, panels: Sequence[Item], wide: list[Group]) -> None:
    """Give every panel the names of its row and column."""
    names: dict[tuple[str, int, int], str] = {}
    for panel in panels:
        for group in panel.groups:
            for child in groups_in(svg, group.inside):
                if child.id in (ROW, COLUMN):
                    words = " ".join(words for _, words, _ in texts_in(svg, child))
                    names[_line(child.id, panel)] = words
                    wide.append(child)
    titled = {_line(COLUMN, panel): title for panel in panels if (title := _title(svg, panel))}
    for panel in panels:
        own = [names.get(_line(of, panel), "") for of in (ROW, COLUMN)]
        if not _title(svg, panel):  # one of its own stands above the first of its column
            own[1] = own[1] or titled.get(_line(COLUMN, panel), "")
        for words in filter(None, reversed(own)):
            panel.more.append(_text(words, _of(panel).left, panel.box.top - 3.5, 7.5))
            panel.box.top -= LINE - 2
            panel.box.right = max(panel.box.right, _of(panel).left + length_of(words, 7.5))


def _title(svg: str, panel: Item) -> str:
    """The title above a panel's axes; ""."""
    frame = _of(panel)
    middle = (frame.left + frame.right) / 2
    for child in groups_in(svg, panel.groups[0].inside):
        if child.id.startswith("text_"):
            for box, words, _ in texts_in(svg, child):
                if box.bottom < frame.top + 1 and abs((box.left + box.right) / 2 - middle) < 1:
                    return words
    return ""


def _line(of: str, panel: Item) -> tuple[str, int, int]:
    """Which row or column a panel is in: panels with the same ends."""
    frame = _of(panel)
    ends = (frame.top, frame.bottom) if of == ROW else (frame.left, frame.right)
    return of, round(ends[0]), round(ends[1])


def _text(words: str, x: float, y: float, size: float = 8.5) -> str:
    return (
        f'<text class="narrow" display="none" x="{x:.1f}" y="{y:.1f}" style="font-size: {size}px;'
        f" font-family: 'DejaVu Sans'; fill: #010203\">{html.escape(words, quote=False)}</text>"
    )


def _ticks(svg: str, panels: Sequence[Item]) -> None:
    """Give every panel the labels of ticks that it leaves to a neighbour in its row or column."""
    axes = [  # of each panel, layer by layer: its x and y axis, with whether they have texts
        [
            {
                kind: (child.id, texts_in(svg, child))
                for child in groups_in(svg, group.inside)
                for kind in ("x", "y")
                if f'id="{kind}tick_' in svg[child.inside : child.end]
            }
            for group in panel.groups
        ]
        for panel in panels
    ]
    for panel, own in zip(panels, axes, strict=True):
        for layer, of_layer in enumerate(own):
            for kind in ("x", "y"):
                if kind in of_layer and of_layer[kind][1]:
                    continue
                found = _donor(panel, kind, layer, panels, axes)
                if found:
                    name, dx, dy, texts = found
                    panel.more.append(
                        f'<use class="narrow" display="none" href="#{name}" x="{dx:.2f}"'
                        f' y="{dy:.2f}"/>'
                    )
                    for place, _, _ in texts:
                        panel.box.add(place.left + dx, place.top + dy)
                        panel.box.add(place.right + dx, place.bottom + dy)


def _donor(
    panel: Item, kind: str, layer: int, panels: Sequence[Item], axes: Sequence[Sequence[dict]]
) -> tuple[str, float, float, list] | None:
    """The axis of a neighbour that has the labels: its id, how far away it is, and its texts."""
    for other, own in zip(panels, axes, strict=True):
        a, b = panel.frame, other.frame
        if a is None or b is None or other is panel or layer >= len(own):
            continue
        apart = (
            max(abs(a.top - b.top), abs(a.bottom - b.bottom))
            if kind == "y"
            else max(abs(a.left - b.left), abs(a.right - b.right))
        )
        name, texts = own[layer].get(kind, ("", []))
        if apart > 1 or not texts:
            continue
        return name, a.left - b.left, a.top - b.top, texts
    return None


def _written(labels: Sequence[str], across: float) -> list[Item]:
    """Labels as lines of text that fit."""
    lines = [
        line
        for label in labels
        for line in textwrap.wrap(label, max(12, int(across / (LETTER * 8.5))))
    ]
    return [Item([], Box(0, 0, across, LINE - GAP), more=[line]) for line in lines]


def _place(parts: Sequence[Sequence[Item]], across: float) -> float:
    """Set where each item goes, in lines; the height that takes."""
    y = 2.0
    for line in (one for part in parts for one in _lines(part, across)):
        rise = max((one.frame or one.box).top - one.box.top for one in line)
        x = 0.0
        for one in line:
            one.x, one.y = x - one.box.left, y + rise - (one.frame or one.box).top
            x += one.box.right - one.box.left + GAP
        y = max(one.box.bottom + one.y for one in line) + GAP
    return y


def _lines(part: Sequence[Item], across: float) -> Iterator[list[Item]]:
    """As many items side by side as there is room for, panels of one height."""
    line: list[Item] = []
    x = 0.0
    for item in part:
        need = item.box.right - item.box.left
        other = line and item.frame and line[-1].frame and _height(line[-1]) != _height(item)
        if line and (other or x + need > across + 0.5):
            yield line
            line, x = [], 0.0
        line.append(item)
        x += need + GAP
    if line:
        yield line


def _height(panel: Item) -> int:
    return round(_of(panel).bottom - _of(panel).top)
