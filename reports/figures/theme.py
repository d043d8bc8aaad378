"""The look of all figures: colours by name, the page's text and axes, reproducible SVG."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import html
import io
import itertools
import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, is_color_like, to_hex, to_rgba
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text
from matplotlib.ticker import MaxNLocator

from reports.figures.marks import drop_marks, put_marks, settle_marks, take_marks
from reports.figures.stacking import COLUMN, ROW, is_name, stacked
from reports.formatting import level

# Placeholders that the finished SVG replaces by the page's colours, which change with its theme.
INK, SOFT, GRID, PAPER = "#010203", "#040506", "#070809", "#0a0b0c"
# Colours outside the page: those of its light theme, on white.
PLAIN = {INK: "#1b1d21", SOFT: "#5b606a", GRID: "#d9dad4", PAPER: "#ffffff"}
PAGE = {INK: "currentColor", SOFT: "var(--soft)", GRID: "var(--rule)", PAPER: "var(--paper)"}

# Medium lightness: contrast of at least 3:1 on white and on the dark page. Okabe and Ito's hues,
# which colour-blind readers can distinguish.
SLOTS = (
    "#0a7fc2",
    "#d4680a",
    "#2e9e4f",
    "#b8559a",
    "#8a8205",
    "#6a6fd0",
    "#c04848",
    "#2f93a6",
    "#8c6d4f",
    "#7a8a99",
)
NAMED = {
    "rnn": 1,
    "lstm": 0,
    "gru": 2,
    "rnn_relu": 6,
    "gru_reset_after": 7,
    "orthogonal": 0,
    "xavier_uniform": 1,
    "xavier_normal": 4,
    "normal": 3,
    "pytorch": 2,
    "identity": 5,
    "normal_small": 8,
    "normal_large": 6,
    "none": 9,
    "norm": 5,
    "value": 4,
    "adam": 0,
    "sgd": 1,
    "rmsprop": 2,
}
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
MARKED = {"solved": 0, "learning": 3, "stuck": 4, "diverged": 6, "silently diverged": 5}
DASHES: tuple[object, ...] = ("solid", (0, (4, 1.6)), (0, (1.2, 1.4)), (0, (5, 1.4, 1.2, 1.4)))
MARKS = 5000  # SVG elements above which a figure's points are rasterized
DPI = 192
LONGEST = 18  # most characters of a word in a picture

STYLE = {
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
    "font.family": "DejaVu Sans",
    "font.size": 8.5,
    "axes.titlesize": 9,
    "axes.labelsize": 8.5,
    "axes.titleweight": "normal",
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "legend.fontsize": 8,
    "text.color": INK,
    "axes.labelcolor": INK,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "axes.edgecolor": SOFT,
    "axes.linewidth": 0.6,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "xtick.bottom": True,
    "ytick.left": True,
    "xtick.minor.visible": False,
    "ytick.minor.visible": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "lines.linewidth": 1.2,
    "svg.fonttype": "none",
    "svg.hashsalt": "report",
    "image.composite_image": False,
    "path.simplify": True,
    "axes.axisbelow": True,
    "lines.solid_capstyle": "round",
    "patch.edgecolor": "w",
    "patch.force_edgecolor": True,
    "axes.unicode_minus": True,
}


def theme() -> AbstractContextManager[None]:
    """The style of every figure, for a `with` statement; nothing global changes."""
    return mpl.rc_context(STYLE)  # type: ignore[arg-type]


def _slot(name: str, size: int) -> int:
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=4).digest(), "big") % size


def colours(names: Iterable[str]) -> dict[str, str]:
    """A colour per name, by the name alone.

    If two names would share one, the later in the alphabet gets the next free colour.
    """
    return {name: SLOTS[slot] for name, slot in _assign(names, NAMED, len(SLOTS)).items()}


def markers(names: Iterable[str]) -> dict[str, str]:
    """A marker per name, as `colours`."""
    return {
        name: MARKERS[slot] for name, slot in _assign(names, NAMED | MARKED, len(MARKERS)).items()
    }


def _assign(names: Iterable[str], known: Mapping[str, int], size: int) -> dict[str, int]:
    given = list(names)
    taken: dict[str, int] = {}
    for name in sorted(given, key=lambda name: (name not in known, name)):
        slot = known.get(name, _slot(name, size)) % size
        free = next(
            (slot + step for step in range(size) if (slot + step) % size not in taken.values()),
            slot,
        )
        taken[name] = free % size
    return {name: taken[name] for name in given}


def sequence(n: int) -> list[str]:
    """n colours from the first to the last stage, visible on light and dark paper."""
    ramp = LinearSegmentedColormap.from_list("stages", ["#e3a21a", "#d9603b", "#a8407f", "#5a50c8"])
    return [mpl.colors.to_hex(ramp(i / max(1, n - 1))) for i in range(n)]


def transport_map(low: float, high: float) -> LinearSegmentedColormap:
    """Dark where credit is lost, pale at 0 (as at lag 1), red where it is amplified."""
    zero = -low / (high - low)
    lost = [
        (zero * at, colour)
        for at, colour in (
            (0, "#0b1030"),
            (0.25, "#252f6e"),
            (0.5, "#2c6f9e"),
            (0.75, "#55b3ab"),
            (0.9, "#b5dfc0"),
            (1, "#f6f4dc"),
        )
    ]
    gained = [
        (zero + (1 - zero) * at, colour)
        for at, colour in ((0.35, "#f3b562"), (0.7, "#d9472b"), (1, "#7d0f2b"))
    ]
    return LinearSegmentedColormap.from_list("transport", lost + gained, N=512)


@dataclass(frozen=True)
class Picture:
    """A figure that is drawn when it is needed: as SVG for the page, or by matplotlib.

    `build(rasterized)` returns the matplotlib figure; it is called again with True if its SVG has
    more than MARKS marks.
    """

    build: Callable[[bool], Figure]
    name: str  # prefix of the ids in the SVG

    @functools.cached_property
    def svg(self) -> Markup:
        """Inline SVG in the page's fonts and colours, the same bytes every time."""
        with _silent_theme():
            svg = _svg(self.build(False))
            if sum(svg.count(mark) for mark in ("<path", "<use")) > MARKS:
                svg = _svg(self.build(True))
        return Markup(_for_page(svg, self.name))

    def __html__(self) -> str:
        return self.svg

    def __str__(self) -> str:
        return self.svg

    def figure(self) -> Figure:
        """A matplotlib figure on white, to change, to save, or to show in a notebook."""
        with _silent_theme():
            figure = self.build(False)
            # Ticks take the theme's style when they are first drawn.
            figure.draw_without_rendering()
        drop_marks(figure)
        in_plain_colours(figure)
        return figure


def draw(build: Callable[[bool], Figure], *, name: str) -> Picture:
    """The picture of a Figure block; see Picture."""
    return Picture(build, name)


@contextlib.contextmanager
def _silent_theme() -> Iterator[None]:
    with theme(), warnings.catch_warnings():
        # The browser sets the text, in a font that has the glyph.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield


def in_plain_colours(figure: Figure) -> None:
    """Replace the stand-ins for the page's colours in every artist of a figure."""
    figure.set_facecolor(PLAIN[PAPER])
    for artist in figure.findobj():
        for name in ("color", "facecolor", "edgecolor", "markerfacecolor", "markeredgecolor"):
            if hasattr(artist, f"set_{name}") and hasattr(artist, f"get_{name}"):
                colour = getattr(artist, f"get_{name}")()
                if isinstance(colour, np.ndarray) and colour.ndim == 2:
                    plain: Any = [_plain_colour(one) for one in colour]
                    changed = any(a is not b for a, b in zip(plain, colour, strict=True))
                else:
                    plain = _plain_colour(colour)
                    changed = plain is not colour
                if changed:
                    getattr(artist, f"set_{name}")(plain)
        if isinstance(artist, Text):
            artist.set_text(squeezed(artist.get_text()))
            if patch := artist.get_bbox_patch():  # which findobj does not find
                patch.set_facecolor(_plain_colour(patch.get_facecolor()))


def _plain_colour(colour: Any) -> Any:
    """The colour that a stand-in is for, with its opacity; any other colour as it is."""
    if not is_color_like(colour):
        return colour
    plain = PLAIN.get(to_hex(colour))
    return colour if plain is None else to_rgba(plain, to_rgba(colour)[3])


def _svg(figure: Figure) -> str:
    out = io.StringIO()
    settle_marks(figure)
    figure.savefig(out, format="svg", dpi=DPI, metadata={"Date": None, "Creator": None})
    return out.getvalue()


def squeezed(text: str) -> str:
    """Text with long words shortened in the middle; tables show them in full."""
    return re.sub(
        rf"\S{{{LONGEST + 1},}}", lambda found: f"{found[0][: LONGEST - 6]}…{found[0][-5:]}", text
    )


def _for_page(svg: str, name: str) -> str:
    """Adapt matplotlib's SVG to the page: unique ids, its fonts and colours, fewer digits."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.S)
    svg = re.sub(r"<!--.*?-->\s*", "", svg, flags=re.S)
    svg = re.sub(r' xmlns(:\w+)?="[^"]*"', "", svg).replace("xlink:href", "href")
    svg = re.sub(r"<style type=\"text/css\">.*?</style>", "", svg, flags=re.S)
    svg, marks = take_marks(stacked(svg))
    used = set(re.findall(r"(?:url\(#|href=\"#)([^\")]+)", svg))
    svg = re.sub(
        r' id="([^"]*)"', lambda found: f' id="{name}-{found[1]}"' if found[1] in used else "", svg
    )
    svg = re.sub(r"(url\(#|href=\"#)", rf"\1{name}-", svg)
    for stand_in, colour in PAGE.items():
        svg = svg.replace(stand_in, colour)
    svg = re.sub(r"'DejaVu Sans'(, [^;\"]*)?", "var(--font)", svg)
    svg = re.sub(  # in tags: a text's digits are numbers that somebody reads
        r"<[^>]*>", lambda tag: re.sub(r"(\d+\.\d{3})\d+", r"\1", tag[0]), svg
    )
    svg = re.sub(
        r' d="[^"]*"', lambda found: re.sub(r"(\.\d\d)\d", r"\1", found[0]), svg
    )  # hundredths of a point
    svg = re.sub(
        r">([^<>]*)</text>",
        lambda found: f">{html.escape(squeezed(html.unescape(found[1])), quote=False)}</text>",
        svg,
    )
    svg = re.sub(r"<path(?:(?! d=)[^>])*/>", "", svg)  # of a line that lies outside its axes
    svg = re.sub(r"<defs>\s*</defs>", "", svg)
    svg = re.sub(r"\n\s*", "\n", svg)
    size = re.search(r'width="([\d.]+)pt" height="([\d.]+)pt"', svg)
    if size:
        svg = svg.replace(size[0], 'aria-hidden="true" focusable="false"', 1)
    return put_marks(svg, marks)


def panels(
    rows: int,
    columns: int,
    *,
    width: float,
    height: float,
    left: float,
    right: float,
    top: float,
    bottom: float,
    gap: Sequence[float],
) -> tuple[Figure, np.ndarray]:
    """A figure with rows × columns of axes.

    All sizes in inches: width and height of the figure, margins, and the gaps (across, down).
    """
    figure = Figure(figsize=(width, height))
    across, down = (
        (width - left - right - gap[0] * (columns - 1)) / columns,
        (height - top - bottom - gap[1] * (rows - 1)) / rows,
    )
    axes = figure.subplots(
        rows,
        columns,
        squeeze=False,
        gridspec_kw={
            "left": left / width,
            "right": 1 - right / width,
            "top": 1 - top / height,
            "bottom": bottom / height,
            "wspace": gap[0] / across,
            "hspace": gap[1] / down,
        },
    )
    return figure, axes


@dataclass(frozen=True)
class PanelGrid:
    """A grid of panels: the factors of its rows and columns, and their levels."""

    row_key: str
    row_levels: Sequence[str]
    column_key: str
    column_levels: Sequence[str]

    @property
    def row_names(self) -> list[str]:
        return [level(self.row_key, name) for name in self.row_levels]

    @property
    def column_names(self) -> list[str]:
        return [level(self.column_key, name) for name in self.column_levels]

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """Row and column of each panel, row by row."""
        return itertools.product(range(len(self.row_levels)), range(len(self.column_levels)))

    def is_last(self, i: int, j: int) -> tuple[bool, bool]:
        """Whether the panel is in the last row, and in the last column."""
        return i == len(self.row_levels) - 1, j == len(self.column_levels) - 1

    def select(self, rows: pd.DataFrame, i: int, j: int) -> pd.DataFrame:
        """The rows that belong to one panel."""
        in_row = rows[self.row_key] == self.row_levels[i]
        return rows[in_row & (rows[self.column_key] == self.column_levels[j])]


def panel_note(axis: Axes, text: str, **style: Any) -> None:
    """A soft text in the middle of an axis, such as why nothing is drawn."""
    place = {"ha": "center", "va": "center", "color": SOFT, "fontsize": 7.5}
    axis.text(0.5, 0.5, text, transform=axis.transAxes, **{**place, **style})


def column_title(axis: Axes, text: str, *, y: float = 1.05) -> None:
    """The name of a column of panels, above its first axis."""
    made = axis.text(0.5, y, text, transform=axis.transAxes, ha="center", va="bottom", fontsize=8.5)
    is_name(made, COLUMN)


def row_title(axis: Axes, text: str, *, away: float, width: float, size: float = 8.5) -> None:
    """The name of a row of panels, `away` inches left of its first axis; `width` of the figure."""
    x = -away / (axis.get_position().width * width)
    made = axis.text(x, 0.5, text, transform=axis.transAxes, ha="right", va="center", fontsize=size)
    is_name(made, ROW)


def shared_x_label(
    figure: Figure, text: str, *, left: float, right: float, y: float = 0.05
) -> None:
    """One label for all x axes: between the margins, `y` inches from the bottom."""
    width, height = figure.get_size_inches()
    middle = (left + width - right) / 2 / width
    figure.text(middle, y / height, text, ha="center", va="bottom", fontsize=8.5)


def shared_y_label(
    figure: Figure, text: str, *, x: float, top: float, bottom: float, rotation: float = 90
) -> None:
    """One label for all y axes: between the margins, `x` inches from the left."""
    width, height = figure.get_size_inches()
    figure.text(
        x / width,
        (bottom + (height - top)) / 2 / height,
        text,
        rotation=rotation,
        ha="center",
        va="center",
        fontsize=8.5,
    )


def named_marks(figure: Figure, names: Sequence[tuple[str, str, str]], left: float) -> None:
    """A legend of (name, colour, marker) from the top of the axes down, `left` inches from the
    left.
    """
    width, height = figure.get_size_inches()
    for row, (name, colour, marker) in enumerate(names):
        y = 1 - (0.42 + 0.2 * row) / height
        figure.add_artist(
            Line2D(
                [(left + 0.16) / width],
                [y],
                marker=marker,
                color=colour,
                markersize=5,
                linestyle="none",
                markeredgewidth=0,
            )
        )
        figure.text((left + 0.27) / width, y, name, fontsize=8, va="center")


def legend(
    figure: Figure, entries: Sequence[tuple[str, Mapping[str, Any]]], *, left: float
) -> None:
    """A legend in lines at the top left; an entry that does not fit starts a new line."""
    width, height = figure.get_size_inches()
    x, y = left, 0.12
    for text, style in entries:
        need = 0.38 + 0.072 * len(text) + 0.22
        if x + need > width and x > left:
            x, y = left, y + 0.19
        figure.add_artist(Line2D([x / width, (x + 0.28) / width], [1 - y / height] * 2, **style))
        figure.text((x + 0.36) / width, 1 - y / height, text, fontsize=8, va="center")
        x += need


def update_ticks(axis: Axes, last: float) -> None:
    """A few round updates on the x axis, from 0."""
    ticks = [
        tick
        for tick in MaxNLocator(4, integer=True, steps=[1, 2, 2.5, 5, 10]).tick_values(0, last)
        if 0 <= tick <= last
    ]
    axis.set_xticks(ticks, [f"{tick:,.0f}" for tick in ticks])
    edge_labels(axis)


def edge_labels(axis: Axes, *, reverse: bool = False) -> None:
    """Keep the outermost labels of the x axis inside it, clear of neighbouring panels."""
    labels = axis.get_xticklabels()
    if len(labels) > 1:
        labels[0].set_horizontalalignment("right" if reverse else "left")
        labels[-1].set_horizontalalignment("left" if reverse else "right")
