"""Every finding of a study, as values: what the page says, and what report.json holds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import pandas as pd

from reports.analysis.arms import summary, with_counted
from reports.analysis.associations import association_at, association_words, at_share
from reports.analysis.claim_ledger import all_claims
from reports.analysis.claim_words import sentence
from reports.analysis.effect_findings import effect_findings
from reports.analysis.flattery import flattery, flattery_words
from reports.analysis.judged_claim import DRAWS, JudgedClaim
from reports.analysis.recipe import recipes
from reports.analysis.scope import scope_words
from reports.analysis.tallies import classes
from reports.data.study import Study
from reports.findings.finding import HOLDS, MORE, NOT_DECIDED, Finding, strength
from reports.formatting import count, levels
from reports.statistics.estimates import share_over_arms

LOST, SOLVED = "lost (diverged or silently diverged)", "solved at the end"  # what is counted
CLAIM_RULES = {
    MORE: "interval above 0 and effect at least `least`: holds; the mirror: opposite; interval"
    " within ±`least`: too small to matter",
    "no less": "interval above −`least`: holds; below: opposite",
}


def findings(study: Study) -> Sequence[Finding]:
    """All findings of the study, made once; counts first, then the recommendation, and so on."""
    found: Sequence[Finding] = study.cached("findings", lambda: _findings(study))
    return found


def _findings(study: Study) -> Sequence[Finding]:
    if study.stored.empty:
        return []
    scope = scope_words(study, study.stored)
    every = [
        *_counts(study),
        *_recommendations(study),
        *_associations(study),
        *_flattery(study),
        *effect_findings(study),
        *_claims(study),
    ]
    return [one if one.scope else replace(one, scope=scope) for one in every]


def _counts(study: Study) -> list[Finding]:
    """How many networks were lost, solved their task, and carry at the end."""
    points, of = study.stored, classes(study.stored)
    every, ruled = pd.Series(True, index=points.index), study.has_rule(points)
    shares = [
        (LOST, of["lost"], every & study.recorded("diverged")),
        (SOLVED, of["solved"], ruled),
        ("solved at some time", of["ever"], ruled),
        ("solved at some time and kept it to the end", of["solved"], of["ever"]),
        ("carrying at the end", of["carrying"], of["judged"]),
        ("without carrying at the end", ~of["carrying"], of["judged"]),
        ("solved at the end without carrying", ~of["carrying"], of["solved"] & of["judged"]),
    ]
    return [
        Finding(
            "count",
            "networks",
            measure,
            "",
            share_over_arms(hits[among].to_numpy(), points.loc[among, "arm"].to_numpy()),
            rule="share of networks; 95 % interval over recipes, whose seeds are alike",
            sentence=f"{measure[0].upper()}{measure[1:]}: {int(hits[among].sum())} of"
            f" {count(int(among.sum()), 'network')}.",
        )
        for measure, hits, among in shares
        if among.any()
    ]


def _recommendations(study: Study) -> list[Finding]:
    """The recommended arm of each problem, and which arms cannot be told apart from it."""
    arms, made = summary(study).set_index("arm"), []
    for problem, found in recipes(study):
        if not found.learned or (len(found.order) == 1 and problem.levels):
            continue
        first = arms.loc[found.first]
        close = len(found.close) if found.close is not None else None
        subject = levels({key: first[key] for key in study.factors})
        made.append(
            Finding(
                "recommendation",
                subject,
                f"test {study.metric}",
                NOT_DECIDED if found.undecided or close is None else HOLDS,
                first["score"],
                rule="fewest lost, most solved at the end, mean validation score; recipes whose"
                " test score lies within a simultaneous interval cannot be told apart",
                why=(
                    ""
                    if close == 0
                    else "one seed per recipe"
                    if close is None
                    else f"{count(close, 'other recipe')} cannot be told apart from it"
                ),
                sentence=f"Recommended{f' on {problem.name}' if problem.name else ''}: {subject}.",
                points=_ids(study, found.first),
            )
        )
    return made


def _ids(study: Study, arm: int) -> tuple[str, ...]:
    points = study.stored
    return tuple(str(id) for id in points.loc[points["arm"] == arm, "id"])


def _associations(study: Study) -> list[Finding]:
    """Whether D at initialization and at the end goes with solving, within every factor."""
    points, made = with_counted(study), []
    for share, when in ((0.0, "at initialization"), (1.0, "at the end")):
        D = at_share(study, share)
        if D.empty or not points["id"].map(D).notna().any():
            continue
        found = association_at(study, share, DRAWS)
        word, effect, why = found.judged(0.0)
        made.append(
            Finding(
                "association",
                f"remaining gradient {when}",
                "solved at the end (AUC − .5)",
                word,
                effect,
                rule="AUC apart from .5 among networks that share a level, for every factor",
                why=why,
                sentence=f"The remaining gradient {when} and solving the task:"
                f" {association_words(found)}.",
                points=tuple(str(id) for id in study.for_listing(points)["id"]),
            )
        )
    return made


def _flattery(study: Study) -> list[Finding]:
    found = flattery(study)
    if found is None:
        return []
    word = strength(found.mean, 0.0)
    return [
        Finding(
            "selection",
            "best validation minus test",
            study.metric,
            word,
            found.mean,
            rule="mean over recipes with a 95 % t interval over seeds",
            why="there is no interval apart from 0" if word == NOT_DECIDED else "",
            sentence=flattery_words(study),
        )
    ]


def _claims(study: Study) -> list[Finding]:
    found = all_claims(study)
    made = [_claim(name, one) for name, one in found.by_name.items()]
    return [
        *made,
        *(
            Finding("claim", entry.name, str(entry.claim["by"]), "not testable", why=why)
            for entry, why in found.left
        ),
    ]


def _claim(name: str, one: JudgedClaim) -> Finding:
    return Finding(
        "claim",
        name,
        one.measure,
        one.verdict,
        one.difference,
        one.least,
        CLAIM_RULES[one.direction],
        one.scope,
        one.why,
        sentence(one),
        one.rests_on,
        {
            f"{part.factor}={part.level}": Finding(
                "claim", name, one.measure, part.strength, part.effect, one.least
            )
            for part in one.parts
        },
    )


# What takes most of the time of findings, apart; each keeps what it makes by `Study.cached`.
SLOW_PARTS: Sequence[Callable[[Study], object]] = (
    all_claims,
    lambda study: (_associations(study), effect_findings(study)),
)
