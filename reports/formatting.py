"""Numbers and names as the report writes them: a real minus sign, no absolute paths."""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeGuard

BARE = (
    "cell",
    "initializer",
    "task",
    "optimizer",
    "optimizer.name",
    "readout",
)  # factors whose levels need no name beside them

# Settings whose keys are abbreviations; of every other key, underscores are read as gaps.
PLAIN_NAMES = {"lr": "learning rate", "std": "standard deviation"}
SWITCHES = {"tuned": {"True": "tuned", "False": "default"}}  # factors whose levels have words
ON_OFF = {"True": "on", "False": "off"}

MOST_DECIMALS = 9  # what is smaller is a rounding error

VERDICT_SYMBOLS = {
    "carries": "→",
    "opens": "↗",
    "shut": "⊘",
    "closes": "↘",
    "explodes": "✶",
    "mixed": "◇",
}
OUTCOME_SYMBOLS = {
    "solved": "✓",
    "learning": "◐",
    "stuck": "–",
    "diverged": "✕",
    "silently diverged": "⚠",
}
STATUS_SYMBOLS = {"done": "●", "diverged": "✕", "pruned": "◌", "failed": "!", "missing": "○"}


def known(value: object) -> TypeGuard[float]:
    """Whether a value is a finite number."""
    return isinstance(value, (int, float)) and math.isfinite(value)


def number(value: float | None, digits: int = 2, *, sign: bool = False) -> str:
    """For example: .873 → 0.87; None or NaN → n/a."""
    if value is None or not math.isfinite(value):
        return "n/a"
    text = f"{value:{'+' if sign else ''}.{digits}f}"
    if float(text) == 0:
        text = text.lstrip("+-")
    return text.replace("-", "−")


def interval(low: float, high: float, digits: int = 2, *, apart: float = 0.0) -> str:
    """For example: [0.02, 0.10]; with the digits to see that an end is not at `apart`, if the
    interval leaves it out.
    """
    if low > apart or high < apart:
        near = low if low > apart else high
        while digits < MOST_DECIMALS and number(near, digits) == number(apart, digits):
            digits += 1
    return (
        f"[{number(low, digits)}, {number(high, digits)}]"
        if math.isfinite(low) and math.isfinite(high)
        else "[no interval]"
    )


def decimals(value: float, half: float = math.nan, least: int = 2) -> int:
    """Decimals that show a value and an interval that reaches `half` to each side.

    Two significant digits of `half`; `least` without one. A value under a hundredth (`least` = 2)
    gets two digits where it exceeds `half`, so that it differs from its neighbours, and one where
    `half` is up to ten times its size. No more than four digits, so that rounding errors show no
    spread.
    """
    value, half = abs(value), abs(half)
    if not math.isfinite(value):
        return least
    half = half if math.isfinite(half) else 0.0
    value, half = (one if one >= 10**-MOST_DECIMALS else 0.0 for one in (value, half))
    wanted = [max(0, 1 - _exponent(half)) if half > 0 else least]
    if 0 < value < 10**-least and value >= half / 10:
        wanted.append((1 if value >= half else 0) - _exponent(value))
    most = max(least, 3 - _exponent(value)) if value > 0 else MOST_DECIMALS
    return min(max(wanted), most, MOST_DECIMALS)


def _exponent(value: float) -> int:
    return math.floor(math.log10(value))


def score_number(value: float | None, least: int = 2) -> str:
    """A score alone: 0.87, and 0.00042 rather than 0.00."""
    return number(value, least if value is None else decimals(value, least=least))


def decimals_of(value: float, low: float, high: float, least: int = 2) -> int:
    """As decimals, and one more if a value or an end that is not 0 would print as 0."""
    digits = decimals(value, (high - low) / 2, least)
    reads_zero = [
        [one for one in (value, low, high) if known(one) and abs(one) < 0.5 * 10**-places]
        for places in (digits, digits + 1)
    ]
    small, smaller = ([one for one in ones if abs(one) >= 1e-9] for ones in reads_zero)
    return digits + 1 if len(smaller) < len(small) else digits


def with_ends(value: float, low: float, high: float, least: int = 2, *, sign: bool = False) -> str:
    """For example: 0.91 [0.89, 0.93], 0.00042 [0.00037, 0.00047]; the value if alone."""
    half = (high - low) / 2
    digits = decimals_of(value, low, high, least)
    ends = f" {interval(low, high, digits)}" if math.isfinite(half) else ""
    return number(value, digits, sign=sign) + ends


def plus_minus(value: float, low: float, high: float, least: int = 2) -> str:
    """For example: 0.91 ± 0.02; with both ends if one side is shorter, the value alone if none
    or without any spread.
    """
    half = (high - low) / 2
    digits = decimals_of(value, low, high, least)
    if not math.isfinite(half) or 0 <= half < 10**-MOST_DECIMALS:
        return number(value, digits)
    if number(high - value, digits) != number(value - low, digits):
        return with_ends(value, low, high, least)
    return f"{number(value, digits)}\u00a0±\u00a0{number(half, digits)}"


def percent(share: float | None) -> str:
    """Whole percents; 0 % and 100 % only if exact."""
    if share is None or not math.isfinite(share):
        return "n/a"
    if 0 < share < 0.01:
        return "under 1 %"
    if 0.99 < share < 1:
        return "over 99 %"
    return f"{100 * share:.0f} %"


def as_number(name: str) -> str:
    """Column with the numbers of a size (depth, …) that is a factor: its own column holds text."""
    return f"{name} as a number"


def p_text(p: float, *, smallest: bool = False) -> str:
    """A p value with its sign: = 0.012, < 0.001, and ≤ 0.0005 if no arrangement gives less."""
    if not known(p):
        return "n/a"
    if not smallest:
        return "< 0.001" if p < 0.001 else f"= {p:.3f}"
    digits = max(3, -_exponent(p))
    return f"≤ {math.ceil(round(p * 10**digits, 6)) / 10**digits:.{digits}f}"


def count(n: int, one: str, many: str | None = None) -> str:
    return f"{n:,} {one if n == 1 else many or one + 's'}"


def duration(seconds: float) -> str:
    if not math.isfinite(seconds):
        return "n/a"
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def listing(names: Iterable[str]) -> str:
    """For example: a, b and c."""
    names = list(names)
    return (
        names[0]
        if len(names) == 1
        else f"{', '.join(names[:-1])} and {names[-1]}"
        if names
        else "none"
    )


def counts(tally: Mapping[str, int]) -> str:
    """For example: opens 2 · shut 1; opens 3/3 if all agree."""
    total = sum(tally.values())
    if len(tally) == 1:
        return f"{next(iter(tally))} {total}/{total}"
    return " · ".join(f"{name} {n}" for name, n in tally.items())


class Key(str):
    """The key of a setting, with the words for it: learning rate for optimizer.lr."""

    short: str


def keys_of(names: Iterable[str]) -> dict[str, Key]:
    """Keys that know their short names: as many of their last parts as no other key ends with, as
    plain words where these are of one key alone.
    """
    parts = {name: name.split(".") for name in names}
    ends = {
        name: next(
            ".".join(own[-n:])
            for n in range(1, len(own) + 1)
            if n == len(own)
            or not any(other[-n:] == own[-n:] for key, other in parts.items() if key != name)
        )
        for name, own in parts.items()
    }
    plain = Counter(map(_plain, ends.values()))
    made = {}
    for name, end in ends.items():
        made[name] = Key(name)
        made[name].short = _plain(end) if plain[_plain(end)] == 1 else end
    return made


def _plain(name: str) -> str:
    """The words for a setting: learning rate for lr, forget bias for forget_bias; "optimizer
    learning rate" for optimizer.lr.
    """
    if re.fullmatch(r"[\w.]+", name) is None:
        return name  # a column of somebody's table, as it stands there
    *path, last = name.split(".")
    return " ".join([*path, PLAIN_NAMES.get(last, last.replace("_", " "))])


def short_names(names: Iterable[str]) -> dict[str, str]:
    return {name: key.short for name, key in keys_of(names).items()}


def rekeyed(value: Any, keys: Mapping[str, Key]) -> Any:
    """A declaration in which these settings, as keys of mappings, know their short names."""
    if isinstance(value, Mapping):
        return {keys.get(key, key): rekeyed(one, keys) for key, one in value.items()}
    return [rekeyed(one, keys) for one in value] if isinstance(value, list) else value


def short_name(key: str) -> str:
    """The words for a setting: learning rate for optimizer.lr, if no other ends with lr."""
    return key.short if isinstance(key, Key) else _plain(key.rpartition(".")[2])


def level(factor: str, label: object) -> str:
    """A level as text: cells and initializers alone, others with their factor (depth 2); what is
    on or off in words.
    """
    text = isolated(str(label))
    if factor in SWITCHES and text in SWITCHES[factor]:
        return SWITCHES[factor][text]
    if text in ON_OFF:
        return f"{short_name(factor)} {ON_OFF[text]}"
    return text if factor in BARE else f"{short_name(factor)} {text}"


def isolated(text: str) -> str:
    """Right-to-left text in isolation marks, so that it does not reorder numbers beside it."""
    return (
        f"\u2068{text}\u2069"
        if any(unicodedata.bidirectional(letter) in ("R", "AL") for letter in text)
        else text
    )


def levels(labels: Mapping[str, object]) -> str:
    return " · ".join(level(factor, label) for factor, label in labels.items()) or "the only recipe"


def shorten(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"


def slug(text: str, taken: Sequence[str] = ()) -> str:
    """A name fit for an id, different from those taken."""
    base = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "part"
    name, n = base, 1
    while name in taken:
        n += 1
        name = f"{base}-{n}"
    return name


def term_id(term: str) -> str:
    """Id of a term in the glossary."""
    return f"term-{slug(term)}"
