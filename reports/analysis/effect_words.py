"""Effects in words: main effects, what depends on what, and what is confounded."""

from __future__ import annotations

import re
from collections.abc import Sequence

from reports.analysis.arms import with_counted
from reports.analysis.effects import (
    AtLevel,
    Dependence,
    Effect,
    dependence,
    main_effects,
    read,
    reversals,
)
from reports.analysis.terms_shown import (
    TOO_CLOSE,
    Decided,
    ShownTerm,
    TermsShown,
    corrected_p,
    terms_shown,
)
from reports.data.study import Study
from reports.formatting import (
    decimals_of,
    known,
    level,
    listing,
    number,
    percent,
    score_number,
    short_name,
    with_ends,
)
from reports.statistics import Estimate
from reports.statistics.terms import Confounded

MOST = 6  # levels told one by one
IN_RESULTS = "in their results, not in their mean"


def effects_words(study: Study, effects: Sequence[Effect]) -> str:
    """Main effects on the score, largest first, and what they depend on.

    The largest interaction that is shown is told level by level, and so is each factor that an
    interaction reverses; only the others are stated as an average.
    """
    found, metric = terms_shown(study, "score"), f"mean test {study.metric}"
    if found is None:
        return ""
    plain = [one for one in effects if not one.reversed_by]
    shown = [average_words(one) for one in plain if one.shown and not results_alone(one)]
    unequal = [one for one in plain if results_alone(one)]
    quiet = [_quiet(one) for one in plain if one.shown is False]
    open_ones = [_quiet(one) for one in plain if one.shown is None]
    sentences = confounding_words(study, found)
    several = len(study.factors) > 1
    if shown:
        which = "largest differences" if len(shown) > 1 else "difference that is shown"
        lead = (
            f"averaged over everything else, the {which}" if several else "the largest difference"
        )
        lead += " between choices" if len(study.same_problem) < len(study.factors) else ""
        are = "are" if len(shown) > 1 else "is"
        sentences.append(f"{lead} in {metric} {are}: {'; '.join(shown)}.")
    sentences += [f"{_unequal(one)}." for one in unequal]
    if open_ones:
        sentences.append(
            f"For {listing(open_ones)} it is {TOO_CLOSE} whether there is a difference in {metric}."
        )
    if quiet:
        others = len(plain) < len(effects) or open_ones or unequal
        which = "other factor" if others else "factor"
        which += " that varies alone" if found.confounded and not shown else ""
        sentences.append(
            f"No difference is shown for {listing(quiet)}."
            if shown
            else f"No {which} shows a difference in {metric}"
            f"{', averaged over everything else' if several else ''}: {listing(quiet)}."
        )
    sentences += dependence_words(study, found) or no_dependence_words(found)
    return " ".join(sentence[0].upper() + sentence[1:] for sentence in sentences)


def dependence_words(study: Study, found: TermsShown) -> list[str]:
    """The largest interaction that is shown, level by level, and every other that reverses a
    factor; what makes another problem is not a choice, so that nothing is said of what it does.
    """
    choices = [one for one in found.interactions if set(one.factors) & set(study.same_problem)]
    told = [(one, read(study, found.by, one)) for one in choices[:1]]
    made = [interaction_words(study, found.by, one, side) for one, side in told]
    sides = [(side.factor, side.partner) for _, side in told]
    for factor in study.factors:
        reverses, _ = reversals(study, found.by, factor)
        if reverses and factor in study.same_problem and (factor, reverses[0].partner) not in sides:
            made.append(f"{reversed_words(reverses, found.by)}.")
    return made


def no_dependence_words(found: TermsShown) -> list[str]:
    """That no interaction is shown, with the largest by the estimate; of those that were tested."""
    both = [one for one in found.terms if len(one.factors) == 2 and one.decided.testable]
    if not both or found.interactions:
        return []
    top = max(both, key=lambda one: one.share.value if known(one.share.value) else -1.0)
    size = f"{share_words(top.share)} of the variance, " if known(top.share.value) else ""
    p = f"{size}corrected p {corrected_p(top.decided)}"
    close = [one.name for one in both if one.decided.too_close]
    if close:
        return [f"For {listing(close)} it is {TOO_CLOSE} whether one depends on the other."]
    if len(both) == 1:
        return [f"{top.name} is not shown ({p}): neither is shown to depend on the other."]
    return [
        f"Of {len(both)} interactions of two factors none is shown; by the estimate the largest is"
        f" {top.name} ({p})."
    ]


def average_words(one: Effect) -> str:
    """For example: cell 0.07 [0.04, 0.10] (rnn 0.84, lstm 0.77), with what limits it."""
    better, worse = _means(one)
    sides = f"{level(one.factor, one.better)} {better}, {level(one.factor, one.worse)} {worse}"
    notes = _notes(one)
    if one.decided and results_alone(one):
        p = f"corrected p {corrected_p(one.decided)}"
        notes.insert(0, f"its levels differ {IN_RESULTS}, whose interval has 0 in it; {p}")
    return f"{one.factor} {_with_ends(one.difference)} ({'; '.join([sides, *notes])})"


def results_alone(one: Effect) -> bool:
    """Whether a factor's test rejects, and the largest difference of means has 0 in its interval.

    The test permutes, so that it rejects equal distributions: levels of unequal spread may do.
    """
    return bool(one.shown) and one.difference.low <= 0


def differ_in_results(study: Study) -> list[str]:
    """Factors whose levels are shown to differ in their scores, and not in their mean score."""
    found: list[str] = study.cached(
        "factors that differ in their results alone",
        lambda: [
            one.factor for one in main_effects(study, with_counted(study)) if results_alone(one)
        ],
    )
    return found


def _unequal(one: Effect) -> str:
    p = f"corrected p {corrected_p(one.decided)}" if one.decided else ""
    return (
        f"the levels of {one.factor} are shown to differ {IN_RESULTS} ({p}; largest difference of"
        f" means {_with_ends(one.difference)})"
    )


def _quiet(one: Effect) -> str:
    parts = [_with_ends(one.difference)]
    if one.decided and (one.difference.low > 0 or one.decided.too_close):
        parts.append(f"corrected p {corrected_p(one.decided)}")
    return f"{one.factor} ({'; '.join([*parts, *_notes(one)])})"


def _notes(one: Effect) -> list[str]:
    """What limits an average."""
    notes = []
    if one.alike[0] < one.alike[1]:
        notes.append(f"over the {one.alike[0]} of {one.alike[1]} recipes that differ in it alone")
    if one.varies_with:
        notes.append(f"how much depends on {listing(one.varies_with)}")
    if one.confounded:
        which = confounded_words(one.factor, one.confounded)
        notes.append(f"only between levels that are not {which}")
    return notes


def confounded_words(factor: str, one: Confounded) -> str:
    """For example: confounded with initializer."""
    return f"confounded with {listing(key for key in one.factors if key != factor)}"


def gap_words(factor: str, one: Effect | None, terms: TermsShown | None) -> str:
    """The largest difference within a factor for a table: by level of what reverses it."""
    if one is not None and one.reversed_by:
        side = one.reversed_by[0]
        return f"depends on {side.partner}: {by_level_words(side, 'score')}"
    if one is None:
        confounded = terms.confounding(factor) if terms else None
        return confounded_words(factor, confounded) if confounded else "n/a"
    ends = one.difference
    return "; ".join([with_ends(ends.value, ends.low, ends.high, 3), *_notes(one)])


def interaction_words(study: Study, by: str, term: ShownTerm, side: Dependence) -> str:
    """An interaction that is shown: its share, and what it means level by level."""
    text = f"{term.name} {explains(term)} of the variance of {measure_text(study, by)}"
    text += f" (intervals: 95 % for all comparisons at once): {by_level_words(side, by)}"
    return text + (
        f". Which level is better changes, so {side.factor} is not averaged over {side.partner}."
        if side.reverses and by == "score"
        else "."
    )


def explains(term: ShownTerm) -> str:
    """For example: explains 42 % [33 %, 50 %]; with the corrected p if the interval has 0 in it."""
    if not known(term.share.value):
        return f"(corrected p {corrected_p(term.decided)}) explains a share that is not known"
    beside = "" if term.share.low > 0 else f" (corrected p {corrected_p(term.decided)})"
    return f"explains {share_words(term.share)}{beside}"


def reversed_words(found: Sequence[Dependence], by: str) -> str:
    """For example: which clip is better depends on lr: for lr 0.1, … is better than …; …"""
    one, others = found[0], [other.partner for other in found[1:]]
    also = f", and on {listing(others)} as well" if others else ""
    return (
        f"which {one.factor} {_better(by, than=False)} depends on {one.partner}{also}:"
        f" {by_level_words(one, by)}"
    )


def by_level_words(one: Dependence, by: str) -> str:
    """What a factor does at each level of its partner."""
    parts = [_at_words(one, at, by) for at in one.by_level[:MOST]]
    left = len(one.by_level) - len(parts)
    return "; ".join([*parts, *([f"and {left} more levels"] if left else [])])


def _at_words(one: Dependence, at: AtLevel, by: str) -> str:
    place = f"for {level(one.partner, at.at)}"
    if not at.shown:
        pair = over_words(one.factor, at.better, at.worse)
        size = _with_ends(at.difference)
        largest = f" (largest: {pair}, {size})" if re.search("[1-9]", size.split(" ")[0]) else ""
        return f"{place}, no difference is shown{largest}"
    better, worse = _means(at)
    return (
        f"{place}, {level(one.factor, at.better)} {_better(by, than=True)}"
        f" {level(one.factor, at.worse)} ({better} against {worse}: {_with_ends(at.difference)})"
    )


def confounding_words(study: Study, found: TermsShown) -> list[str]:
    """A sentence for each set of factors that the arms cannot tell apart."""
    return [_confounding(study, found, one) for one in found.confounded if one.factors]


def _confounding(study: Study, found: TermsShown, one: Confounded) -> str:
    share = next(
        (
            part.share
            for part in (found.shares.terms if found.shares else [])
            if part.confounded and part.confounded.factors == one.factors
        ),
        None,
    )
    text = (
        f"{listing(one.factors)} are confounded in the recipes that are there: {apart_words(one)}"
    )
    if share is not None:
        text += (
            f". {share_words(share)} of the variance of {measure_text(study, found.by)} goes with"
            f" {'both' if len(one.factors) == 2 else 'all'} of them together, and cannot be given"
            " to one"
        )
    example = " · ".join(level(key, name) for key, name in one.missing.items())
    return f"{text}. A recipe with {example} would begin to separate them."


def apart_words(one: Confounded) -> str:
    """Which comparisons are lacking, for example: no two arms differ in one of them alone."""
    whole = {
        key: all(len(island) == 1 for island in islands) for key, islands in one.islands.items()
    }
    if all(whole.get(key) for key in one.factors):
        return "no two recipes differ in one of them alone"
    parts: list[str] = []
    for key, islands in one.islands.items():
        groups = [" or ".join(level(key, name) for name in island) for island in islands]
        between = "" if whole[key] else f" between {listing(groups)}"
        lead = "none" if parts else "no two recipes differ"
        parts.append(f"{lead} in {key} alone{between}")
    return ", and ".join(parts)


def share_words(share: Estimate) -> str:
    return f"{percent(share.value)} [{percent(share.low)}, {percent(share.high)}]"


def close_words(one: Decided) -> str:
    return f"{TOO_CLOSE} (corrected p {corrected_p(one)})"


def measure_text(study: Study, by: str) -> str:
    return f"test {study.metric}" if by == "score" else "the remaining gradient at the end"


def _better(by: str, *, than: bool) -> str:
    if by == "score":
        return "is better than" if than else "is better"
    return "keeps more of the gradient than" if than else "keeps more of the gradient"


def _with_ends(one: Estimate) -> str:
    return with_ends(one.value, one.low, one.high)


def _means(one: Effect | AtLevel) -> tuple[str, str]:
    """Means of the better and the worse level, with the digits that the difference needs.

    One digit more if the means as printed would differ by something else than the difference.
    """
    ends, means = one.difference, (one.better_mean, one.worse_mean)
    digits = decimals_of(ends.value, ends.low, ends.high)
    apart = abs(round(means[0], digits) - round(means[1], digits))
    if abs(apart - round(abs(ends.value), digits)) > 0.5 * 10**-digits:
        digits += 1
    better, worse = (
        score_number(mean, digits)
        if number(mean, digits) == number(0.0, digits)
        else number(mean, _short_of_one(mean, digits))
        for mean in means
    )
    return better, worse


def _short_of_one(mean: float, digits: int) -> int:
    """The digits, or as many as keep a mean that is not 1 from reading as 1.00, up to four."""
    while digits < 4 and mean != 1 and number(mean, digits) == number(1.0, digits):
        digits += 1
    return digits


def choice_words(study: Study, row: str, column: str) -> str:
    """Which level of `column` is better for which level of `row`, where that is shown to differ."""
    found = terms_shown(study, "score")
    if found is None:
        return ""
    term = found.term(row, column)
    if term is not None and term.shown:
        text = by_level_words(dependence(study, "score", column, row), "score")
        return f"{text[0].upper()}{text[1:]}."
    effects = {one.factor: one for one in main_effects(study, with_counted(study))}
    if len(study.levels(column)) < 2:  # there is nothing to choose for each level of `row`
        column, row, term = row, column, None
    one = effects.get(column)
    if term is not None and term.decided.too_close:
        return f"It is {TOO_CLOSE} whether {column} acts alike for every {row}."
    tested = term is not None and term.decided.testable
    alike = f", nor is it shown that {column} acts differently by {row}" if tested else ""
    differs = f"; it is not shown that {column} acts differently by {row}" if tested else ""
    if one is not None and one.alike[0] < one.alike[1]:
        return (
            f"Levels of {column} were not all tried in the same combinations, so that no average"
            f" compares them{alike}."
        )
    if one is None or not one.shown or one.reversed_by or results_alone(one):
        throughout = " that holds throughout" if one is not None and one.reversed_by else ""
        return f"No difference between levels of {column} is shown{throughout}{alike}."
    better, worse = _means(one)
    return (
        f"{level(column, one.better)} is better than {level(column, one.worse)} on average"
        f" ({better} against {worse}: {_with_ends(one.difference)}){differs}."
    )


def brief_words(study: Study, effects: Sequence[Effect]) -> list[str]:
    """Effects on the score for a reader with ten seconds: what is shown, then what is not, then the
    largest interaction level by level, and what the arms cannot tell apart.
    """
    found = terms_shown(study, "score")
    if found is None:
        return []
    told = [one for one in effects if one.shown and not one.reversed_by and not results_alone(one)]
    parts = [
        f"{one.factor} {_with_ends(one.difference)}"
        f" ({over_words(one.factor, one.better, one.worse)}{_over_some(one)})"
        for one in told
    ]
    sentences = confounding_words(study, found)
    if parts:
        are = "The largest differences" if len(parts) > 1 else "The difference that is shown"
        sentences.append(f"{are} in mean test {study.metric}: {'; '.join(parts)}.")
    unequal = [one.factor for one in effects if results_alone(one)]
    if unequal:
        sentences.append(
            f"A test over all levels shows a difference for {listing(unequal)}, but none is shown"
            f" in mean test {study.metric} between two levels: their spread over seeds may differ."
        )
    close = [one.factor for one in effects if one.shown is None and not one.reversed_by]
    if close:
        sentences.append(f"For {listing(close)} it is {TOO_CLOSE}.")
    quiet = [one.factor for one in effects if one.shown is False and not one.reversed_by]
    if quiet:
        alone = not (told or unequal or close or found.interactions)
        sentences.append(
            f"No difference in mean test {study.metric} is shown between levels of"
            f" {listing(quiet)}."
            if alone
            else f"No difference is shown for {listing(quiet)}"
            f"{', averaged over everything else' if found.interactions else ''}."
        )
    choices = [one for one in found.interactions if set(one.factors) & set(study.same_problem)]
    for term in choices[:1]:
        side = read(study, "score", term)
        by_level = by_level_words(side, "score")
        sentences.append(f"The effect of {side.factor} depends on {side.partner}: {by_level}.")
    left = no_dependence_words(found)
    if left and any(one.decided.too_close for one in found.terms if len(one.factors) == 2):
        sentences += left
    elif left:
        sentences.append("No factor's effect is shown to depend on another factor.")
    told_of = {side.factor for term in choices[:1] for side in [read(study, "score", term)]}
    for one in effects:
        if one.reversed_by and one.factor not in told_of and one.factor in study.same_problem:
            words = by_level_words(one.reversed_by[0], "score")
            sentences.append(f"{one.factor[0].upper()}{one.factor[1:]}: {words}.")
    return sentences


def over_words(factor: str, better: str, worse: str) -> str:
    """For example: learning rate 0.01 over 0.1; clip norm over none; gru over rnn."""
    name, first, second = short_name(factor), level(factor, better), level(factor, worse)
    return f"{first} over {second.removeprefix(f'{name} ')}"


def _over_some(one: Effect) -> str:
    """That not all arms with either level are compared, if so."""
    same, of = one.alike
    return f", over the {same} of {of} recipes alike in all else" if same < of else ""
