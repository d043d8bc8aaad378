"""A race between recipes: what each look decided, and what it cost (make certain)."""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib.figure import Figure as Drawing

from reports.analysis.race import (
    CHOSEN,
    OUT,
    Raced,
    RaceOfStudy,
    adjusted_text,
    cost_text,
    end_text,
    error_text,
    question_text,
    race_of,
    why_text,
)
from reports.blocks import Cell, Figure, Prose, Rows, Section, Table
from reports.data.study import Study
from reports.figures.marks import Mark, marked
from reports.figures.theme import INK, SLOTS, SOFT, draw, panels
from reports.formatting import count, interval, known, plus_minus, shorten

HOW = (
    "Each column is a look, at the number of [seeds|seed] above it; each row is a recipe. A dot is"
    " its mean so far, a bar its interval, which holds at all looks together. A recipe that turns"
    " into a cross was shown to be worse there and got no more seeds; one in green was chosen."
)
OTHERS = (
    "Recipes that were out early have few seeds, and how many was not fixed beforehand. Other"
    " sections test as if it had been, so trust this one for which recipe is better, and the fresh"
    " seeds under “Confirmed on fresh seeds” for how good it is: the best mean of a race flatters."
)
WIDTH = 10.0
COLOURS = {CHOSEN: SLOTS[2], OUT: SLOTS[9]}


class Race:
    """Shown only if `make certain` has run. `looks`: drawn at most."""

    title = "Race"
    needs = ("val_score",)

    def __init__(self, *, looks: int) -> None:
        if looks < 2:
            raise ValueError(f"Race: looks must be at least 2, got {looks!r}")
        self.looks = looks

    def render(self, study: Study) -> Section:
        race = race_of(study)
        if race is None:
            return Section([])
        answer = f"{question_text(race)} {end_text(race)}{why_text(race)}"
        blocks: list[object] = [
            Prose(answer),
            Prose(f"{cost_text(race)} {error_text(race)} {adjusted_text(race)}".strip()),
            self._figure(race),
        ]
        if not race.between:
            blocks.append(_comparisons(race))
        blocks.append(Prose(OTHERS, "small"))
        return Section(blocks, finding=end_text(race))

    def _figure(self, race: RaceOfStudy) -> Figure:
        places = drawn(race, self.looks)
        picture = draw(lambda rasterized: _columns(race, places), name="race")
        last = len(race.looks) - 1
        there = sum(one.place == last for one in race.arms)
        finding = f"{there} of {count(len(race.arms), 'recipe')} got seeds up to the last look."
        caption = (
            f"Mean {race.measure} at {len(places)} of {count(len(race.looks), 'look')}, with"
            " repeated intervals for all recipes and looks at once."
        )
        return Figure(picture, caption, f"Race. {finding}", _table(race), WIDTH, finding, HOW)


def drawn(race: RaceOfStudy, most: int) -> list[int]:
    """Numbers of the looks to draw: the first, the last, and those that decided most."""
    looks = race.looks
    standing = [look["standing"] for look in looks]
    changed = {
        place: sum(a != b for a, b in zip(standing[place - 1], standing[place], strict=True))
        for place in range(1, len(looks) - 1)
    }
    kept = sorted(changed, key=lambda place: (-changed[place], place))[: max(most - 2, 0)]
    return sorted({0, *kept, len(looks) - 1})


def _table(race: RaceOfStudy) -> Table:
    rows: Rows = [
        [
            one.label,
            Cell(str(one.seeds), one.seeds),
            Cell(plus_minus(one.mean, one.low, one.high), one.mean),
            _standing(race, one),
            _behind(one),
        ]
        for one in race.arms
    ]
    columns = ["recipe", "seeds", f"{race.measure}, so far", "in the race", "first minus it"]
    if not race.between:
        rows = [row[:-1] for row in rows]
        columns = columns[:-1]
    return Table(columns, rows, "Recipes of the race at their last look", _notes(race))


def _notes(race: RaceOfStudy) -> str:
    return (
        "Intervals hold at every look and for all recipes at once, whenever the race ended; they"
        " are wider than those of other sections, which are about one recipe and fixed seeds. The"
        " mean of a chosen recipe is the adjusted one."
    )


def _standing(race: RaceOfStudy, one: Raced) -> str:
    seeds = race.looks[one.place]["seeds"]
    if not race.between:
        return "in" if one.standing != OUT else f"nothing left to decide at {count(seeds, 'seed')}"
    return {OUT: f"out at {count(seeds, 'seed')}", CHOSEN: f"chosen at {count(seeds, 'seed')}"}.get(
        one.standing, "in"
    )


def _behind(one: Raced) -> str:
    if one.behind is None:
        return "–"
    return interval(*one.behind)


def _comparisons(race: RaceOfStudy) -> Table:
    last, asked = race.looks[-1], race.state["asked"]
    names = asked["contrasts"] or race.labels
    words = {
        "contrasts": {"above": "supported", "below": "opposite"},
        "threshold": {"above": "reaches it", "below": "does not reach it"},
        "precision": {"too small to matter": "precise enough"},
    }[asked["decide"]]
    if asked["decide"] == "threshold":
        words["too small to matter"] = "within the difference that matters"
    rows: Rows = [
        [name, _span(estimate, low, high), words.get(verdict, verdict)]
        for name, estimate, low, high, verdict in zip(
            names, last["estimate"], last["from"], last["to"], last["verdicts"], strict=True
        )
    ]
    of = {"contrasts": "difference", "threshold": "above the threshold", "precision": "mean"}
    what = of[asked["decide"]]
    better = "" if race.state["higher_is_better"] else ", positive: better"
    return Table(["", f"{what}{better}", "decided"], rows, "What was asked, one by one", "")


def _span(value: float | None, low: float | None, high: float | None) -> Cell | str:
    if value is None:
        return "–"
    return Cell(_words(value, low, high), value)


def _columns(race: RaceOfStudy, places: Sequence[int]) -> Drawing:
    left = min(3.6, 0.4 + 0.066 * max(len(shorten(one.label, 50)) for one in race.arms))
    figure, axes = panels(
        1,
        len(places),
        width=WIDTH,
        height=0.95 + 0.2 * len(race.arms),
        left=left,
        right=0.15,
        top=0.35,
        bottom=0.5,
        gap=(0.12, 0),
    )
    by_label = {label: place for place, label in enumerate(race.labels)}
    order = [by_label[one.label] for one in race.arms]
    last = race.looks[-1]
    # Early intervals are wide; those of the last look fit.
    means = [mean for look in race.looks for mean in look["mean"] if mean is not None]
    means += [end for key in ("low", "high") for end in last[key] if end is not None]
    pad = 0.03 * (max(means) - min(means) or 1.0)
    for axis, place in zip(axes[0], places, strict=True):
        look = race.looks[place]
        for y, arm in enumerate(order):
            _bar(axis, race, place, arm, y)
        axis.set(xlim=(min(means) - pad, max(means) + pad), ylim=(len(order) - 0.4, -0.6))
        axis.set_title(count(look["seeds"], "seed"), loc="left")
        axis.set_yticks([])
        axis.grid(axis="x", color=SOFT, alpha=0.15)
        axis.locator_params(axis="x", nbins=3)
    labels = [shorten(race.labels[arm], 50) for arm in order]
    axes[0, 0].set_yticks(range(len(order)), labels)
    axes[0, 0].tick_params(axis="y", length=0)
    axes[0, len(places) // 2].set_xlabel(f"{race.measure}, mean of {last['seeds']} seeds or fewer")
    return figure


def _bar(axis, race: RaceOfStudy, place: int, arm: int, y: int) -> None:
    look = race.looks[place]
    if look["n"][arm] < look["seeds"] or look["mean"][arm] is None:
        return  # it had left the race before
    mean, low, high = (look[key][arm] for key in ("mean", "low", "high"))
    if place == len(race.looks) - 1 and race.adjusted[arm] is not None:
        mean = race.adjusted[arm]
    standing = look["standing"][arm] if race.between else "racing"
    colour = COLOURS.get(standing, SLOTS[0])
    text = f"{race.labels[arm]}, {count(look['seeds'], 'seed')}: {_words(mean, low, high)}"
    said = {OUT: ", out", CHOSEN: ", chosen"}.get(standing, "")
    mark = Mark(text + said, (race.numbers[arm],) if race.numbers[arm] >= 0 else ())
    if known(low) and known(high):
        bar = axis.plot([low, high], [y, y], color=colour, linewidth=3, alpha=0.35)
        marked(bar[0], mark)
    shape = "x" if standing == OUT else "o"
    dot = axis.plot([mean], [y], shape, color=INK if standing == CHOSEN else colour, markersize=4)
    marked(dot[0], mark)


def _words(mean: float, low: float | None, high: float | None) -> str:
    ends = [math.nan if end is None else end for end in (low, high)]
    return plus_minus(mean, ends[0], ends[1])
