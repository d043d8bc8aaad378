"""Summary: the first screen, with the answer, how sure it is, and what went wrong."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from reports.analysis.adopted import not_recorded_words, origin_words
from reports.analysis.arms import (
    WORST,
    has_rule,
    outcome_words,
    ranked,
    score_words,
    solved_words,
    summary,
    verdict_words,
    with_counted,
    worst_words,
)
from reports.analysis.associations import prediction_words
from reports.analysis.by_problem import MANY, nothing_to_choose
from reports.analysis.claim_ledger import all_claims
from reports.analysis.claim_words import label, side_values
from reports.analysis.confirmation import confirmation
from reports.analysis.effect_words import effects_words
from reports.analysis.effects import main_effects
from reports.analysis.ends import different_stopping_points
from reports.analysis.flattery import flattery, reaching
from reports.analysis.judged_claim import JudgedClaim
from reports.analysis.longest_lag import length_factor, longest_lags
from reports.analysis.margins import close_ends
from reports.analysis.rates import rate_is_chosen, rate_words
from reports.analysis.recipe import (
    NOTHING_LEARNED,
    Recipe,
    leaders,
    most_often_first,
    quickest,
    recipes,
)
from reports.analysis.tallies import tally
from reports.blocks import Box, Facts, Matrices, Matrix, Notice, Prose, Section
from reports.data.study import MISSING, Problem, Study
from reports.data.test_set import weighted_noise
from reports.formatting import (
    OUTCOME_SYMBOLS,
    VERDICT_SYMBOLS,
    count,
    duration,
    known,
    level,
    levels,
    listing,
    number,
    percent,
    plus_minus,
    short_name,
)
from reports.statistics import Estimate, mean_interval, share_over_arms
from study.design.outcomes import solved_at_end
from study.records import VERDICTS

HALF = 0.5  # of the seeds, that must solve a length
MOST_LENGTHS = 12  # choices whose longest lengths are told on the first screen


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
        blocks += [Prose(text, "lead") for text in self._answer(study, arms, points)]
        blocks += [Prose(text) for text in (_lengths(study), _declared_claims(study)) if text]
        blocks.append(Facts(self._facts(study, arms, points)))
        blocks.append(self._matrix(study, arms))
        blocks += [Prose(text) for text in (self._health(study, points),) if text]
        caveats = self._caveats(study, arms, points)
        if caveats:
            blocks.append(Notice("Before you rely on this:", "caution", caveats))
        blocks.append(Prose(self._time(study, points), "small"))
        return Section(blocks)

    # --- the answer ---

    def _answer(self, study: Study, arms: pd.DataFrame, points: pd.DataFrame) -> list[str]:
        """The best arm, and the factors that matter."""
        if points.empty:
            return ["No point has been trained yet: there is no answer."]
        return [text for text in (self._leaders(study, arms), self._effects(study, points)) if text]

    def _leaders(self, study: Study, arms: pd.DataFrame) -> str:
        """The recommended arm of each problem; the test score has no part in the choice."""
        by_arm, sentences, every = arms.set_index("arm"), [], recipes(study)
        if len(every) > 1 and all(len(found.order) == 1 for _, found in every):
            sentences.append(f"{nothing_to_choose(study)}.")
            every = []
        if len(every) > MANY:
            sentences.append(_over_problems(study, every))
            every = []
        for problem, found in every:
            task = problem.name
            on = f"On {task}: " if task else ""
            if not found.learned:
                sentences.append(f"{on}{NOTHING_LEARNED}")
                continue
            first, others = by_arm.loc[found.first], len(found.order) - 1
            score = (
                f"mean test {study.metric} {score_words(first['score'])}"
                f" ({count(first['n'], 'seed')})"
            )
            name = _short(study, by_arm, found.first)
            text = (
                f"{f'On {task}, r' if task else 'R'}ecommended is {name} (by {found.chosen_by}):"
                f" {score}."
            )
            if not others:
                text = (
                    f"{f'On {task} there' if task else 'There'} is one arm with a score: {score}."
                )
            else:
                text += _lead_words(found, others)
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
            sentences.append(text)
        if study.adopted and not every:
            sentences.append(_without_validation(study, arms))
        return " ".join([*sentences, self._solved(study)]).strip()

    def _solved(self, study: Study) -> str:
        """How many networks end solved, and how many met the rule earlier and no longer do."""
        points = study.stored[study.has_rule(study.stored)]
        if study.adopted and not study.has_rule(study.stored).any():
            return ""  # what was not recorded has a sentence
        none = f"{study.no_rule} ({listing(study.without_rule())})." if study.without_rule() else ""
        if points.empty:
            return none
        found = tally(points)
        share = share_over_arms(solved_at_end(points).to_numpy(), points["arm"].to_numpy())
        arms = points["arm"].nunique()
        over = ", as seeds of one arm are alike" if arms > 1 else ""
        networks = f"{_of(found.solved, found.n)} network{'s' if found.n > 1 else ''}"
        text = (
            f"{networks[0].upper()}{networks[1:]} solved {_its(study)} task at the end"
            f" ({percent(share.value)}, 95 % interval {_span(share)}{over})"
        )
        if found.not_kept:
            whose = "its" if found.not_kept == 1 else "their"
            text += (
                f"; {found.not_kept} more met {whose} rule at an earlier validation and not at the"
                " last"
            )
        flattered = None if study.adopted else flattery(study)
        if flattered and flattered.met and flattered.reach is not None:
            text += (
                ". Solved is judged on validation:"
                f" {reaching(flattered.reach, flattered.met, flattered.whose)} its limit on test"
            )
        return f"{text}. {none}".rstrip()

    def _effects(self, study: Study, points: pd.DataFrame) -> str:
        """What each factor does to the score.

        Differences between problems say nothing about recipes and are left out.
        """
        effects = main_effects(study, points)
        return effects_words(study, [one for one in effects if one.factor in study.same_problem])

    def _health(self, study: Study, points: pd.DataFrame) -> str:
        judged = points[points["verdict"].notna()]
        if judged.empty:
            return ""
        found = tally(judged)
        text = (
            "At initialization transport at the judged lag was vanishing or fading in"
            f" {_of(found.began_without, found.judged)} network{'s' if found.judged > 1 else ''}"
        )
        text += (
            f"; {_these(found.opened, found.began_without)} carried at the end."
            if found.began_without
            else "."
        )
        if found.without_carrying:
            those = "one" if found.without_carrying == 1 else found.without_carrying
            text += (
                f" Of the {those} that ended without carrying,"
                f" {_number(found.solved_without_carrying)} solved {_its(study)} task at the end."
            )
        predictions = [
            prediction_words(study, share, when, self.draws, brief=True)
            for share, when in ((0.0, "at initialization"), (1.0, "at the end"))
        ]
        if predictions[0].replace("at initialization", "at the end") == predictions[1]:
            both = predictions[1].replace("at the end", "at initialization or at the end", 1)
            predictions = [both]
        return " ".join([text, *(one for one in predictions if one)])

    # --- facts, matrix, caveats ---

    def _facts(
        self, study: Study, arms: pd.DataFrame, points: pd.DataFrame
    ) -> list[tuple[str, str, str]]:
        status = study.grid["status"].value_counts()
        get = lambda name: int(status.get(name, 0))  # noqa: E731
        notes = [f"{get(name)} {name}" for name in ("pruned", "failed", MISSING) if get(name)]
        silent = tally(points).silent
        facts = [
            (
                "points done",
                f"{get('done')} of {len(study.grid)}",
                ", ".join(notes) or "none pruned, failed or missing",
            ),
            (
                "seeds",
                str(len(study.seeds)),
                f"in each of {len(arms)} arms" if len(arms) > 1 else "in the one arm",
            ),
            (
                "diverged",
                str(get("diverged")) if study.recorded("diverged") else "n/a",
                f"of {len(points)} trained" + (f"; {silent} more silently" if silent else "")
                if study.recorded("diverged")
                else "not recorded",
            ),
        ]
        by_arm, every = arms.set_index("arm"), recipes(study)
        if len(study.problems) > 1:
            return [*facts, ("recommended", "by task", self._by_task(study, by_arm, every))]
        if not every and study.adopted:
            why = "no validation score recorded"
            return [*facts, ("recommended", "n/a", why), ("lead over runner-up", "n/a", why)]
        if not every:
            return [
                *facts,
                ("recommended", "n/a", "nothing trained yet"),
                ("lead over runner-up", "n/a", "nothing trained yet"),
            ]
        ((_, one),) = every
        if not one.learned:
            return [*facts, ("recommended", "none", "nothing has been learned")]
        first = by_arm.loc[one.first]
        name = "recommended" if len(one.order) > 1 else f"mean test {study.metric}"
        return [
            *facts,
            (name, score_words(first["score"]), first["label"]),
            _lead(study, by_arm, one),
        ]

    def _by_task(
        self, study: Study, by_arm: pd.DataFrame, every: Sequence[tuple[Problem, Recipe]]
    ) -> str:
        if all(len(one.order) == 1 for _, one in every):
            return nothing_to_choose(study) if every else "nothing trained yet"
        if len(every) > MANY:
            return f"{len(every)} tasks; see Recipe"
        notes = [
            f"{problem.name}: {_short(study, by_arm, one.first)}"
            f" {score_words(by_arm.loc[one.first, 'score'])}"
            for problem, one in every
            if one.learned
        ]
        return "; ".join(notes) or "nothing learned yet"

    def _adopted_caveats(self, study: Study, arms: pd.DataFrame) -> list[str]:
        """What nobody can know of runs that were trained elsewhere."""
        sentences = []
        if len(arms) > 1 and leaders(study):
            sentences.append(
                "The first arm was chosen on these runs, so its score is optimistic; fresh ones"
                " would say by how much."
            )
        if study.replicates:
            sentences.append(
                "There is no column of seeds: rows of one arm count as its replicates, and it is"
                " not known whether they differ in a seed alone."
            )
        sentences.append(
            "Settings that are no column may differ between arms: whether each was tuned alike, and"
            " on the same data, was not recorded."
        )
        return sentences

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

    def _matrix(self, study: Study, arms: pd.DataFrame) -> Matrices:
        row_key, column_key = study.matrix_factors
        rows, columns = study.levels(row_key), study.levels(column_key)
        at = {
            tuple(arm[key] for key in (row_key, column_key, *study.other_factors)): arm
            for _, arm in arms.iterrows()
        }
        matrices, hidden = [], 0
        for block in study.combinations(study.other_factors):
            # A row, column or matrix without any arm says nothing that the design does not say
            # once.
            own_rows = [
                row
                for row in rows
                if any((row, column, *block.values()) in at for column in columns)
            ]
            own_columns = [
                column
                for column in columns
                if any((row, column, *block.values()) in at for row in rows)
            ]
            hidden += len(rows) * len(columns) - len(own_rows) * len(own_columns)
            if not own_rows:
                continue
            boxes = [
                [
                    self._box(
                        study,
                        at.get((row, column, *block.values())),
                        {row_key: row, column_key: column, **block},
                    )
                    for column in own_columns
                ]
                for row in own_rows
            ]
            heads = (
                [level(row_key, row) for row in own_rows],
                [study.column_head(column) for column in own_columns],
            )
            matrices.append(
                Matrix(levels(block) if block else "", study.matrix_corner, *heads, boxes)
            )
        caption = _matrix_caption(study, hidden)
        verdicts = [] if study.adopted else VERDICTS
        legend = [(f"{VERDICT_SYMBOLS[name]} {name}", f"v-{name}") for name in verdicts]
        return Matrices(matrices, caption, legend)

    def _box(self, study: Study, arm: pd.Series | None, labels: dict[str, str]) -> Box:
        if arm is None:
            why = study.why_excluded(labels)
            return Box(
                [("excluded" if why else "not in the grid", "word"), (why or "", "")], "empty"
            )
        if not arm["n"]:
            return Box([("no point yet", "word"), (f"0 of {arm['declared']} seeds", "")], "empty")
        word, kind = verdict_words(arm)
        short = "" if arm["n"] == arm["declared"] else f" of {arm['declared']}"
        n = arm["score"].n if study.adopted else arm["n"]  # a lost run may have no score
        score = f"{score_words(arm['score'])} · n={n}{short}"
        if study.adopted:
            solved = solved_words(study, arm) if has_rule(study, int(arm["arm"])) else ""
            lost = f"{arm['lost']} lost" if arm["lost"] else ""
            said = " · ".join(one for one in (solved and f"solved {solved}", lost) if one)
            return Box([(score, "word"), *([(said, "outcome")] if said else [])], "")
        return Box([(word, "word"), (outcome_words(arm), "outcome"), (score, "score")], kind)

    def _caveats(self, study: Study, arms: pd.DataFrame, points: pd.DataFrame) -> list[str]:
        sentences = []
        seeds, recommended = len(study.seeds), not study.adopted or bool(leaders(study))
        pooled = (
            "; which can be told apart from the first rests on the spread over seeds pooled over"
            " all arms"
        )
        if seeds < self.trusted and len(arms) > 1:
            sentences.append(
                f"{count(seeds, 'seed')} per arm: single arms are shown"
                f" {'with their intervals' if seeds > 1 else 'without intervals'} and not tested"
                " against each other one by one (no permutation test of two arms can reach p < .05"
                f" below 4 seeds each){pooled if seeds > 1 and recommended else ''}."
            )
        if points.empty:
            return sentences
        if study.adopted:
            sentences += self._adopted_caveats(study, arms)
        elif len(arms) > 1 and confirmation(study) is None and leaders(study):
            confirm = f"make confirm STUDY={study.record.get('experiment') or study.name}"
            sentences.append(
                f"The first arm was chosen on these seeds, so its score is optimistic; {confirm}"
                " trains it and the runners-up on fresh ones."
            )
        diverged = points[points["status"] == "diverged"]
        if len(diverged):
            key = study.matrix_factors[0]
            where = diverged[key].value_counts()
            dropped = ", never dropped" if worst_words(study) == WORST else ""
            sentences.append(
                f"{count(len(diverged), 'point')} diverged"
                f" ({listing(f'{n} {level(key, name)}' for name, n in where.items())})"
                f" and {_counts_with(study, len(diverged))}{dropped}."
            )
        silent = tally(points).silent
        if silent:
            sentences.append(
                f"{count(silent, 'point')} diverged silently:"
                f" {OUTCOME_SYMBOLS['silently diverged']} back at the baseline or above it with"
                f" nothing non-finite, and {_counts_with(study, silent)}, whatever the best"
                " validation was."
            )
        sentences += [text for text in (different_stopping_points(points),) if text]
        rates = "" if study.adopted else rate_words(study)
        unread = study.adopted or (not rates and bool(study.declaration.get("trainers")))
        if len(arms) > 1 and not rate_is_chosen(study) and not unread:
            several = "optimizer" in study.factors and rates
            sentences.append(
                f"The learning rate is the same for every arm of an optimizer ({rates}) and not"
                " tuned: differences between arms, and between optimizers, hold at these rates."
                if several
                else f"The learning rate is the same for every arm{f' ({rates})' if rates else ''}"
                " and not tuned: differences between arms hold at this rate."
            )
        if close := close_ends(study):
            sentences.append(close)
        if len(study.outside_grid):
            sentences.append(
                f"{count(len(study.outside_grid), 'stored point')} outside the declared grid left"
                " out."
            )
        return sentences


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


def _lead_words(found: Recipe, others: int) -> str:
    """How sure it is that the first of several arms is ahead."""
    if found.ranked.loc[found.first, "ended"] == 1:
        return ""  # scores are those of the moment at which the rule was met
    if found.close is None:
        return " Which of the others are as good is not known from one seed per arm."
    if found.undecided:
        return (
            " The other arm cannot be distinguished from it."
            if others == 1
            else f" Its lead over the other {others} may be chance: none can be told apart from it."
        )
    if found.close:
        return f" Of the other {others} arms {len(found.close)} cannot be distinguished from it."
    return f" The other {'arm' if others == 1 else f'{others} arms'} can be told apart from it."


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


def _declared_claims(study: Study) -> str:
    """The claims declared with the study, which are its question, and what was found."""
    own = all_claims(study).own.values() if study.declaration.get("claims") else []
    said = [f"{one.statement.rstrip('.')}: {label(one)}{_sides(one)}" for one in own]
    return f"Claimed with the study, and found. {'. '.join(said)}." if said else ""


def _sides(one: JudgedClaim) -> str:
    """The two sides of a claim in numbers, if it has any."""
    if not one.better or not known(one.difference.value):
        return ""
    first, second = (side_values(one, which) for which in (0, 1))
    return f" ({one.measure}: {first} against {second})"


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


def _matrix_caption(study: Study, hidden: int) -> str:
    enough = (
        "a single word needs 5 seeds of which 80 % agree"
        if len(study.seeds) < 5
        else "counts where fewer than 80 % of the seeds agree"
    )
    caption = (
        "Each box: how transport changed (verdict), whether it learned (outcome), mean test"
        f" {study.metric} with 95 % interval over seeds, n seeds. Counts are seeds; {enough}. The"
        " verdict describes transport, not success."
    )
    if study.adopted:
        runs = "runs" if study.replicates else "seeds"
        caption = (
            f"Each box: mean test {study.metric} with 95 % interval over {runs}, n {runs}; a single"
            " run has no interval."
        )
    if hidden:
        are = "is" if hidden == 1 else "are"
        caption += f" {count(hidden, 'combination')} left out by the design {are} not shown."
    return caption


def _lead(study: Study, by_arm: pd.DataFrame, found: Recipe) -> tuple[str, str, str]:
    """Lead of the first arm over the second in test score; positive is better."""
    if len(found.order) < 2:
        return "lead over runner-up", "n/a", "one arm"
    a, b = by_arm.loc[found.order[0]], by_arm.loc[found.order[1]]
    lead = (a["score"].value - b["score"].value) * (1 if study.higher_is_better else -1)
    noise = mean_interval(a["scores"]), mean_interval(b["scores"])
    test_set = 1.96 * weighted_noise(study, {found.order[0]: 1.0, found.order[1]: -1.0})
    half = np.hypot(noise[0].half, noise[1].half)
    half = np.hypot(half, test_set) if known(test_set) else half
    return (
        "lead over runner-up",
        plus_minus(lead, lead - half, lead + half),
        f"{b['label']}; shown, not tested",
    )


def _of(n: int, total: int) -> str:
    """3 of 18; all 18; none of 18."""
    return f"all {total}" if n == total > 1 else f"{_number(n)} of {total}"


def _these(n: int, total: int) -> str:
    """3 of these; all of these; none of these."""
    return f"{'all' if n == total > 1 else _number(n)} of these"


def _counts_with(study: Study, n: int) -> str:
    worst = worst_words(study)
    return f"count with {worst}" if n > 1 else f"counts with {worst.replace('their', 'its')}"


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
