"""The comparison of two studies in sentences, and as text for a terminal."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from reports.analysis.arms import with_interval
from reports.documents.diff import Difference
from reports.documents.diff_recipes import (
    ALIKE,
    BETTER,
    PERHAPS,
    SAME,
    UNKNOWN,
    WORSE,
    OneSided,
    RecipeChange,
)
from reports.formatting import count, listing, short_names

FEW = 3  # settings that a sentence names
ALONE = (ALIKE, UNKNOWN)  # said of a recipe, not of one study
ORDER = (BETTER, PERHAPS + BETTER, PERHAPS + WORSE, WORSE, ALIKE, UNKNOWN)


def sentences(found: Difference) -> list[str]:
    """The result in sentences: settings first, then what became better and worse, then who is in
    one study only.
    """
    said = [_settings_words(found), *_recipe_words(found), *_only_words(found)]
    return [one for one in said if one]


def _settings_words(found: Difference) -> str:
    changed = sum(found.settings.values())
    allowed = f" Allowed to differ: {listing(found.allowed)}." if found.allowed else ""
    if found.settings:
        first = list(found.settings.items())[:FEW]
        words = [
            f"{key} {before} → {after} (at {count(n, 'network')})"
            for (key, before, after), n in first
        ]
        more = len(found.settings) - len(first)
        rest = f", and {more} more" if more else ""
        return f"Settings of the networks of both that differ: {'; '.join(words)}{rest}.{allowed}"
    if not found.shared:
        return f"No network is in both.{allowed}"
    if found.networks and not changed:
        return (
            f"No setting differs, but the same settings gave other numbers in"
            f" {len(found.networks)} of the {count(found.shared, 'network')} of both.{allowed}"
        )
    return f"No setting of the {count(found.shared, 'network')} of both differs.{allowed}"


def tally_words(found: Difference) -> str:
    """How many recipes became better, worse, and so on."""
    moved = [one for one in found.recipes if not one.same]
    same = len(found.recipes) - len(moved)
    tally = {word: sum(one.word == word for one in moved) for word in ORDER}
    parts = [_are(word, n) for word, n in tally.items() if n and word not in ALONE]
    parts = [f"{listing(parts)} in {found.names[1]}"] if parts else []
    parts += [f"{tally[ALIKE]} {ALIKE}"] if tally[ALIKE] else []
    parts += [_are(UNKNOWN, tally[UNKNOWN])] if tally[UNKNOWN] else []
    parts += [_are(SAME, same)] if same else []
    text = f"Of {count(len(found.recipes), 'recipe')} of both, {'; '.join(parts)}."
    if tally[ALIKE] == len(found.recipes):
        text = f"None of the {count(len(found.recipes), 'recipe')} of both can be told apart."
    if any(tally[PERHAPS + word] for word in (BETTER, WORSE)):
        text += (
            " Perhaps: its own interval leaves out 0, as about 1 in 20 would by chance, and the one"
            f" that holds for all {len(moved)} recipes does not."
        )
    return text


def _recipe_words(found: Difference) -> list[str]:
    if not found.recipes:
        return ["No recipe is in both: there is no score to compare."]
    moved = [one for one in found.recipes if not one.same]
    if not moved:
        return ["Every recipe of both is the very same: no score differs."]
    every = sum(one.word == UNKNOWN for one in moved) in (0, len(moved))
    return [
        tally_words(found),
        f"Mean test {found.metric} over {'them' if every else 'those of several seeds'}:"
        f" {with_interval(found.overall, 3, sign=True)} ({found.names[1]} minus {found.names[0]},"
        f" {_direction(found)}; 95 % interval over seeds).",
        _totals(found.recipes),
    ]


def _are(word: str, n: int) -> str:
    return f"{n} {'is' if n == 1 else 'are'} {word}"


def _direction(found: Difference) -> str:
    return "more is better" if found.higher_is_better else "less is better"


def _totals(recipes: Sequence[RecipeChange]) -> str:
    """How many networks of these recipes end solved and are lost, before and after."""
    sides = [[one.first for one in recipes], [one.second for one in recipes]]
    sizes = [sum(one.n for one in side) for side in sides]
    lost = [sum(one.lost for one in side) for side in sides]
    text = f"lost: {lost[0]} of {sizes[0]} → {lost[1]} of {sizes[1]}."
    ruled = [[one for one in side if one.solved is not None] for side in sides]
    if not all(ruled):
        return f"Their networks that are {text}"
    solved = [sum(one.solved or 0 for one in side) for side in ruled]
    of = [sum(one.n for one in side) for side in ruled]
    return (
        f"Their networks that end solved: {solved[0]} of {of[0]} → {solved[1]} of {of[1]}; {text}"
    )


def _only_words(found: Difference) -> list[str]:
    said = []
    for at, name in enumerate(found.names):
        levels, recipes, seeds = (
            found.only_levels[at],
            found.only_recipes[at],
            found.only_seeds[at],
        )
        if not recipes and not seeds:
            continue
        parts = [count(len(recipes), "recipe")] if recipes else []
        parts += [f"other seeds of {count(len(seeds), 'recipe')}"] if seeds else []
        why = f" ({_level_words(levels)})" if levels and recipes else ""
        said.append(f"Only in {name}: {listing(parts)}{why}.")
    return said


def _level_words(levels: Mapping[str, Sequence[str]]) -> str:
    names = short_names(levels)
    return "; ".join(
        f"{names[key]} {listing([str(one) for one in labels])}" for key, labels in levels.items()
    )


def text(found: Difference, most: int) -> str:
    """The comparison for a terminal, with at most `most` lines per list."""
    a, b = found.names
    blocks = [f"{a} → {b}", "\n".join(sentences(found))]
    blocks += _block(
        "settings that differ",
        [
            f"{key}: {one} → {other} ({n} networks)"
            for (key, one, other), n in found.settings.items()
        ],
        most,
    )
    blocks += _block(
        f"test {found.metric} by recipe, {b} minus {a}",
        [f"{one.label}: {change_words(one)}" for one in found.recipes if not one.same],
        most,
    )
    for name, recipes, seeds in zip(found.names, found.only_recipes, found.only_seeds, strict=True):
        lines = [f"{one.label}: {alone_words(one, found.metric)}" for one in recipes]
        lines += [f"{label}: seeds {which}" for label, which in seeds]
        blocks += _block(f"only in {name}", lines, most)
    blocks += _block(
        "findings that changed", [f"{what}: {change}" for what, change in found.findings], most
    )
    return "\n\n".join(blocks)


def _block(title: str, rows: Sequence[str], most: int) -> list[str]:
    more = [f"  … and {len(rows) - most} more (--html shows all)"] if len(rows) > most else []
    return (
        ["\n".join([f"{title} ({len(rows)})", *(f"  {row}" for row in rows[:most]), *more])]
        if rows
        else []
    )


def change_words(one: RecipeChange) -> str:
    """For example: perhaps better, +0.083 [0.010, 0.156], 3 seeds in pairs; solved 1/3 → 2/3."""
    seeds = (
        f"{count(one.first.n, 'seed')} in pairs"
        if one.paired
        else f"{one.first.n} and {one.second.n} seeds"
    )
    known = math.isfinite(one.difference.value)
    size = with_interval(one.difference, 3, sign=True) if known else "no score"
    turned = [
        f"{name} {before} → {after}"
        for name, before, after in (
            ("solved", share(one.first, "solved"), share(one.second, "solved")),
            ("lost", share(one.first, "lost"), share(one.second, "lost")),
            ("verdicts", verdict_words(one.first), verdict_words(one.second)),
        )
        if before != after
    ]
    return "; ".join([f"{one.word}, {size}, {seeds}", *turned])


def alone_words(one: OneSided, metric: str) -> str:
    """What became of a recipe that only one study has."""
    solved = "" if one.solved is None else f", solved {share(one, 'solved')}"
    return f"mean test {metric} {with_interval(one.score, 3)}{solved}, lost {share(one, 'lost')}"


def share(one: OneSided, what: str) -> str:
    hits = one.solved if what == "solved" else one.lost
    return "no rule" if hits is None else f"{hits}/{one.n}"


def verdict_words(one: OneSided) -> str:
    """For example: carries 2, shut 1."""
    return ", ".join(f"{name} {n}" for name, n in one.verdicts.items()) or "none"
