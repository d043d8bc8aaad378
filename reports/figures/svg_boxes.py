"""What the groups of a picture cover, read from the SVG that matplotlib writes.

Widths of texts are estimates, as nobody knows the reader's font.
"""

from __future__ import annotations

import html
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

LETTER = 0.56  # mean width of a letter, in font sizes
WIDER = dict.fromkeys("0123456789", 0.64) | dict.fromkeys("−+=<>≤≥≈×→", 0.84) | {" ": 0.32}
TAG = re.compile(r"<(/?)g\b[^>]*?(/?)>")
TEXT = re.compile(r"<text\b([^>]*)>([^<]*)</text>")
NUMBER = r"(-?[\d.]+)"


@dataclass
class Box:
    """A rectangle in points, y downwards."""

    left: float = math.inf
    top: float = math.inf
    right: float = -math.inf
    bottom: float = -math.inf

    def add(self, x: float, y: float) -> None:
        self.left, self.right = min(self.left, x), max(self.right, x)
        self.top, self.bottom = min(self.top, y), max(self.bottom, y)

    def join(self, other: Box) -> None:
        if other.left <= other.right:
            self.add(other.left, other.top)
            self.add(other.right, other.bottom)


@dataclass
class Group:
    """A <g> of the SVG: where its tag begins and ends, and where its end tag begins."""

    id: str
    start: int
    inside: int
    end: int


def groups_in(svg: str, at: int) -> Iterator[Group]:
    """The groups directly inside the one whose tag ends at `at`."""
    depth, begun = 0, 0
    name, inside = "", 0
    for tag in TAG.finditer(svg, at):
        if tag[1]:
            depth -= 1
            if depth == 0:
                yield Group(name, begun, inside, tag.start())
            if depth < 0:
                return
        elif not tag[2]:
            if depth == 0:
                found = re.search(r' id="([^"]*)"', tag[0])
                name, begun, inside = found[1] if found else "", tag.start(), tag.end()
            depth += 1


def texts_in(svg: str, group: Group) -> list[tuple[Box, str, float]]:
    """Box, words and angle of every text in a group."""
    found = []
    for match in TEXT.finditer(svg, group.inside, group.end):
        tag, words = match[1], html.unescape(match[2])
        size = re.search(rf"font-size: {NUMBER}px", tag)
        place = re.search(rf' x="{NUMBER}" y="{NUMBER}"', tag) or re.search(
            rf"translate\({NUMBER} {NUMBER}\)", tag
        )
        if not place:
            continue
        em = float(size[1]) if size else 8.5
        turn = re.search(rf"rotate\({NUMBER}", tag)
        angle = math.radians(float(turn[1])) if turn else 0.0
        long = length_of(words, em)
        share = 0.5 if "anchor: middle" in tag else 1.0 if "anchor: end" in tag else 0.0
        x, y, box = float(place[1]), float(place[2]), Box()
        for along in (-share * long, (1 - share) * long):
            for up in (-0.8 * em, 0.2 * em):
                box.add(
                    x + along * math.cos(angle) - up * math.sin(angle),
                    y + along * math.sin(angle) + up * math.cos(angle),
                )
        found.append((box, words, math.degrees(angle)))
    return found


def length_of(words: str, em: float) -> float:
    """How long a text is in a wide font, in points."""
    return em * sum(WIDER.get(letter, LETTER) for letter in words)


def box_around(svg: str, groups: Sequence[Group]) -> Box | None:
    box = Box()
    for group in groups:
        for x, y in drawn_in(svg[group.inside : group.end]):
            box.add(x, y)
    return box if box.left <= box.right else None


def drawn_in(svg: str) -> Iterator[tuple[float, float]]:
    """Places of lines and markers; not of the shapes of markers, which are definitions."""
    svg = re.sub(r"<defs>.*?</defs>", "", svg, flags=re.S)
    for path in re.finditer(r'<path d="([^"]*)"', svg):
        numbers = [float(one) for one in re.findall(NUMBER, path[1])]
        yield from zip(numbers[::2], numbers[1::2], strict=False)
    for use in re.finditer(rf'<use\b[^>]* x="{NUMBER}" y="{NUMBER}"', svg):
        yield float(use[1]), float(use[2])
