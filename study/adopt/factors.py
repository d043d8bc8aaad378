"""Which columns are factors: those named, or else those that vary and are no results."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from study.adopt.source import Source
from study.records import CHOICES, POINTS, SIZES, TABLES, StudyError
from study.store.privacy import private

# Levels that nobody compares one by one, if each has a single run: it is a number of the run.
MOST_SINGLE = 30
# Names that pages use for something else; a factor of such a name is called settings.NAME.
SETTINGS = "settings."
# Words in the names of scores, and whether a higher one is better.
HIGHER = ("acc", "accuracy", "f1", "auc", "auroc", "r2", "precision", "recall", "bleu", "iou")
LOWER = ("loss", "error", "mse", "mae", "rmse", "nll", "perplexity", "ppl", "bpc", "mape", "wer")
PARTS = ("train", "val", "valid", "validation", "test")
RESULTS = {column.name for column in POINTS} - {*CHOICES, *SIZES, "lag", "steps"}
WORDS = """above apart arm at away behind best by cost count counted declared diverged end ended
failed first gate health high horizon index key kind label labels layout learned least level line
linked log lost low mean missing n name number objective order other outcomes panel place planned
pruned rank scores second share size solved text time values verdicts what when word zero"""
USED = (
    {column.name for column in POINTS} - {*CHOICES, *SIZES}
    | {column.name for table in TABLES.values() for column in table}
    | set(WORDS.split())
)


@dataclass(frozen=True)
class Factors:
    """keys: what each column is called in the study, in order. fixed: settings that are the same in
    every run, by their keys. told: how the factors were found, "" if they were named.
    """

    keys: Mapping[str, str]
    fixed: Mapping[str, object]
    told: str

    @property
    def names(self) -> list[str]:
        """The columns."""
        return list(self.keys)


def key_of(column: str, levels: Sequence[object], task: str | None) -> str:
    """What a column is called in the study: by its name, unless that means something else there."""
    if column == task:
        return "task"
    is_size = all(isinstance(one, int) for one in levels)
    used = column in USED or (column in SIZES and not is_size)
    return f"{SETTINGS}{column}" if used else column


def levels_of(values: Sequence[object]) -> list[object]:
    """Values of a column as levels: numbers if all that are there are numbers."""
    there = [one for one in values if not missing(one)]
    numbers = [number(one) for one in there]
    numeric = all(one is not None for one in numbers) and not any(
        isinstance(one, bool) for one in there
    )
    made = iter(numbers if numeric else [_text(one) for one in there])
    return [None if missing(one) else next(made) for one in values]


def ordered(levels: Sequence[object]) -> list[object]:
    """Different levels: numbers by size, others as they come."""
    distinct = list(dict.fromkeys(levels))
    if all(isinstance(one, int | float) and not isinstance(one, bool) for one in distinct):
        return sorted(distinct, key=float)  # type: ignore[arg-type]
    return distinct


def missing(value: object) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


def number(value: object) -> int | float | None:
    """A number as it was written, whole ones as int; None if it is none."""
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        try:
            value = int(value) if value.strip().lstrip("+-").isdigit() else float(value)
        except ValueError:
            return None
    if not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _text(value: object) -> object:
    return value if isinstance(value, bool) else str(value)


def choose(
    source: Source, named: Sequence[str] | None, task: str | None, others: Collection[str]
) -> Factors:
    """`named`: columns that the user calls factors; `task`: that of tasks, a factor if it varies;
    `others`: columns that are something else.
    """
    columns = {str(name): levels_of(source.rows[name].tolist()) for name in source.rows.columns}
    if named is not None:
        if not named:
            raise StudyError("factors: name at least one column")
        chosen, told = list(dict.fromkeys([*named, *([task] if task else [])])), ""
    else:
        chosen, told = _found(source, columns, others)
    varying = [name for name in chosen if len(set(columns[name])) > 1]
    if not varying:
        said = ", ".join(f"{name} {columns[name][0]}" for name in chosen)
        raise StudyError(f"factors: all {len(source.rows)} runs are of one arm ({said})")
    _check_levels(varying, columns, len(source.rows))
    kept = source.settings if source.settings is not None else columns
    fixed = {
        name: columns[name][0]
        for name in [*kept, *chosen]
        if name not in others and len(set(columns[name])) == 1 and columns[name][0] is not None
    }
    if source.settings is None:  # of a table, nobody knows which columns are results
        fixed = {name: value for name, value in fixed.items() if name not in RESULTS}
    keys = {name: key_of(name, columns[name], task) for name in [*varying, *fixed]}
    if len(set(keys.values())) < len(keys):
        twice = max(keys.values(), key=[*keys.values()].count)
        raise StudyError(f"factors: two columns would be called {twice}; rename one of them")
    # A page shows them, and no path of this machine.
    constant = {
        keys[name]: private(value) if isinstance(value, str) else value
        for name, value in fixed.items()
    }
    return Factors({name: keys[name] for name in varying}, constant, told)


def _found(
    source: Source, columns: Mapping[str, list[object]], others: Collection[str]
) -> tuple[list[str], str]:
    """Columns that vary, and one line on them and on those that vary and were left out."""
    rows = len(source.rows)
    known = source.settings is not None
    candidates = [
        name
        for name in (source.settings if source.settings is not None else columns)
        if name not in others and (known or name not in RESULTS) and len(set(columns[name])) > 1
    ]
    chosen: list[str] = []
    left: list[str] = []
    for name in candidates:
        values = columns[name]
        if any(one is None for one in values):
            left.append(f"{name} (empty in some rows)")
        elif len(set(values)) == rows and len(candidates) > 1 and rows > 2:
            left.append(f"{name} (differs in every row)")
        elif not known and _measured(name, values):
            left.append(f"{name} (looks measured)")
        elif same := next((one for one in chosen if _same(columns[one], values)), None):
            left.append(f"{name} (varies as {same} does)")
        else:
            chosen.append(name)
    without = f"; left out: {', '.join(left)}" if left else ""
    if not chosen:
        raise StudyError(f"factors: no column was found that tells arms apart{without}. Name them")
    return chosen, f"factors found: {', '.join(chosen)}{without}. --factors names others"


def _measured(name: str, values: Sequence[object]) -> bool:
    """Whether a column has fractions most of which occur once, or is called as scores are."""
    fractions = any(isinstance(one, float) for one in values)
    called = set(re.split(r"[^a-z0-9]+", name.lower())) & {*HIGHER, *LOWER, *PARTS}
    return fractions and (bool(called) or len(set(values)) > len(values) / 2)


def _same(one: Sequence[object], other: Sequence[object]) -> bool:
    """Whether two columns split the rows alike."""
    pairs = set(zip(one, other, strict=True))
    return len(pairs) == len(set(one)) == len(set(other))


def _check_levels(names: Sequence[str], columns: Mapping[str, list[object]], rows: int) -> None:
    for name in names:
        levels = len(set(columns[name]))
        if levels == rows and (levels > MOST_SINGLE or (len(names) > 1 and rows > 2)):
            raise StudyError(
                f"factors: {name} differs in every one of the {rows} rows, so no two runs share a"
                " level of it; leave it out"
            )
