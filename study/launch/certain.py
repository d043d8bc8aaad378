"""hydra/sweeper=certain: add seeds to a study where they decide, until its question is answered.

A race looks at planned numbers of seeds, and everything that it decides follows from the stored
points: whoever starts it again, after a kill or on another machine, finds it at its look.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from hydra.core.config_loader import ConfigLoader

from study.config.canonical import canonical
from study.config.compose import Combination, Sweep, compose_all, exclusion
from study.launch.arms import arm_of, fresh_seeds, stored_points
from study.launch.certain_words import after_look, end_words, expected_words, question_words
from study.launch.confirm import train_again
from study.launch.console import LaunchConsole, logged, open_log, print_line
from study.launch.describe import show
from study.launch.plan import Plan, make_plan
from study.launch.race import Race, race_of
from study.launch.run import INTERRUPTED, OK, SOME_FAILED, run
from study.racing.race import RUNNING, Look
from study.racing.simulated import Rehearsal, rehearse
from study.records import StudyError
from study.store import Store
from study.store.race import NAME, read_race, write_race

OUT_OF_HOURS = "out of hours"
RACES, SEED = 400, 2026  # simulated, before a race and after it
MORE = 1.5  # times the most seeds that a fixed design may take in a simulation


def certain(loader: ConfigLoader, config_name: str, sweep: Sweep, experiment: str | None) -> int:
    """Race the arms of a study; return the exit status, 0 as well if nothing could be decided.

    Raises StudyError before anything is trained.
    """
    command = Command(loader, config_name, sweep, experiment)
    plan = make_plan(compose_all(loader, config_name, sweep), sweep, experiment)
    race = race_of(plan)
    check_same_question(race)
    if plan.settings.plan_only:
        console = LaunchConsole()
        show(plan, console)
        for line in [question_words(race), expected_words(race, *_expected(race))]:
            print_line(console, line)
        return OK
    say(plan, question_words(race))
    if race.settings["holdout"] and read_race(plan.folder) is None:
        plan.folder.mkdir(parents=True, exist_ok=True)
        write_race(plan.folder, race.state([], stored_points(plan, Store(plan.folder), []), None))
    return Running(command, race, command.composed(race)).to_the_end()


@dataclass(frozen=True)
class Command:
    """What was typed, to be planned for other seeds of each arm."""

    loader: ConfigLoader
    config_name: str
    sweep: Sweep
    experiment: str | None

    def with_seeds(self, seeds: Sequence[int]) -> Sweep:
        return Sweep(
            {**self.sweep.factors, "seed": [str(seed) for seed in seeds]},
            [line for line in self.sweep.fixed if line.split("=")[0] != "seed"],
        )

    def composed(self, race: Race) -> list[tuple[int | None, Combination]]:
        """All combinations of all seeds, each with the number of its arm; None: excluded.

        Arms are numbered as `arms_of` numbers them: in the order of combinations.
        """
        sweep = self.with_seeds(race.seeds)
        seeds = list(sweep.factors).index("seed")
        levels = itertools.product(*(range(len(values)) for values in sweep.factors.values()))
        arms: dict[tuple[int, ...], int] = {}
        found: list[tuple[int | None, Combination]] = []
        combinations = compose_all(self.loader, self.config_name, sweep)
        for place, combination in zip(levels, combinations, strict=True):
            arm = None
            if exclusion(canonical(combination)) is None:
                arm = arms.setdefault((*place[:seeds], *place[seeds + 1 :]), len(arms))
            found.append((arm, combination))
        return found


@dataclass
class Running:
    """A race on its way: the looks so far, and the plan of their points."""

    command: Command
    race: Race
    combinations: Sequence[tuple[int | None, Combination]]
    looks: list[Look] = field(default_factory=list)
    n: np.ndarray = field(default_factory=lambda: np.zeros(0, int))  # seeds of each arm
    declared: bool = False  # whether study.json has the points of the last look

    def to_the_end(self) -> int:
        ended = None
        while not self.looks or self.looks[-1].ended == RUNNING:
            place, now = len(self.looks), self.looks[-1] if self.looks else None
            n = self.race.wanted(now, self.n, place)
            plan = self.plan(n)
            status = OK
            self.declared = not plan.missing and self.declared
            if plan.missing:
                if now is not None and self._too_long(plan):
                    ended = OUT_OF_HOURS
                    break
                status = run(plan)
                self.declared = True
                if status == INTERRUPTED:
                    return status
            if left := self._left(plan):
                say(
                    plan,
                    f"the look at {self.race.question.looks[place]} seeds waits for {left} points"
                    " without a result; the same command goes on",
                )
                return status or SOME_FAILED
            self.n = n
            self._look(plan, place)
        if not self.declared:  # a launch of the study alone has declared fewer points since
            status = run(self._last_plan())
            if status == INTERRUPTED:
                return status
        return self._finish(ended)

    def _last_plan(self) -> Plan:
        return self.plan(self.n)

    def plan(self, n: np.ndarray) -> Plan:
        """The plan in which each arm has its first `n` [arms] seeds."""
        order = {seed: place for place, seed in enumerate(self.race.seeds)}
        own = [
            one
            for arm, one in self.combinations
            if order[one.config["seed"]] < (n.max() if arm is None else n[arm])
        ]
        seeds = self.race.seeds[: int(n.max())]
        return make_plan(own, self.command.with_seeds(seeds), self.command.experiment)

    def _look(self, plan: Plan, place: int) -> None:
        points = stored_points(plan, Store(plan.folder), plan.points)
        values = self.race.values(points)
        before = self.looks[-1] if self.looks else None
        self.looks.append(self.race.look(before, values, self.n, place))
        if (plan.folder / "study.json").exists():
            write_race(plan.folder, self.race.state(self.looks, points, None))
        say(plan, after_look(self.race, before, self.looks[-1], place))

    def _too_long(self, plan: Plan) -> bool:
        """Whether the missing points would take the race past study.certain.max_hours."""
        most = self.race.settings["max_hours"]
        points = stored_points(plan, Store(plan.folder), plan.points)
        seconds = points.groupby("arm")["seconds"].mean()
        missing = {point.id for point in plan.missing}
        arms = {arm: number for number, arm in enumerate(self.race.arms)}
        more = sum(
            float(seconds.get(arms[arm_of(point.labels, self.race.plan)], 0.0))
            for point in plan.points
            if point.id in missing
        )
        return most is not None and float(points["seconds"].sum()) + more > 3600 * most

    def _left(self, plan: Plan) -> int:
        store = Store(plan.folder)
        return sum(store.status(point.id) in (None, "failed") for point in plan.points)

    def _finish(self, ended: str | None) -> int:
        plan, race, last = self._last_plan(), self.race, self.looks[-1]
        store = Store(plan.folder)
        points = stored_points(plan, store, plan.points)
        state = race.state(self.looks, points, ended)
        state["simulated"] = _simulated(race, last)
        if race.question.between:
            state["adjusted"] = race.adjusted(self.looks)
            state["behind"] = race.behind(self.looks, race.values(points))
        write_race(plan.folder, state)
        if race.settings["holdout"] and plan.settings.trackers:
            run(plan)  # sends what waited for the end
        for line in end_words(race, state):
            say(plan, line)
        if race.settings["confirm"] and race.question.between and ended is None:
            return self._confirm(plan, store)
        return OK

    def _confirm(self, plan: Plan, store: Store) -> int:
        """Train the first arms again on seeds that had no part in the race."""
        last, settings = self.looks[-1], plan.settings.study.confirm
        rank = np.choose(last.standing, [1, 2, 0])  # RACING, OUT, CHOSEN
        order = np.lexsort((-last.arms.mean, rank))
        count = max(settings.arms, self.race.question.top)
        # Seeds that a race with more hours would still use are not fresh.
        reserved = replace(
            plan, points=[*plan.points, *(replace(plan.points[0], seed=s) for s in self.race.seeds)]
        )
        of = self.command
        return train_again(
            *(of.loader, of.config_name, of.sweep, of.experiment, plan),
            [self.race.arms[arm] for arm in order[:count]],
            fresh_seeds(store, reserved, settings.seeds),
        )


def check_same_question(race: Race) -> None:
    """Raise StudyError if the study's race began with another question."""
    before = read_race(race.plan.folder)
    if before is None:
        return
    asked, then = race.asked, before.get("asked", {})
    free = ("looks", "seeds", "spending", "dropping") if race.question.anytime else ()
    differ = [key for key in asked if key not in free and asked[key] != then.get(key)]
    if differ:
        key = differ[0]
        raise StudyError(
            f"{race.plan.folder}: its race began with another question ({key}: {then.get(key)}, now"
            f" {asked[key]}), and another question about the same seeds would not keep its promised"
            f" error rate. Ask as before, give the study another name, or remove {NAME} there"
        )


def _expected(race: Race) -> tuple[Rehearsal | None, float | None]:
    """A rehearsal with the stored means and spreads, and seconds a network; None without two seeds
    of every arm.
    """
    plan = race.plan
    store = Store(plan.folder)
    points = stored_points(plan, store, plan.points)
    values = race.values(points)
    pilot = np.isfinite(values).sum(1)
    if (pilot < 2).any():
        return None, None
    seconds = float(points["seconds"].astype(float).mean())
    means, spread = np.nanmean(values, 1), np.nanstd(values, 1, ddof=1)
    return _rehearse(race, means, spread, race.noise(values)), seconds


def _rehearse(race: Race, means: np.ndarray, spread: np.ndarray, noise: np.ndarray) -> Rehearsal:
    most = int(MORE * race.question.looks[-1])
    return rehearse(race.question, means, spread, noise, races=RACES, seed=SEED, most=most)


def _simulated(race: Race, last: Look) -> dict[str, Any]:
    """What simulated races with this race's means and spreads do; and with all arms alike."""
    means, spread = last.arms.mean, np.sqrt(np.nan_to_num(last.arms.variance))
    noise = np.asarray(last.arms.noise)
    here = _rehearse(race, means, spread, noise)
    alike = _rehearse(race, np.full(len(means), float(np.mean(means))), spread, noise)
    return {
        "races": RACES,
        "wrong": here.wrong,
        "wrong_if_alike": alike.wrong,
        "runs": float(np.median(here.runs)),
        "fixed_seeds": here.fixed,
    }


def say(plan: Plan, line: str) -> None:
    """Print a line, and add it to the study's log if there is one."""
    console = LaunchConsole()
    with logged(console):
        if (plan.folder / "study.json").exists():
            open_log(console, plan.folder)
        print_line(console, line)
