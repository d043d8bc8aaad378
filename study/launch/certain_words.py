"""What a race says: its question, what each look decided, how it ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from study.interfaces import duration
from study.launch.race import Race
from study.racing.race import CHOSEN, OUT, RACING, Look
from study.racing.simulated import Rehearsal

SHOWN = 4  # arms named of a longer list
BARE = ("cell", "initializer", "task")  # factors whose levels say what they are


def question_words(race: Race) -> str:
    """The question, the looks and the promise, in one line."""
    question = race.question
    metric = race.measure
    asked = {
        "best": f"which arm has the best {metric}, to within {question.delta:g}?",
        "top": f"which {question.top} arms have the best {metric}, to within {question.delta:g}?",
        "contrasts": f"which contrasts of {metric} differ from 0, or by less than"
        f" {question.delta:g}?",
        "precision": f"what is the {metric} of every arm, to ±{question.delta:g}?",
        "threshold": f"which arms reach a {metric} of {abs(question.threshold):g}?",
    }[question.decide]
    looks = ", ".join(map(str, question.looks))
    by = " by bets" if question.anytime else ""
    noise = f"; the noise of {race.examples:,} validation examples counts" if race.examples else ""
    return (
        f"{race.plan.name}: {asked} {question.arms} arms, looks{by} at {looks} seeds; at most"
        f" {100 * question.alpha:g} % of such races decide anything wrongly{noise}"
    )


def expected_words(race: Race, rehearsal: Rehearsal | None, seconds: float | None) -> str:
    """The runs and hours to expect, against equal seeds for all arms."""
    if rehearsal is None or seconds is None:
        return (
            "how many runs that takes is not known before every arm has two stored seeds; at most"
            f" {race.question.arms * race.question.looks[-1]}"
        )
    runs = np.quantile(rehearsal.runs, [0.1, 0.5, 0.9])
    fixed = rehearsal.fixed
    arms = race.question.arms
    against = (
        f"equal seeds for all arms would need {fixed} each, {fixed * arms} runs"
        f" ({duration(fixed * arms * seconds)}), to decide as much"
        if fixed
        else "no equal number of seeds that was tried decides as much"
    )
    return (
        f"with means and spreads as in the stored seeds, a race takes about {runs[1]:.0f} runs"
        f" ({runs[0]:.0f} to {runs[2]:.0f} in 8 of 10), {duration(runs[1] * seconds)} of training"
        f" added up, and is answered in {100 * rehearsal.answered:.0f} %; {against}"
    )


def after_look(race: Race, before: Look | None, now: Look, place: int) -> str:
    """What a look decided."""
    question, seeds = race.question, race.question.looks[place]
    head = f"look at {seeds} seeds"
    if question.between:
        was_out = before.standing == OUT if before is not None else np.zeros(question.arms, bool)
        left = int((now.standing == RACING).sum())
        chosen = [_name(race, int(arm)) for arm in np.flatnonzero(now.standing == CHOSEN)]
        out = int((now.standing == OUT).sum() - was_out.sum())
        parts = [f"{out} arm{'' if out == 1 else 's'} out", f"{left} left"]
        parts += [f"chosen: {_listing(chosen)}"] if chosen else []
        return f"{head}: {', '.join(parts)}"
    decided = int((now.verdicts > 0).sum())
    return f"{head}: {decided} of {now.verdicts.shape[-1]} decided"


def end_words(race: Race, state: Mapping[str, Any]) -> list[str]:
    """How the race ended, what that answers, and what it cost."""
    question, last = race.question, state["looks"][-1]
    ended, seeds = state["ended"], last["seeds"]
    how = {
        "answered": "answered",
        "spent": f"not answered with {seeds} seeds, the most allowed (study.certain.max_seeds)"
        + _why(race, state),
        "out of reach": "not answered, and as many seeds as allowed would hardly help"
        + (_why(race, state) or f": their spread leaves more than ±{question.delta:g} open"),
        "out of hours": "not answered within study.certain.max_hours; more hours go on from here",
    }[ended]
    lines = [f"{race.plan.name}: {how}. {_answer(race, state)}"]
    fixed = state["simulated"]["fixed_seeds"]
    runs = state["runs"]
    if fixed:
        equal = fixed * question.arms
        lines.append(
            f"{runs} runs; equal seeds for all arms would need about {fixed} each, {equal} runs, to"
            f" decide as much (simulated with these means and spreads)"
        )
    else:
        lines.append(f"{runs} runs")
    if question.between:
        by = state["adjusted"]["by"]
        way = "lowered" if (by > 0) == state["higher_is_better"] else "raised"
        lines.append(
            f"the mean of what the race names is {way} by {abs(by):.2g}, by which simulated races"
            " with such means are too good; intervals hold at all looks and for all arms at once"
        )
    lines.append(
        f"promised: wrong in at most {100 * question.alpha:g} % of races; simulated with these"
        f" means and spreads, {100 * state['simulated']['wrong']:.1f} % were wrong, and"
        f" {100 * state['simulated']['wrong_if_alike']:.1f} % where all arms are alike"
        f" ({state['simulated']['races']} races each)"
    )
    return lines


def _why(race: Race, state: Mapping[str, Any]) -> str:
    """What keeps a question open, if more seeds than allowed would not answer it either."""
    if (state["limit"] or 0.0) > race.question.delta:
        return (
            f"; however many seeds, the {state['examples']:,} validation examples leave"
            f" ±{state['limit']:.2g} open (study.certain.examples=false decides for these very"
            " examples)"
        )
    return ""


def _answer(race: Race, state: Mapping[str, Any]) -> str:
    last = state["looks"][-1]
    if race.question.between:
        by = {word: [] for word in ("chosen", "racing", "out")}  # type: dict[str, list[str]]
        order = np.argsort([-race.sign * (mean or 0.0) for mean in last["mean"]])
        for arm in order:
            low, high, mean = last["low"][arm], last["high"][arm], state["adjusted"]["means"][arm]
            span = f" ({low:.3g} to {high:.3g})" if low is not None and high is not None else ""
            span = f": {mean:.3g}{span}" if span and mean is not None else span
            by[last["standing"][arm]].append(f"{_name(race, int(arm))}{span}")
        said = [f"chosen: {_listing(by['chosen'])}"] if by["chosen"] else []
        close = f"not better by more than {race.question.delta:g}, and not told apart"
        if by["racing"]:
            left = close if by["chosen"] else "not told apart"
            said.append(f"{left}: {_listing(by['racing'])}")
        return "; ".join([*said, f"shown to be worse: {len(by['out'])}"])
    names = state["asked"]["contrasts"] or [_name(race, arm) for arm in range(race.question.arms)]
    verdicts: dict[str, list[str]] = {}
    for name, verdict in zip(names, last["verdicts"], strict=True):
        verdicts.setdefault(_verdict(race, verdict), []).append(name)
    return "; ".join(f"{verdict}: {_listing(names)}" for verdict, names in verdicts.items())


def _verdict(race: Race, verdict: str) -> str:
    """The verdict in the words of the question."""
    words = {
        "contrasts": {"above": "supported", "below": "opposite"},
        "threshold": {"above": "reach it", "below": "do not reach it"},
        "precision": {"too small to matter": "precise enough"},
    }[race.question.decide]
    within = f"within {race.question.delta:g} of it"
    if race.question.decide == "threshold":
        words["too small to matter"] = within
    return words.get(verdict, verdict)


def _name(race: Race, arm: int) -> str:
    named = [
        str(level) if key in BARE else f"{key.rpartition('.')[2]} {level}"
        for key, level in race.levels[arm].items()
    ]
    return " · ".join(named) or "the arm"


def _listing(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"{', '.join(names[:SHOWN])}{more}"
