"""The claim ledger: common claims about recurrent networks, in conf/claim, one file per claim.

Every report judges those that its factors can decide, and names the others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from reports.analysis.claims import JudgedClaim, comparison_of, judge
from reports.analysis.comparison import as_numbers
from reports.analysis.measures import perfect_distance
from reports.data.study import Study
from reports.formatting import listing
from study.design.claims import EXTREMES, check_claim
from study.records import StudyError


@dataclass(frozen=True)
class Entry:
    """A claim of the ledger, with the name of its file."""

    name: str
    claim: Mapping[str, Any]


def read_ledger(folders: Sequence[Path]) -> list[Entry]:
    """Claims in claim/*.yaml of these folders, by name; of equal names the later folder's is used.

    StudyError names the file.
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


def judge_all(
    study: Study, entries: Sequence[Entry]
) -> tuple[list[tuple[Entry, JudgedClaim]], list[tuple[Entry, str]]]:
    """Judge the claims that the study can decide; the others with the reason.

    For scores, `least` is a share of the distance from baseline to perfect.
    """
    decided, left = [], []
    for entry in entries:
        claim, why = restricted(study, entry.claim)
        if why:
            left.append((entry, why))
        else:
            decided.append((entry, judge(study, claim, unit=perfect_distance(study))))
    return decided, left


def restricted(study: Study, claim: Mapping[str, Any]) -> tuple[Mapping[str, Any], str]:
    """The claim restricted to this study's tasks, and why the study cannot decide it ("" if it
    can).
    """
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
                if not as_numbers(study.factors[key]):
                    return claim, f"levels of {key} are not numbers"
            elif not set(wanted) & set(study.factors[key]):
                return claim, f"{key} has no level {' or '.join(wanted)}"
    for key, level in claim.get("when", {}).items():
        named = {str(one) for one in (level if isinstance(level, list) else [level])}
        if not named & {*study.factors.get(key, []), study.constant.get(key)}:
            here = study.factors.get(key) or [str(study.constant.get(key, "not known"))]
            return claim, f"{key} is {listing(here)} here"
    if claim["by"] != "ranking" and not comparison_of(study, claim).blocks:
        return claim, "no two stored arms differ in this alone"
    return claim, ""
