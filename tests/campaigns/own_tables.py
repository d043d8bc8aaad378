"""Tables as people mangle them: each is refused with a line, or read to the clean one's values.

A clean table is made, then mangled in one to three ways. Each way says what may become of the
table: SAME (the reader must undo it, by itself or by the key that is given), REFUSED, EITHER, or
`told` (a warning about just that, which the clean table does not have). What never may happen is
other values without a word.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import yaml

from study.records import StudyError
from study.tasks.csv import Csv
from study.tasks.shared import batches
from tests import ROOT
from tests.campaigns import mangled_cells, mangled_files, mangled_rows
from tests.campaigns.clean_tables import SETTINGS, Mangled, clean
from tests.campaigns.ways import SAME, WAYS, May

KINDS = (mangled_cells, mangled_files, mangled_rows)  # each adds its ways
ALONE = {"parquet"}  # what no other way can be joined to


def mangled(of: Mangled, rng: np.random.Generator) -> tuple[Mangled, May]:
    """(the table, what may become of it)."""
    made, may = of.copy(), SAME
    for name in rng.choice(sorted(WAYS), min(int(rng.integers(1, 4)), len(WAYS)), replace=False):
        if made.done and (name in ALONE or ALONE & set(made.done)):
            continue
        if may != SAME:  # after that, others may hide what it did
            break
        tried = made.copy()
        how = WAYS[name](tried, rng)
        if how is None or not tried.has_its_characters():
            continue
        tried.done.append(str(name))
        made, may = tried, how
    return made, may


@dataclass(frozen=True)
class Outcome:
    """ended: read, refused; values: what is compared; warnings: of a table that is read."""

    ended: str
    values: Any = None
    warnings: tuple[str, ...] = ()
    told: str = ""


def outcome(path: Path, settings: dict[str, Any], block: int | None = None) -> Outcome:
    """What becomes of a file; exceptions that are no refusal pass through."""
    declared = yaml.safe_load((ROOT / "conf" / "task" / "csv.yaml").read_text(encoding="utf-8"))
    known = {key: value for key, value in declared.items() if key not in ("defaults", "_target_")}
    task = Csv(**{**known, **settings, "path": str(path)})
    try:
        with mock.patch.object(batches, "BLOCK", block or batches.BLOCK):
            task.load()
    except StudyError as error:
        return Outcome("refused", told=str(error))
    parts = {
        part: tuple(
            None if one is None else (tuple(one.shape), one.numpy().tobytes())
            for one in (of.x, of.y, of.lengths)
        )
        for part, of in task.parts.items()
    }
    values = (parts, list(task.classes), list(task.data.columns), task.data_hash())
    return Outcome("read", values, tuple(task.facts.warnings))


def judged(seed: int, folder: Path) -> tuple[str, str, Path]:
    """(what became of the table of this seed, what is wrong or "", the file)."""
    rng = np.random.default_rng(seed)
    of = clean(rng)
    plain = folder / "clean.csv"
    plain.write_bytes(of.data(rng))
    expected = outcome(plain, of.settings)
    if expected.ended != "read":
        return "clean", f"the clean table is refused: {expected.told}", plain
    made, may = mangled(of, rng)
    path = folder / "mangled.csv"
    path.write_bytes(made.data(rng))
    got = outcome(path, made.settings, made.block)
    if got.ended == "refused":
        ended = "refused"
    elif got.values == expected.values:
        ended = "same"
    else:
        new = [one for one in got.warnings if one not in expected.warnings]
        ended = "told" if may.about and any(re.search(may.about, one) for one in new) else "other"
    if ended == "refused" and not got.told.startswith(("task.", "task:")):
        return ended, f"a refusal without a key: {got.told}", path
    if ended == "told" or ended in may.ended:
        return ended, "", path
    keys = {key: value for key, value in made.settings.items() if SETTINGS[key] != value}
    shown = got.told if ended == "refused" else "; ".join(got.warnings)
    return (
        ended,
        f"{' + '.join(made.done)}: {ended}, may be {sorted(may.ended)} {may.about!r} "
        f"({shown[:300]}) {keys}",
        path,
    )
