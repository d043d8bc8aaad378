"""The claim ledger: common claims about recurrent networks, in conf/claim, one file per claim.

Every report judges those that its factors can decide, and names the others.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from reports.analysis.claims import judge
from reports.analysis.judged_claim import JudgedClaim
from reports.analysis.measures import MEASURES, perfect_distance
from reports.data.study import Study
from reports.findings.finding import NOT_TESTABLE
from reports.formatting import slug
from study.design.claims import check_claim
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


@dataclass(frozen=True)
class StudyClaims:
    """Every claim that concerns a study.

    `own`: those that it declares, by name (the words of the statement joined by hyphens);
    `decided`: those of the ledger that it can test; `left`: those that it cannot, with the reason.
    """

    own: Mapping[str, JudgedClaim]
    decided: Sequence[tuple[Entry, JudgedClaim]]
    left: Sequence[tuple[Entry, str]]

    @property
    def by_name(self) -> dict[str, JudgedClaim]:
        return {**{entry.name: one for entry, one in self.decided}, **self.own}


def all_claims(study: Study) -> StudyClaims:
    """The claims of the study and of the ledger, judged once."""
    found: StudyClaims = study.cached("claims", lambda: _all_claims(study))
    return found


def _all_claims(study: Study) -> StudyClaims:
    entries = read_ledger(study.folders)
    decided, left = judge_all(study, entries)
    own: dict[str, JudgedClaim] = {}
    taken = [entry.name for entry in entries]
    for claim in study.declaration.get("claims", []):
        one = judge(study, claim)
        own[slug(one.statement, [*taken, *own])] = one
    return StudyClaims(own, decided, left)


def judge_all(
    study: Study, entries: Sequence[Entry]
) -> tuple[list[tuple[Entry, JudgedClaim]], list[tuple[Entry, str]]]:
    """Judge the claims that the study can test; the others with the reason.

    For scores, `least` is a share of the distance from baseline to perfect.
    """
    unit = perfect_distance(study)
    scaled = [entry for entry in entries if _in_metric(entry.claim)] if math.isnan(unit) else []
    judged = [
        (entry, judge(study, entry.claim, unit=unit)) for entry in entries if entry not in scaled
    ]
    without = "no baseline was recorded, so that it is not known how large a difference matters"
    return (
        [(entry, one) for entry, one in judged if one.verdict != NOT_TESTABLE],
        [
            *((entry, one.why) for entry, one in judged if one.verdict == NOT_TESTABLE),
            *((entry, without) for entry in scaled),
        ],
    )


def _in_metric(claim: Mapping[str, Any]) -> bool:
    """Whether `least` of a claim is a size of scores."""
    by = str(claim["by"])
    return by == "ranking" or (by in MEASURES and MEASURES[by].in_metric)
