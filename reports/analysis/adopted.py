"""Words on runs that were trained elsewhere (study.adopt): where from, and what is not known."""

from __future__ import annotations

from collections.abc import Sequence

from reports.data.study import Study
from reports.formatting import listing

TABLES = (("gradient norms", "history.grad_norm"), ("curves", "history.val_loss"))
COLUMNS = (
    ("validation scores", "val_score"),
    ("the score of a guess that ignores the sequence", "baseline"),
    ("whether a network diverged", "diverged"),
    ("how the gradient travels (states, verdicts)", "verdict"),
    ("clip rates", "clip_rate"),
    ("numbers of trained values", "params"),
    ("seconds", "seconds"),
)


def origin_words(study: Study) -> str:
    """For example: Adopted from runs.csv on 2026-11-30: … none of these networks."""
    names = dict.fromkeys(str(one["name"]) for one in origins(study))
    days = sorted({str(launch.get("time"))[:10] for launch in study.launches})
    when = days[0] if len(days) < 2 else f"{days[0]} to {days[-1]}"
    return f"Adopted from {listing(names)} on {when}: this tool trained none of these networks."


def origins(study: Study) -> list[dict[str, object]]:
    """name, kind and digest of each source, in the order of adoption."""
    return [dict(launch["adopted"]) for launch in study.launches if launch.get("adopted")]


def not_recorded(study: Study) -> Sequence[str]:
    """What these runs lack."""
    lacking = [words for words, column in COLUMNS if not study.recorded(column)]
    for words, name in TABLES:
        table, _, column = name.partition(".")
        rows = study.table(table)
        if not len(rows) or not rows[column].notna().any():
            lacking.append(words)
    if not study.has_rule(study.stored).any():
        lacking.insert(0, "a rule for solved")
    return [*lacking, "weights"]


def not_recorded_words(study: Study) -> str:
    return (
        f"Not recorded: {listing(not_recorded(study))}. Sections that rest on these are left out."
    )


def lost_words(study: Study, recorded: str) -> str:
    """`recorded`, which says that lost points count, where they do."""
    if not study.adopted:
        return recorded
    if not study.recorded("diverged"):
        return ""
    return recorded if study.recorded("baseline") else " Runs without any score do not count."


def noise_words(study: Study, recorded: str) -> str:
    """`recorded`, or that the noise of the test set is in no interval of these runs."""
    known = not study.adopted or len(study.table("test")) or study.recorded("score_se")
    return recorded if known else " (the noise of the test set was not recorded)"
