"""Summary: the first screen, with what to use, how sure that is, why, and what to do next."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from reports.analysis.adopted import not_recorded_words, origin_words
from reports.analysis.arms import (
    has_rule,
    ranked,
    score_words,
    solved_words,
    summary,
    with_counted,
    with_interval,
)
from reports.analysis.associations import prediction_words
from reports.analysis.by_problem import MANY, nothing_to_choose
from reports.analysis.caveats import caveats
from reports.analysis.claim_ledger import all_claims
from reports.analysis.claim_words import label, side_values
from reports.analysis.confirmation import confirmation
from reports.analysis.effect_words import brief_words, effects_words
from reports.analysis.effects import main_effects
from reports.analysis.flattery import flattery, reaching
from reports.analysis.judged_claim import JudgedClaim
from reports.analysis.longest_lag import length_factor, longest_lags
from reports.analysis.next_steps import next_steps
from reports.analysis.recipe import (
    NOTHING_LEARNED,
    Recipe,
    most_often_first,
    point_of,
    quickest,
    recipes,
)
from reports.analysis.structures import structures_words
from reports.analysis.tallies import Tally, tally
from reports.blocks import Answer, AnswerLine, Notice, Points, Prose, Section, Step
from reports.data.study import MISSING, Problem, Study
from reports.export.how_to_run import how_to_run
from reports.formatting import (
    count,
    decimals,
    duration,
    known,
    level,
    levels,
    listing,
    number,
    percent,
    short_name,
)
from reports.statistics import Estimate, share_over_arms
from study.design.outcomes import solved_at_end

HALF = 0.5  # of the seeds, that must solve a length
MOST_LEVELS = 6  # in a list of counts
MOST_LENGTHS = 12  # choices whose longest lengths are told on the first screen
Recipes = Sequence[tuple[Problem, Recipe]]
FOLD = "Train it again, take its weights, or paste it into PyTorch"


class Summary:
    """`trusted`: number of seeds below which the page warns of wide intervals; `draws`: of the
    bootstrap.
    """

    title = "Summary"
    needs = ()

    def __init__(self, *, trusted: int, draws: int) -> None:
        self.trusted, self.draws = trusted, draws

    def render(self, study: Study) -> Section:
        arms = summary(study)
        points = with_counted(study)
        blocks: list[object] = []
        missing = int((study.grid["status"].isin([MISSING, "failed"])).sum())
        if missing:
            rests = (
                "runs without a score count in no number below"
                if study.adopted
                else "every number below rests on the points stored so far"
            )
            blocks.append(
                Notice(
                    f"INCOMPLETE {len(study.grid) - missing}/{len(study.grid)}: {rests}.", "banner"
                )
            )
        lines = (
            self._answer(study, arms, points)
            if not points.empty
            else [AnswerLine("Use", "No point has been trained yet: there is no answer.")]
        )
        steps = next_steps(study, arms, points)
        lines += [AnswerLine("Next", "", steps)] if steps else []
        blocks += [Answer(lines), Prose(self._made(study, arms, points), "small")]
        return Section(blocks)

    def _answer(self, study: Study, arms: pd.DataFrame, points: pd.DataFrame) -> list[AnswerLine]:
        every = recipes(study)
        nothing = len(every) > 1 and all(len(found.order) == 1 for _, found in every)
        sure = "" if nothing or len(every) > MANY else _how_sure(study, arms, every)
        failed, of_failed = _failed(study)
        notes = caveats(study, arms, points, self.trusted)
        mattered, in_full = self._effects(study, points)
        carried, predictions = self._health(study, points)
        lines = [
            AnswerLine("Claimed", "", [Step(text) for text in _declared_claims(study)]),
            AnswerLine(
                "Use", self._use(study, arms, every, nothing), (), _to_run(study, every), FOLD
            ),
            AnswerLine(
                "How sure",
                " ".join(text for text in (sure, _flattered(study)) if text),
                (),
                [Points(notes)] if notes else [],
                "How far these numbers reach",
            ),
            AnswerLine(
                "What failed",
                failed,
                (),
                [Points(of_failed)] if of_failed else [],
                "How this was counted",
            ),
            AnswerLine(
                "What mattered",
                " ".join(text for text in (mattered, _lengths(study)) if text),
                (),
                [Prose(in_full)] if in_full else [],
                "In full",
            ),
            AnswerLine(
                "Gradient", carried, (), [Points(predictions)] if predictions else [], "In full"
            ),
        ]
        return [line for line in lines if line.text or line.steps]

    # --- use ---

    def _use(self, study: Study, arms: pd.DataFrame, every: Recipes, nothing: bool) -> str:
        """The recommended arm of each problem; the test score has no part in the choice."""
        by_arm = arms.set_index("arm")
        if nothing:
            return f"{nothing_to_choose(study)}."
        if len(every) > MANY:
            return _over_problems(study, every)
        said = [_first(study, by_arm, problem.name, found) for problem, found in every]
        if study.adopted and not every:
            said.append(_without_validation(study, arms))
        return " ".join(said)

    def _effects(self, study: Study, points: pd.DataFrame) -> tuple[str, str]:
        """What each factor does to the score, briefly and in full.

        Differences between problems say nothing about recipes and are left out.
        """
        effects = [one for one in main_effects(study, points) if one.factor in study.same_problem]
        return brief_words(study, effects), effects_words(study, effects)

    def _health(self, study: Study, points: pd.DataFrame) -> tuple[str, list[str]]:
        """What became of gradients, and whether health goes with the score; then in full."""
        judged = points[points["verdict"].notna()]
        if judged.empty:
            return "", []
        text = [_opened(study, judged), _ended_without(study, tally(judged))]
        text.append(structures_words(study))
        predictions = [
            prediction_words(study, share, when, self.draws, brief=True)
            for share, when in ((0.0, "at initialization"), (1.0, "at the end"))
        ]
        return " ".join(one for one in text if one), [one for one in predictions if one]

    def _made(self, study: Study, arms: pd.DataFrame, points: pd.DataFrame) -> str:
        """What the answer rests on: networks, seeds, time."""
        status = study.grid["status"].value_counts()
        points_of = "point" if len(study.grid) == 1 else f"of {len(study.grid)} points"
        done = f"{int(status.get('done', 0))} {points_of} done"
        apart = [
            f"{int(status[name])} {name}"
            for name in ("diverged", "pruned", "failed", MISSING)
            if name in status
        ]
        of = f"in each of {len(arms)} arms" if len(arms) > 1 else "in the one arm"
        text = (
            f"{done}{f' ({listing(apart)})' if apart else ''}; {count(len(study.seeds), 'seed')}"
            f" {of}."
        )
        ends = (
            "" if study.adopted else " Intervals and ± are 95 % ones, unless sd stands beside them."
        )
        return f"{text} {self._time(study, points)}{ends}"

    def _time(self, study: Study, points: pd.DataFrame) -> str:
        if study.adopted:
            return f"{origin_words(study)} {not_recorded_words(study)}"
        wall = sum(float(launch.get("seconds") or 0) for launch in study.launches)
        devices = listing(
            sorted({str(launch.get("device") or "unknown device") for launch in study.launches})
            or ["unknown device"]
        )
        trained = float(points["seconds"].sum())
        hours = f" = {number(trained / 3600)} device hours" if trained >= 360 else ""
        launches = count(len(study.launches), "launch", "launches")
        return (
            f"Wall clock {duration(wall)} over {launches}; {duration(trained)}{hours} of training"
            f" summed over points (device: {devices})."
        )


def _failed(study: Study) -> tuple[str, list[str]]:
    """How many networks were lost, and how many did not solve, by level; then what that does not
    say.
    """
    points = with_counted(study)
    key = study.matrix_factors[0]
    lost = _lost_words(study, tally(points))
    if points["lost"].any() and len(study.levels(key)) > 1:
        lost += f": {_by_level(points, key, points['lost'].to_numpy(dtype=bool))}"
    lost = f"{lost[0].upper()}{lost[1:]}."
    ruled = study.stored[study.has_rule(study.stored)]
    none = [f"{study.no_rule} ({listing(study.without_rule())})."] if study.without_rule() else []
    if ruled.empty:  # of adopted runs, what was not recorded has a sentence
        return lost, [] if study.adopted else none
    found, notes = tally(ruled), []
    share = share_over_arms(solved_at_end(ruled).to_numpy(), ruled["arm"].to_numpy())
    networks = f"{_of(found.solved, found.n)} network{'s' if found.n > 1 else ''}"
    rest = ~solved_at_end(ruled).to_numpy(dtype=bool)
    text = (
        f"{networks[0].upper()}{networks[1:]} solved {_its(study)} task at the end"
        f" ({percent(share.value)}, 95 % interval {_span(share)})"
    )
    parts = [one for one in study.same_problem if one == key]
    apart = key if parts or len(study.problems) < 2 else ""
    by = "task" if "task" in study.factors else apart
    if rest.any() and by and len(study.levels(by)) > 1:
        text += f"; unsolved: {_by_level(ruled, by, rest)}"
    if found.not_kept:
        whose = "its" if found.not_kept == 1 else "their"
        notes.append(
            f"{found.not_kept} more met {whose} rule at an earlier validation and not at the last."
        )
    flattered = None if study.adopted else flattery(study)
    if flattered and flattered.met and flattered.reach is not None:
        notes.append(
            "Solved is judged on validation:"
            f" {reaching(flattered.reach, flattered.met, flattered.whose)} its limit on test."
        )
    if ruled["arm"].nunique() > 1:
        notes.append("The interval of the share solved is over arms: seeds of one arm are alike.")
    return f"{lost} {text}.", [*notes, *none]


def _by_level(points: pd.DataFrame, key: str, which: np.ndarray) -> str:
    """For example: rnn 3 of 36, lstm 4 of 36, for levels that have any."""
    counted = points.assign(which=which).groupby(key, sort=False)["which"].agg(["sum", "size"])
    parts = [
        f"{level(key, str(name))} {int(row['sum'])} of {int(row['size'])}"
        for name, row in counted.iterrows()
        if row["sum"]
    ]
    return ", ".join(parts[:MOST_LEVELS]) + (", …" if len(parts) > MOST_LEVELS else "")


def _flattered(study: Study) -> str:
    """By how much the best of several validations flatters, where it is shown to."""
    found = None if study.adopted else flattery(study)
    if found is None or not found.mean.low > 0:
        return ""
    one = found.mean
    return (
        f"The best of several validations flatters, by {with_interval(one, 3)} on average against"
        " the test score."
    )


def _opened(study: Study, judged: pd.DataFrame) -> str:
    """How many networks began without their gradient, by level, and how many of these opened."""
    found = tally(judged)
    begins = f"In {_of(found.began_without, found.judged)} network{'s' if found.judged > 1 else ''}"
    key = study.matrix_factors[0]
    by_level = {name: tally(judged[judged[key] == name]) for name in study.levels(key)}
    parts = [
        f"{level(key, name)} {own.began_without}"
        for name, own in by_level.items()
        if own.began_without
    ]
    where = f" ({', '.join(parts)})" if len(by_level) > 1 and parts else ""
    end = (
        f"; {_these(found.opened, found.began_without)} carried it at the end"
        if found.began_without
        else ""
    )
    return (
        f"{begins}{where} the gradient {_reaching(study)} was vanishing or fading at"
        f" initialization{end}."
    )


def _reaching(study: Study) -> str:
    """For example: reaching 63 steps back."""
    states = study.table("states")
    lags = sorted({int(lag) for lag in states["lag"].dropna()}) if len(states) else []
    return f"reaching {lags[0]} steps back" if len(lags) == 1 else "reaching the judged lag"


def _ended_without(study: Study, found: Tally) -> str:
    if not found.without_carrying:
        return ""
    those = "one" if found.without_carrying == 1 else found.without_carrying
    return (
        f"Of the {those} that ended without carrying, {_number(found.solved_without_carrying)}"
        f" solved {_its(study)} task at the end."
    )


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
        score += f"; solved {solved_words(study, first)}"
    if study.recorded("diverged"):
        score += f", lost {first['lost'] or 'none'}"
    if len(found.order) < 2:
        return f"{f'On {task} there' if task else 'There'} is one arm with a score: {score}."
    text = f"{on}{_short(study, by_arm, found.first)} (by {found.chosen_by}): {score}."
    text += _quickest(study, by_arm, found)
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


def _to_run(study: Study, every: Recipes) -> Sequence[object]:
    """How to run the recommended arm, where there is one."""
    if len(every) != 1:
        return ()
    ((_, found),) = every
    id = point_of(study, found.first) if found.learned else None
    return how_to_run(study, id) if id else ()


def _how_sure(study: Study, arms: pd.DataFrame, every: Recipes) -> str:
    """How many arms can be told apart from the first, by which rule, and by how much it leads."""
    said = []
    by_arm = arms.set_index("arm")
    for problem, found in every:
        others = len(found.order) - 1
        if not found.learned or others < 1:
            continue
        on = f"On {problem.name}: " if problem.name else ""
        lead = _lead_words(found, others, study.metric)
        said.append(f"{on}{lead}{_lead(study, by_arm, found)}" if lead else "")
    return " ".join(text for text in said if text)


def _lost_words(study: Study, found: Tally) -> str:
    """For example: 3 of 108 networks lost (2 diverged, 1 silently)."""
    if not study.recorded("diverged"):
        return "whether any diverged was not recorded"
    if not found.lost:
        return "none lost"
    how = f"{found.diverged} diverged" + (f", {found.silent} silently" if found.silent else "")
    return f"{found.lost} of {found.n} lost ({how})"


def _declared_claims(study: Study) -> list[str]:
    """The claims declared with the study, which are its question, and what was found."""
    own = all_claims(study).own.values() if study.declaration.get("claims") else []
    return [f"{one.statement.rstrip('.')}: {label(one)}{_sides(one)}." for one in own]


def _quickest(study: Study, by_arm: pd.DataFrame, found: Recipe) -> str:
    """An arm that is as good and clearly quicker, if there is one."""
    quick = quickest(study, found)
    if quick is None:
        return ""
    arm, seconds, of_first = quick
    name = _short(study, by_arm, arm)
    return (
        f" Of these {name} trains quickest ({number(seconds, 1)} s a point against"
        f" {number(of_first, 1)} s)."
    )


def _lead_words(found: Recipe, others: int, metric: str) -> str:
    """How sure it is that the first of several arms is ahead."""
    if found.ranked.loc[found.first, "ended"] == 1:
        return ""  # scores are those of the moment at which the rule was met
    if found.close is None:
        return "Which of the others are as good is not known from one seed per arm."
    if found.undecided:
        return (
            "The other arm cannot be distinguished from it."
            if others == 1
            else f"Its lead over the other {others} may be chance: none can be told apart from it."
        )
    if found.close:
        apart = others - len(found.close)
        return (
            f"Of the other {others} arms {apart} can be told apart from it by test {metric} (with"
            f" intervals that hold for all of them), and {len(found.close)} cannot be"
            " distinguished."
        )
    return f"The other {'arm' if others == 1 else f'{others} arms'} can be told apart from it."


def _lengths(study: Study) -> str:
    """Up to which length each choice solves its task, if length is a factor."""
    key = length_factor(study)
    found = longest_lags(study, key, HALF) if key else []
    if not found or len(found) > MOST_LENGTHS:
        return ""
    reached: dict[str, list[str]] = {}
    for one in sorted(found, key=lambda one: -(one.longest.steps if one.longest else 0)):
        if one.longest is None:
            reach = f"none of {listing([f'{at.steps:,}' for at in one.tried])}"
        else:
            reach = f"{one.longest.steps:,}{' (the longest tried)' if one.all_tried else ''}"
        name = levels(one.labels) if one.labels else "the network"
        reached.setdefault(reach, []).append(name)
    said = [f"{reach}: {listing(names)}" for reach, names in reached.items()]
    reaches = "; ".join(said)
    return f"Longest length that more than half of the seeds solve at the end: {reaches}."


def _sides(one: JudgedClaim) -> str:
    """The two sides of a claim in numbers, if it has any."""
    if not one.better or not known(one.difference.value):
        return ""
    first, second = (side_values(one, which) for which in (0, 1))
    return f" ({one.measure}: {first} with {levels(one.better)}, {second} with {levels(one.worse)})"


def _over_problems(study: Study, every: Sequence[tuple[Problem, Recipe]]) -> str:
    """Which choice does well in most of many problems, for one sentence."""
    keys = listing([short_name(key) for key in study.problems[0].levels])
    learned = sum(one.learned for _, one in every)
    if not learned:
        return f"In none of the {len(every)} tasks ({keys}) has an arm learned anything."
    there = f"There are {len(every)} tasks ({keys})"
    if learned < len(every):
        there += f", and in {learned} of them an arm learned"
    most = most_often_first(study, every)
    if most is None:
        return f"{there}. No choice leads most often; the recipe of each is below."
    chosen, times, of = most
    return (
        f"{there}. {levels(chosen)} is first, or cannot be told apart from the first, in"
        f" {times} of {of}, more often than any other choice; the recipe of each is below."
    )


def _its(study: Study) -> str:
    return "their" if "task" in study.factors else "the"


def _short(study: Study, by_arm: pd.DataFrame, arm: int) -> str:
    """The arm's levels without those of its task, which the sentence names."""
    keys = study.same_problem or list(study.factors)
    return levels({key: by_arm.loc[arm, key] for key in keys})


def _lead(study: Study, by_arm: pd.DataFrame, found: Recipe) -> str:
    """Lead of the first arm over the second in test score, as a sentence; positive is better."""
    a, b = by_arm.loc[found.order[0]], by_arm.loc[found.order[1]]
    lead = (a["score"].value - b["score"].value) * (1 if study.higher_is_better else -1)
    runner = _short(study, by_arm, found.order[1])
    digits = decimals(lead, math.nan)
    if lead < 0:
        return f" The runner-up, {runner}, is {number(-lead, digits)} better on test."
    return f" It is {number(lead, digits)} ahead of the runner-up, {runner}."


def _of(n: int, total: int) -> str:
    """3 of 18; all 18; none of 18."""
    return f"all {total}" if n == total > 1 else f"{_number(n)} of {total}"


def _these(n: int, total: int) -> str:
    """3 of these; all of these; none of these."""
    return f"{'all' if n == total > 1 else _number(n)} of these"


def _without_validation(study: Study, arms: pd.DataFrame) -> str:
    """Which arm has the highest mean test score, which recommends none."""
    order = ranked(study, arms)
    if order.empty:
        return "No run has a score."
    best = order.iloc[0]
    which = "highest" if study.higher_is_better else "lowest"
    seeds = f" ({count(best['n'], 'seed')})" if best["n"] > 1 else " (a single run)"
    return (
        "No validation score was recorded, so that no arm is recommended: test scores must not"
        f" choose one. The {which} mean test {study.metric} is {score_words(best['score'])}{seeds},"
        f" of {best['label']}."
    )


def _number(n: int) -> str:
    return str(n) if n else "none"


def _span(estimate: Estimate) -> str:
    return f"{percent(estimate.low)} to {percent(estimate.high)}"
