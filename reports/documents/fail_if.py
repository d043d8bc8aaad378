"""Conditions under which the command fails, such as --fail-if 'score < 0.9 where cell=gru'.

    [any|all] SUBJECT OP VALUE [where KEY=LEVEL ...]
    SUBJECT   a number of records.POINTS (score, val_score, D, clip_rate, ...): the mean over an
              arm's seeds; NUMBER.low, NUMBER.high: the ends of its 95 % interval · verdict,
              outcome, status, state, state_init: a word of every point · claim:NAME or claim:*
    OP        < <= > >= == != for numbers, == != for words

With any (the default), one arm, point or claim is enough to fail; with all, every one must match.
An arm, point or claim that has no number or word yet cannot be judged, and fails too.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from xml.sax.saxutils import escape, quoteattr

import numpy as np
import pandas as pd

from reports.analysis.arms import score_words, summary
from reports.analysis.claim_ledger import all_claims
from reports.analysis.recipe import leaders
from reports.data.study import MISSING, SCORES, Study
from reports.findings.finding import STRENGTHS
from reports.formatting import count, listing
from reports.statistics import Estimate, clamp, mean_interval
from study.records import OUTCOMES, POINTS, STATES, STATUSES, VERDICTS, StudyError

OPERATORS: Mapping[str, Callable[[Any, Any], bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    ">": operator.gt,
}
FORM = re.compile(
    r"(?:(?P<which>any|all)\s+)?"
    r"(?P<subject>claim:\S+|[A-Za-z_]+(?:\.\w+)?)\s*"
    r"(?P<op><=|>=|==|!=|<|>)\s*"
    r"(?P<value>.+?)(?:\s+where\s+(?P<where>.+))?"
)
WORDS: Mapping[str, Sequence[str]] = {
    "verdict": VERDICTS,
    "outcome": OUTCOMES,
    "status": (*STATUSES, MISSING),
    "state": STATES,
    "state_init": STATES,
    "claim": STRENGTHS,
}
# A run whose last state is exploding has this verdict, whatever its first state.
ALIASES = {"exploding": "explodes"}
NUMBERS = tuple(
    column.name for column in POINTS if column.kind in ("int", "float") and column.name != "seed"
)
ANY = (-math.inf, math.inf)
# What a mean can be: a share, or what is never below 0.
RANGES: Mapping[str, tuple[float, float]] = {
    column.name: (0.0, 1.0 if column.unit.startswith("share of updates") else math.inf)
    for column in POINTS
    if column.kind in ("int", "float") and column.unit != "decades"
}
SHOWN = 5  # most names in a message


@dataclass(frozen=True)
class Condition:
    """A condition that must not hold.

    `value`: a number, or a word of WORDS; `end`: "", low or high.
    """

    text: str
    which: str
    subject: str
    end: str
    op: str
    value: float | str
    where: Mapping[str, str]


@dataclass(frozen=True)
class Result:
    """A condition judged: names it holds for, names it cannot be judged for, of `total`."""

    condition: Condition
    holds: Sequence[str]
    unknown: Sequence[str]
    total: int

    @property
    def failed(self) -> bool:
        return bool(self.holds) and (self.condition.which == "any" or len(self.holds) == self.total)

    @property
    def fails(self) -> bool:
        return self.failed or bool(self.unknown) or not self.total

    @property
    def summary(self) -> str:
        parts = [
            f"holds for {len(self.holds)} of {self.total}"
            + (f": {_some(self.holds)}" if self.holds else "")
        ]
        if self.unknown:
            parts.append(f"cannot be judged for {len(self.unknown)}: {_some(self.unknown)}")
        return "; ".join(parts) if self.total else "nothing to judge"


def parse(text: str) -> Condition:
    """Parse a condition; StudyError says what is wrong with it."""
    found = FORM.fullmatch(text.strip())
    if not found:
        raise StudyError(
            f"--fail-if {text!r}: expected [any|all] SUBJECT OP VALUE [where KEY=LEVEL ...], such"
            " as 'score < 0.9' or 'claim:NAME != holds'"
        )
    subject, _, end = (
        found["subject"].partition(".")
        if not found["subject"].startswith("claim:")
        else (found["subject"], "", "")
    )
    kind = "claim" if subject.startswith("claim:") else subject
    if kind not in WORDS and kind not in NUMBERS:
        raise StudyError(
            f"--fail-if {text!r}: {subject} is none of"
            f" {', '.join([*(word for word in WORDS if word != 'claim'), 'claim:NAME', *NUMBERS])}"
        )
    value = found["value"].strip().strip("'\"")
    where = _where(text, found["where"])
    if kind in WORDS:
        return Condition(
            text.strip(),
            found["which"] or "any",
            subject,
            "",
            _equality(text, kind, end, found["op"]),
            _word(text, kind, value),
            where,
        )
    if end not in ("", "low", "high"):
        raise StudyError(
            f"--fail-if {text!r}: {subject}.{end} is not known; {subject}, {subject}.low and"
            f" {subject}.high (of its 95 % interval) are"
        )
    try:
        limit = float(value)
    except ValueError:
        limit = math.nan
    if math.isnan(limit):
        raise StudyError(f"--fail-if {text!r}: {subject} is compared with a number, got {value!r}")
    return Condition(text.strip(), found["which"] or "any", subject, end, found["op"], limit, where)


def _equality(text: str, kind: str, end: str, op: str) -> str:
    if end or op not in ("==", "!="):
        raise StudyError(f"--fail-if {text!r}: {kind} is a word; compare it with == or !=")
    return op


def _word(text: str, kind: str, value: str) -> str:
    value = ALIASES.get(value, value) if kind == "verdict" else value
    value = value.removesuffix(" here") if kind == "claim" else value
    if value not in WORDS[kind]:
        hint = (
            f"; {value} is a state: 'state == {value}'"
            if kind == "verdict" and value in STATES
            else ""
        )
        raise StudyError(
            f"--fail-if {text!r}: {kind} is one of {', '.join(WORDS[kind])}, got {value!r}{hint}"
        )
    return value


def _where(text: str, pairs_text: str | None) -> dict[str, str]:
    pairs = [
        pair.partition("=") for pair in re.split(r"[\s,]+", (pairs_text or "").strip()) if pair
    ]
    if any(not sign or not key or not level for key, sign, level in pairs):
        raise StudyError(
            f"--fail-if {text!r}: where takes KEY=LEVEL pairs, such as where cell=gru depth=2, got"
            f" {pairs_text!r}"
        )
    return {key: level for key, _, level in pairs}


def check(study: Study, conditions: Sequence[Condition]) -> list[Result]:
    """Judge every condition on the study."""
    return [_check(study, condition) for condition in conditions]


def _check(study: Study, condition: Condition) -> Result:
    holds = OPERATORS[condition.op]
    values: Mapping[str, Any] = (
        _claims(study, condition)
        if condition.subject.startswith("claim:")
        else _values(study, condition)
    )
    unknown = [
        name
        for name, value in values.items()
        if value is None or (isinstance(value, float) and math.isnan(value))
    ]
    return Result(
        condition,
        [
            name
            for name, value in values.items()
            if name not in unknown and holds(value, condition.value)
        ],
        unknown,
        len(values),
    )


def _claims(study: Study, condition: Condition) -> dict[str, str]:
    verdicts, wanted = claims(study), condition.subject.removeprefix("claim:")
    if condition.where:
        raise StudyError(
            f"--fail-if {condition.text!r}: a claim says itself what it is about; leave out where"
        )
    if wanted != "*" and wanted not in verdicts:
        raise StudyError(
            f"--fail-if {condition.text!r}: this study judges no claim {wanted}; it has"
            f" {listing(verdicts)}"
        )
    return verdicts if wanted == "*" else {wanted: verdicts[wanted]}


def claims(study: Study) -> dict[str, str]:
    """Strength of every claim that this study can test, by name, and of its own in any case."""
    return {name: one.verdict for name, one in all_claims(study).by_name.items()}


def _values(study: Study, condition: Condition) -> dict[str, Any]:
    """Name -> word of a point, or number of an arm."""
    grid = _points_of(study, condition)
    label = dict(zip(study.arms["arm"], study.arms["label"], strict=True))
    if condition.subject in WORDS:
        words = grid[condition.subject]
        if condition.value == "diverged" and not study.recorded("diverged"):
            words = words.where(words.ne("done"), None)  # it may have, and nobody said so
        return {
            f"{label[point['arm']]} seed {point['seed']}": word
            for (_, point), word in zip(grid.iterrows(), words, strict=True)
        }
    values = {}
    for arm in grid["arm"].drop_duplicates():
        whole = not (grid.loc[grid["arm"] == arm, "status"].isin([MISSING, "failed"])).any()
        estimate = _estimate(study, arm, condition.subject) if whole else None
        values[label[arm]] = (
            {"": estimate.value, "low": estimate.low, "high": estimate.high}[condition.end]
            if estimate
            else math.nan
        )
    return values


def _estimate(study: Study, arm: int, name: str) -> Estimate:
    """Mean over an arm's seeds with the part of its interval that is possible.

    The score is that of the page: diverged points count.
    """
    if name == "score":
        scores: pd.Series = summary(study).set_index("arm")["score"]
        return scores[arm]
    points = study.stored[study.stored["arm"] == arm]
    values = points[name].to_numpy(dtype=float)
    found = mean_interval(values.tolist() if np.isfinite(values).all() else [])
    return clamp(found, *(study.score_range if name in SCORES else RANGES.get(name, ANY)))


def _points_of(study: Study, condition: Condition) -> pd.DataFrame:
    grid = study.grid
    vary = "varies" if len(study.factors) == 1 else "vary"
    for key, level in condition.where.items():
        known = study.factors.get(key) or ([study.constant[key]] if key in study.constant else [])
        if level not in known:
            what = (
                f"{key} is {listing(known)} here"
                if known
                else f"{key} is no setting of this study; {listing(study.factors)} {vary}"
            )
            raise StudyError(f"--fail-if {condition.text!r}: {what}, got {key}={level}")
        if key in study.factors:
            grid = grid[grid[key] == level]
    return grid


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:SHOWN]) + (
        f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    )


def lines(study: Study, found: Sequence[Result]) -> list[str]:
    """One line per condition, and a summary line."""
    words = ["failed" if one.failed else "unknown" if one.fails else "passed" for one in found]
    return [
        *(
            f"{word:>7}  {one.condition.text}  ({one.summary})"
            for word, one in zip(words, found, strict=True)
        ),
        summary_line(study, words),
    ]


def summary_line(study: Study, words: Sequence[str]) -> str:
    """Conditions, points by status, claims by verdict, and the recommended arm."""
    status = study.grid["status"].value_counts()
    parts = (
        [
            f"{words.count('passed')} passed, {words.count('failed')} failed,"
            f" {words.count('unknown')} unknown"
        ]
        if words
        else []
    )
    parts.append(
        f"{count(len(study.grid), 'point')}: "
        + ", ".join(f"{int(status.get(name, 0))} {name}" for name in study.statuses)
    )
    verdicts = list(claims(study).values())
    if verdicts:
        parts.append(
            f"{count(len(verdicts), 'claim')}: "
            + ", ".join(f"{verdicts.count(name)} {name}" for name in STRENGTHS if name in verdicts)
        )
    for task, arm in leaders(study):
        where = f" on {task}" if task else ""
        parts.append(
            f"recommended{where}: {study.metric} {score_words(arm['score'])} n={arm['n']}"
            f" ({arm['label']})".replace("\u00a0", " ")
        )
    return f"{study.name}: {'; '.join(parts)}"


def junit(study: Study, found: Sequence[Result]) -> str:
    """The results as JUnit XML, one test case per condition."""
    failures, unknown = (
        sum(one.failed for one in found),
        sum(one.fails and not one.failed for one in found),
    )
    cases = []
    for one in found:
        inside = ""
        if one.fails:
            tag = "failure" if one.failed else "error"
            names = escape(", ".join([*one.holds, *one.unknown]))
            inside = f"<{tag} message={quoteattr(one.summary)}>{names}</{tag}>"
        cases.append(
            f"  <testcase classname={quoteattr(study.name)}"
            f" name={quoteattr(one.condition.text)}>{inside}</testcase>\n"
        )
    head = (
        f'<testsuite name={quoteattr(study.name)} tests="{len(found)}" failures="{failures}"'
        f' errors="{unknown}">'
    )
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{head}\n{"".join(cases)}</testsuite>\n'
