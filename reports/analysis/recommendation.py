"""Which arm to use, and how sure that is, for the first screen."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from reports.analysis.arms import has_rule, ranked, score_words, with_interval
from reports.analysis.by_problem import MANY, nothing_to_choose
from reports.analysis.confirmation import confirmation
from reports.analysis.flattery import flattery
from reports.analysis.race import chosen_text
from reports.analysis.recipe import NOTHING_LEARNED, Recipe, most_often_first, quickest, recipes
from reports.data.study import Problem, Study
from reports.formatting import count, known, levels, listing, number, score_number, short_name


def use_words(study: Study, arms: pd.DataFrame) -> str:
    """The recommended arm of each problem; the test score has no part in the choice. `arms`: of
    reports.analysis.arms.summary.
    """
    every = recipes(study)
    if _nothing_to_choose(every):
        return f"{nothing_to_choose(study)}."
    if len(every) > MANY:
        return _over_problems(study, every)
    by_arm = arms.set_index("arm")
    said = [_first(study, by_arm, problem.name, found) for problem, found in every]
    if study.adopted and not every:
        said.append(_without_validation(study, arms))
    return " ".join(said)


def sure_words(study: Study, arms: pd.DataFrame) -> str:
    """How many arms can be told apart from the recommended one, by how much it leads, and by how
    much its score may flatter.
    """
    every = recipes(study)
    said = []
    if not _nothing_to_choose(every) and len(every) <= MANY:
        by_arm = arms.set_index("arm")
        for problem, found in every:
            if not found.learned or len(found.order) < 2:
                continue
            lead = _lead_words(study, by_arm, found)
            if lead:
                on = f"On {problem.name}: " if problem.name else ""
                quick = _quickest(study, by_arm, found)
                ahead = "" if _stopped(found) else f"{quick}{_ahead(study, by_arm, found)}"
                said.append(f"{on}{lead}{ahead}")
    raced = chosen_text(study)
    return " ".join([*said, *_flattered(study), *([raced] if raced else [])])


def _nothing_to_choose(every: Sequence[tuple[Problem, Recipe]]) -> bool:
    return len(every) > 1 and all(len(found.order) == 1 for _, found in every)


def _first(study: Study, by_arm: pd.DataFrame, task: str, found: Recipe) -> str:
    """The arm to use for one problem, with its score, and how often it solved and was lost."""
    on = f"On {task}: " if task else ""
    if not found.learned:
        return f"{on}{NOTHING_LEARNED}"
    first = by_arm.loc[found.first]
    score = (
        f"mean test {study.metric} {score_words(first['score'])} over {count(first['n'], 'seed')}"
    )
    if has_rule(study, found.first):
        score += f"; solved {first['outcomes'].get('solved', 0)} of {first['n']}"
    if study.recorded("diverged"):
        score += f", {first['lost'] or 'none'} lost to divergence"
    if len(found.order) < 2:
        return f"{f'On {task} there' if task else 'There'} is one recipe with a score: {score}."
    text = f"{on}{_short(study, by_arm, found.first)} (by {found.chosen_by}): {score}."
    again = confirmation(study)
    fresh = (
        next((one for one in again.arms if one.arm == found.first), None)
        if again and again.fresh
        else None
    )
    if fresh and known(fresh.estimate.value):
        text += (
            f" Trained again on {count(len(fresh.fresh), 'fresh seed')} it has"
            f" {score_words(fresh.estimate)}."
        )
    return text


def _lead_words(study: Study, by_arm: pd.DataFrame, found: Recipe) -> str:
    """How sure it is that the first of several arms is ahead."""
    others = len(found.order) - 1
    if _stopped(found):
        return (  # scores are those of that moment
            "Its networks were stopped when they had solved the task: what tells recipes apart is"
            " how soon (Time to solve), not the score."
        )
    if found.close is None:
        return "Which of the others are as good is not known from one seed per recipe."
    if found.undecided:
        return (
            "The other recipe cannot be told apart from it."
            if others == 1
            else f"Its lead over the other {others} may be chance: none can be told apart from it."
        )
    apart = _apart(study, by_arm, found)
    told = listing(f"{n} {'is' if n == 1 else 'are'} {way}" for way, n in apart.items())
    if found.close:
        told = f"{told or 'none is better or worse'} by test {study.metric}"
        return (
            f"Of the other {others} recipes, {told}, and {len(found.close)} cannot be told apart"
            " from it (by intervals that hold for all of them at once)."
        )
    if others == 1:
        return f"The other recipe is {next(iter(apart))} by test {study.metric}."
    if len(apart) == 1:
        return f"The other {others} are all {next(iter(apart))} by test {study.metric}."
    return f"Of the other {others}, {told} by test {study.metric}."


def _stopped(found: Recipe) -> bool:
    """Whether all networks of the first arm ended when they met their rule."""
    return bool(found.ranked.loc[found.first, "ended"] == 1)


def _apart(study: Study, by_arm: pd.DataFrame, found: Recipe) -> dict[str, int]:
    """How many arms can be told apart from the first one, by way: worse 3, better 1."""
    first = by_arm.loc[found.first]["score"].value
    sign = 1 if study.higher_is_better else -1
    apart = [arm for arm in found.order[1:] if arm not in (found.close or ())]
    worse = sum((by_arm.loc[arm]["score"].value - first) * sign < 0 for arm in apart)
    ways = {"worse": worse, "better": len(apart) - worse}
    return {way: n for way, n in ways.items() if n}


def _quickest(study: Study, by_arm: pd.DataFrame, found: Recipe) -> str:
    """An arm that is as good and clearly quicker, if there is one."""
    quick = quickest(study, found)
    if quick is None:
        return ""
    arm, seconds, of_first = quick
    name = _short(study, by_arm, arm)
    solved = " and solved no fewer seeds" if has_rule(study, found.first) else ""
    return (
        f" Of those that cannot be told apart{solved}, {name} trains quickest"
        f" ({number(seconds, 1)} s a network against {number(of_first, 1)} s)."
    )


def _ahead(study: Study, by_arm: pd.DataFrame, found: Recipe) -> str:
    """By how much the first arm's mean test score is better than the second's; a sentence."""
    a, b = by_arm.loc[found.order[0]], by_arm.loc[found.order[1]]
    lead = (a["score"].value - b["score"].value) * (1 if study.higher_is_better else -1)
    runner = _short(study, by_arm, found.order[1])
    if not known(lead):
        return ""
    size = score_number(abs(lead))
    if float(size) == 0:
        return f" The runner-up, {runner}, is as good on test."
    if lead < 0:
        return (
            f" The runner-up, {runner}, is {size} better on test, which has no part in the choice."
        )
    return f" It is {size} ahead of the runner-up, {runner}."


def _flattered(study: Study) -> list[str]:
    """By how much the best of several validations flatters, where it is shown to."""
    found = None if study.adopted else flattery(study)
    if found is None or not found.mean.low > 0:
        return []
    one = found.mean
    return [
        "A network's best validation score, by which recipes are chosen, flatters: it is"
        f" {with_interval(one, 3)} better than its test score on average."
    ]


def _over_problems(study: Study, every: Sequence[tuple[Problem, Recipe]]) -> str:
    """Which choice does well in most of many problems, for one sentence."""
    keys = listing([short_name(key) for key in study.problems[0].levels])
    learned = sum(one.learned for _, one in every)
    if not learned:
        return f"In none of the {len(every)} tasks ({keys}) has a recipe learned anything."
    there = f"There are {len(every)} tasks ({keys})"
    if learned < len(every):
        there += f", and in {learned} of them a recipe learned"
    most = most_often_first(study, every)
    if most is None:
        return f"{there}. No choice leads most often; the recipe of each is below."
    chosen, times, of = most
    return (
        f"{there}. {levels(chosen)} is first, or cannot be told apart from the first, in"
        f" {times} of {of}, more often than any other choice; the recipe of each is below."
    )


def _without_validation(study: Study, arms: pd.DataFrame) -> str:
    """Which arm has the highest mean test score, which recommends none."""
    order = ranked(study, arms)
    if order.empty:
        return "No network has a score."
    best = order.iloc[0]
    which = "highest" if study.higher_is_better else "lowest"
    seeds = f" ({count(best['n'], 'seed')})" if best["n"] > 1 else " (a single network)"
    return (
        "No validation score was recorded, so that no recipe is recommended: test scores must not"
        f" choose one. The {which} mean test {study.metric} is {score_words(best['score'])}{seeds},"
        f" of {best['label']}."
    )


def _short(study: Study, by_arm: pd.DataFrame, arm: int) -> str:
    """The arm's levels without those of its task, which the sentence names."""
    keys = study.same_problem or list(study.factors)
    return levels({key: by_arm.loc[arm, key] for key in keys})
