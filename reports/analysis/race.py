"""A race of this study (make certain), read from its certain.json, with the page's arms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reports.data.study import Study
from reports.formatting import count, levels, listing, percent, plus_minus, score_number
from study.records import StudyError
from study.store.race import read_race

OUT, CHOSEN, RACING = "out", "chosen", "racing"
SHOWN = 4  # recipes named of a longer list


@dataclass(frozen=True)
class Raced:
    """One recipe at its last look: `place` is that look's number; ends are NaN if unknown."""

    arm: int  # of the page; -1 if this page has no such recipe
    label: str
    seeds: int
    mean: float  # of an arm that the race names, less what that flatters it by
    adjusted: bool
    low: float
    high: float
    standing: str
    place: int
    behind: tuple[float, float] | None  # by how much the first is ahead of it


@dataclass(frozen=True)
class RaceOfStudy:
    """`arms`: best first. `state`: certain.json."""

    state: Mapping[str, Any]
    arms: Sequence[Raced]
    numbers: Sequence[int]  # of certain.json's arms on the page
    labels: Sequence[str]

    @property
    def looks(self) -> Sequence[Mapping[str, Any]]:
        return list(self.state["looks"])

    @property
    def between(self) -> bool:
        return self.state["asked"]["decide"] in ("best", "top")

    @property
    def adjusted(self) -> Sequence[float | None]:
        """Means of the recipes that the race names, less what that flatters them by; None for
        others, and before the end.
        """
        return list((self.state.get("adjusted") or {"means": [None] * len(self.labels)})["means"])

    @property
    def measure(self) -> str:
        return {
            "score": f"validation {self.state['metric']}",
            "solved": "share of solved seeds",
            "time": "share of the run until solved",
        }[self.state["asked"]["by"]]

    def named(self, standing: str) -> list[str]:
        return [one.label for one in self.arms if one.standing == standing]


def race_of(study: Study) -> RaceOfStudy | None:
    """The race in the study's folder; None without one, or before its first look."""
    found: RaceOfStudy | None = study.cached("race", lambda: _read(study))
    return found


def _read(study: Study) -> RaceOfStudy | None:
    try:
        state = read_race(study.store.folder)
    except StudyError:
        return None  # `status` names what is damaged
    if state is None or not state["looks"]:
        return None
    by_levels = {
        tuple(str(row[key]) for key in study.factors): (int(row["arm"]), str(row["label"]))
        for _, row in study.arms.iterrows()
    }
    numbers, labels = [], []
    for one in state["asked"]["arms"]:
        own = tuple(str(one.get(key)) for key in study.factors)
        arm, label = by_levels.get(own, (-1, levels(one)))
        numbers.append(arm)
        labels.append(label)
    looks = state["looks"]
    race = RaceOfStudy(state, made := [], numbers, labels)
    last, adjusted = looks[-1], race.adjusted
    for place, label in enumerate(labels):
        own_look = next(at for at in range(len(looks)) if looks[at]["n"][place] == last["n"][place])
        made.append(
            Raced(
                numbers[place],
                label,
                last["n"][place],
                _number(last["mean"][place] if adjusted[place] is None else adjusted[place]),
                adjusted[place] is not None,
                _number(last["low"][place]),
                _number(last["high"][place]),
                last["standing"][place],
                own_look,
                _behind(state.get("behind") or {}, place),
            )
        )
    sign = 1 if state["higher_is_better"] else -1
    order = {CHOSEN: 0, RACING: 1, OUT: 2} if state["asked"]["decide"] in ("best", "top") else {}
    made.sort(key=lambda one: (order.get(one.standing, 0), -one.seeds, -sign * one.mean))
    return race


def _behind(behind: Mapping[str, Any], place: int) -> tuple[float, float] | None:
    """The interval of the first recipe minus this one; None for itself and where it is unknown."""
    if not behind or behind["first"] == place:
        return None
    low, high = behind["low"][place], behind["high"][place]
    return None if low is None or high is None else (low, high)


def _number(value: float | None) -> float:
    return float("nan") if value is None else float(value)


def question_text(race: RaceOfStudy) -> str:
    """The question that was declared."""
    asked = race.state["asked"]
    delta = score_number(asked["delta"])
    return {
        "best": f"Which recipe has the best {race.measure}, to within {delta}?",
        "top": f"Which {asked['top']} recipes have the best {race.measure}, to within {delta}?",
        "contrasts": f"Which contrasts of {race.measure} differ from 0, or by less than {delta}?",
        "precision": f"What is the {race.measure} of every recipe, to ±{delta}?",
        "threshold": f"Which recipes reach a {race.measure} of"
        f" {score_number(abs(asked['threshold']))}?",
    }[asked["decide"]]


def end_text(race: RaceOfStudy) -> str:
    """How the race stands or ended, as the first sentence of the section."""
    state, seeds = race.state, race.looks[-1]["seeds"]
    answered = {
        "answered": f"Answered at {count(seeds, 'seed')}",
        "spent": f"Not answered with {count(seeds, 'seed')}, the most that were allowed",
        "out of reach": f"Not answered at {count(seeds, 'seed')}, and more would hardly help",
        "out of hours": f"Not answered in the hours that were allowed, at {count(seeds, 'seed')}",
        "running": f"Still running: the last look was at {count(seeds, 'seed')}",
    }[state["ended"]]
    if not race.between:
        decided = [one for one in race.looks[-1]["verdicts"] if one != "undecided"]
        return f"{answered}: {len(decided)} of {len(race.looks[-1]['verdicts'])} decided."
    parts, left, worse = [], race.named(RACING), len(race.named(OUT))
    if chosen := race.named(CHOSEN):
        parts.append(f"{_some(chosen)} {'is' if len(chosen) == 1 else 'are'} chosen")
    if left and chosen:
        delta = score_number(state["asked"]["delta"])
        parts.append(f"{_some(left)} may be better, by at most {delta}, or worse")
    elif left:
        parts.append(f"{_some(left)} cannot be told apart")
    parts.append(f"{count(worse, 'recipe')} {'is' if worse == 1 else 'are'} shown to be worse")
    return f"{answered}: {'; '.join(parts)}."


def why_text(race: RaceOfStudy) -> str:
    """Why more seeds would not help; "" if they might, or are not needed."""
    state, delta = race.state, race.state["asked"]["delta"]
    if state["ended"] not in ("out of reach", "spent"):
        return ""
    if (limit := state.get("limit") or 0.0) > delta:
        return (
            f" However many seeds, the {state['examples']:,} validation examples leave"
            f" ±{score_number(limit)} open between two recipes: more examples would help, or a"
            " larger difference that matters."
        )
    if state["ended"] == "spent":
        return ""
    return (
        f" With as many seeds as allowed, their spread would leave more than ±{score_number(delta)}"
        " open."
    )


def cost_text(race: RaceOfStudy) -> str:
    """Runs, and those of equal seeds for all recipes."""
    state = race.state
    text = f"The race trained {count(state['runs'], 'network')}."
    fixed = (state.get("simulated") or {}).get("fixed_seeds")
    if fixed:
        equal = fixed * len(race.labels)
        share = state["runs"] / equal
        text += (
            f" Equal seeds for all would take about {fixed} each, {equal:,} networks, to decide as"
            f" much: the race took {percent(share)} of them. That number is simulated, with means"
            " and spreads as found here."
        )
    return text


def chosen_text(study: Study) -> str:
    """The recipes that a race chose, for the first screen; "" without one that has ended."""
    race = race_of(study)
    chosen = [one for one in race.arms if one.standing == CHOSEN] if race is not None else []
    if race is None or not chosen or race.state["ended"] == "running":
        return ""
    means = [f"{one.label} ({plus_minus(one.mean, one.low, one.high)})" for one in chosen]
    return (
        f"A race by {race.measure} chose {_some(means)}: corrected for being the best of several,"
        " with an interval for all looks and recipes at once."
    )


def adjusted_text(race: RaceOfStudy) -> str:
    """By how much the mean of a named recipe was lowered; "" before the race's end."""
    found = race.state.get("adjusted")
    if not found:
        return ""
    named = [one.label for one in race.arms if one.adjusted]
    way = "lowered" if (found["by"] > 0) == race.state["higher_is_better"] else "raised"
    return (
        f"The best of several means is too good on average. That of {_some(named)} is therefore"
        f" {way} by {score_number(abs(found['by']))}, by which simulated races with such means are"
        " too good."
    )


def error_text(race: RaceOfStudy) -> str:
    """The error rate that was promised, and those that were simulated."""
    asked, simulated = race.state["asked"], race.state.get("simulated")
    looks = count(len(asked["looks"]), "planned look")
    looks = "looks, planned or not," if asked.get("method") == "anytime" else looks
    text = (
        f"Promised: at most {percent(asked['alpha'])} of such races decide anything wrongly,"
        f" over all {looks} and all recipes together."
    )
    if simulated:
        text += (
            f" Of {simulated['races']} simulated races with these means and spreads,"
            f" {percent(simulated['wrong'])} did; where all recipes are alike,"
            f" {percent(simulated['wrong_if_alike'])}."
        )
    return text


def _some(names: Sequence[str]) -> str:
    kept = list(names[:SHOWN])
    if len(names) > SHOWN:
        kept.append(f"{len(names) - SHOWN} more")
    return listing(kept)
