"""Summary: the first screen, with what to use, how sure that is, why, and what to do next."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from reports.analysis.adopted import not_recorded_words, origin_words
from reports.analysis.arms import summary, with_counted
from reports.analysis.associations import prediction_words
from reports.analysis.carried import carried_words
from reports.analysis.cause import cause_words
from reports.analysis.caveats import caveats
from reports.analysis.claim_ledger import all_claims
from reports.analysis.claim_words import label, sides_words
from reports.analysis.effect_words import brief_words, effects_words
from reports.analysis.effects import main_effects
from reports.analysis.longest_lag import lengths_words
from reports.analysis.next_steps import next_steps
from reports.analysis.recipe import point_of, recipes
from reports.analysis.recommendation import sure_words, use_words
from reports.analysis.structures import structures_words
from reports.analysis.what_failed import failed_notes, failed_words
from reports.blocks import Answer, AnswerLine, Bullets, Notice, Prose, Section, Step
from reports.data.study import MISSING, Study
from reports.export.how_to_run import how_to_run
from reports.formatting import count, duration, listing, number

FOLD = "Train it again, take its weights, or paste it into PyTorch"
FAR, COUNTED, FULL = "How far these numbers reach", "How this was counted", "In full"


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
                "networks without a score count in no number below"
                if study.adopted
                else "every number below rests on the networks stored so far"
            )
            blocks.append(
                Notice(
                    f"INCOMPLETE {len(study.grid) - missing}/{len(study.grid)}: {rests}.", "banner"
                )
            )
        lines = (
            self._answer(study, arms, points)
            if not points.empty
            else [AnswerLine("Use", "No network has been trained yet: there is no answer.")]
        )
        steps = next_steps(study, arms, points)
        lines += [AnswerLine("Next", "", steps)] if steps else []
        blocks += [Answer(lines), Prose(self._made(study, arms, points), "small")]
        return Section(blocks)

    def _answer(self, study: Study, arms: pd.DataFrame, points: pd.DataFrame) -> list[AnswerLine]:
        mattered, in_full = self._effects(study, points)
        why, predictions = self._health(study, points)
        reach, counted = caveats(study, arms, points, self.trusted), failed_notes(study)
        lengths = lengths_words(study)
        lines = [
            AnswerLine("Claimed", "", [Step(text) for text in _declared_claims(study)]),
            AnswerLine("Use", use_words(study, arms), (), _to_run(study), FOLD),
            AnswerLine("How sure", sure_words(study, arms), (), _bullets(reach), FAR),
            AnswerLine("What failed", failed_words(study), (), _bullets(counted), COUNTED),
            _several("What mattered", [*mattered, lengths], [Prose(in_full)] if in_full else []),
            _several("Why", why, _bullets(predictions)),
        ]
        return [line for line in lines if line.text or line.steps or line.more]

    def _effects(self, study: Study, points: pd.DataFrame) -> tuple[list[str], str]:
        """What each factor does to the score, briefly and in full.

        Differences between problems say nothing about recipes and are left out.
        """
        effects = [one for one in main_effects(study, points) if one.factor in study.same_problem]
        return brief_words(study, effects), effects_words(study, effects)

    def _health(self, study: Study, points: pd.DataFrame) -> tuple[list[str], list[str]]:
        """Whether gradients say why, what became of them, and whether health goes with the score;
        then in full.
        """
        judged = points[points["verdict"].notna()]
        if judged.empty:
            return [], []
        why = [*cause_words(study), carried_words(study, judged), structures_words(study)]
        predictions = [
            prediction_words(study, share, when, self.draws, brief=True)
            for share, when in ((0.0, "at initialization"), (1.0, "at the end"))
        ]
        return why, [one for one in predictions if one]

    def _made(self, study: Study, arms: pd.DataFrame, points: pd.DataFrame) -> str:
        """What the answer rests on: networks, seeds, time."""
        status = study.grid["status"].value_counts()
        points_of = "network" if len(study.grid) == 1 else f"of {len(study.grid)} networks"
        done = f"{int(status.get('done', 0))} {points_of} done"
        apart = [
            f"{int(status[name])} {name}"
            for name in ("diverged", "pruned", "failed", MISSING)
            if name in status
        ]
        of = f"in each of {len(arms)} recipes" if len(arms) > 1 else "in the one recipe"
        text = (
            f"{done}{f' ({listing(apart)})' if apart else ''}; {count(len(study.seeds), 'seed')}"
            f" {of}."
        )
        ends = "" if study.adopted else " Brackets and ± are 95 % intervals."
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
            f" summed over networks (device: {devices})."
        )


def _several(name: str, texts: Sequence[str], more: Sequence[object]) -> AnswerLine:
    """A line of the answer of several sentences, one under the other if there is more than one."""
    said = [text for text in texts if text]
    if len(said) == 1:
        return AnswerLine(name, said[0], (), more, FULL)
    return AnswerLine(name, "", [Step(text) for text in said], more, FULL)


def _bullets(texts: Sequence[str]) -> Sequence[object]:
    return [Bullets(texts)] if texts else []


def _to_run(study: Study) -> Sequence[object]:
    """How to run the recommended arm, where there is one."""
    every = recipes(study)
    if len(every) != 1:
        return ()
    ((_, found),) = every
    id = point_of(study, found.first) if found.learned else None
    return how_to_run(study, id) if id else ()


def _declared_claims(study: Study) -> list[str]:
    """The claims declared with the study, which are its question, and what was found."""
    own = all_claims(study).own.values() if study.declaration.get("claims") else []
    own = [one for one in own if not one.formula]  # those lead the page, as a lesson
    return [f"{one.statement.rstrip('.')}: {label(one)}{sides_words(one)}." for one in own]
