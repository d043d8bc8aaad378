"""The claim ledger: conf/claim/*.yaml, a file a claim.

Every report judges those that its factors can decide and names the others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from reports.analysis.claims import Judged, comparison_of, judge
from reports.analysis.comparison import numeric
from reports.analysis.measures import perfect_distance
from reports.data.study import Study
from reports.formatting import listing
from study.design.claims import EXTREMES, check_claim
from study.records import StudyError


@dataclass(frozen=True)
class Entry:
    """A claim of the ledger: the name of its file, and what it says."""

    name: str
    claim: Mapping[str, Any]


def ledger(folders: Sequence[Path]) -> list[Entry]:
    """claim/*.yaml of these folders, by name; later folders win.

    Raises StudyError that names the file.
    """
    files = {
        path.stem: path for folder in folders for path in sorted((folder / "claim").glob("*.yaml"))
    }
    return [Entry(name, _read(path)) for name, path in sorted(files.items())]


def _read(path: Path) -> Mapping[str, Any]:
    where = f"claim/{path.name}"
    try:
        claim = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise StudyError(f"{where}: not readable as YAML ({error})") from error
    check_claim(claim, where)
    if not claim.get("source"):
        raise StudyError(f"{where}: a claim of the ledger needs its source: who says so, and where")
    return dict(claim)


def judged(
    study: Study, entries: Sequence[Entry]
) -> tuple[list[tuple[Entry, Judged]], list[tuple[Entry, str]]]:
    """Those the study decides, and those it cannot with the reason.

    `least` of scores is a share of the way from baseline to perfect.
    """
    decided, left = [], []
    for entry in entries:
        claim, why = asked(study, entry.claim)
        if why:
            left.append((entry, why))
        else:
            decided.append((entry, judge(study, claim, unit=perfect_distance(study))))
    return decided, left


def asked(study: Study, claim: Mapping[str, Any]) -> tuple[Mapping[str, Any], str]:
    """The claim as this study can ask it, and why it cannot ("" where it can)."""
    if "lag" in claim:
        long = [
            name
            for name, facts in study.tasks.items()
            if int(facts.get("lag") or facts.get("steps") or 0) >= claim["lag"]
        ]
        if not long:
            return claim, f"no task asks for {claim['lag']} steps of memory"
        if len(long) < len(study.tasks):
            claim = {**claim, "when": {**claim.get("when", {}), "task": long}}
    if "better" not in claim:
        both = study.stored["outcome"].eq("solved")
        return claim, (
            "" if both.any() and not both.all() else "every point solved the task, or none did"
        )
    for key in dict.fromkeys([*claim["better"], *claim["worse"]]):
        if key not in study.factors:
            fixed = study.constant.get(key)
            return claim, f"{key} does not vary" + (
                f" (it is {fixed})" if fixed is not None else ""
            )
    for side in (claim["better"], claim["worse"]):
        for key, level in side.items():
            wanted = [str(one) for one in (level if isinstance(level, list) else [level])]
            if set(wanted) & set(EXTREMES):
                if not numeric(study.factors[key]):
                    return claim, f"levels of {key} are not numbers"
            elif not set(wanted) & set(study.factors[key]):
                return claim, f"{key} has no level {' or '.join(wanted)}"
    for key, level in claim.get("when", {}).items():
        named = {str(one) for one in (level if isinstance(level, list) else [level])}
        if not named & {*study.factors.get(key, []), study.constant.get(key)}:
            return (
                claim,
                (
                    f"{key} is"
                    f" {listing(study.factors.get(key) or [str(study.constant.get(key, 'not known'))])}"
                    " here"
                ),
            )
    if claim["by"] != "ranking" and not comparison_of(study, claim).blocks:
        return claim, "no two stored arms differ in this alone"
    return claim, ""
