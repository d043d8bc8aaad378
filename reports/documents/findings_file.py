"""report.json: every finding of a study, for continuous integration and for other programs."""

from __future__ import annotations

import json
import math
from typing import Any

from reports.analysis.findings import findings
from reports.data.study import MOST, Study
from reports.findings.finding import STRENGTHS, Finding
from study.store.privacy import private

SCHEMA = 1  # of the file; raised when a key is removed or changes its meaning


def findings_text(study: Study) -> str:
    """The file's text; the same store gives the same text.

    {schema, study, title, question, metric, higher_is_better, seeds, points: {declared, stored},
    strengths, findings: [{kind, subject, measure, strength, effect, low, high, n, least, rule,
    scope, why, sentence, points, within: {level: {strength, effect, low, high, n}}}]}. Numbers that
    do not exist are null, as is the strength of a count; `points` is empty if there are over MOST.
    """
    made = {
        "schema": SCHEMA,
        "study": study.name,
        "title": study.title,
        "question": study.question,
        "metric": study.metric,
        "higher_is_better": study.higher_is_better,
        "seeds": [int(seed) for seed in study.seeds],
        "points": {"declared": len(study.grid), "stored": len(study.stored)},
        "strengths": list(STRENGTHS),
        "findings": [_entry(one) for one in findings(study)],
    }
    return private(json.dumps(made, indent=1, ensure_ascii=False, allow_nan=False)) + "\n"


def _entry(one: Finding) -> dict[str, Any]:
    return {
        "kind": one.kind,
        "subject": one.subject,
        "measure": one.measure,
        **_effect(one),
        "least": one.least,
        "rule": one.rule,
        "scope": one.scope,
        "why": one.why,
        "sentence": one.sentence,
        "points": list(one.points) if len(one.points) <= MOST else [],
        "within": {level: _effect(part) for level, part in one.within.items()},
    }


def _effect(one: Finding) -> dict[str, Any]:
    numbers = {"effect": one.effect.value, "low": one.effect.low, "high": one.effect.high}
    return {
        "strength": one.strength or None,
        **{name: float(value) if math.isfinite(value) else None for name, value in numbers.items()},
        "n": one.effect.n,
    }
