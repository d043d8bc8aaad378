"""What to run next: commands that would settle what a study leaves open."""

from __future__ import annotations

import math

import pandas as pd

from reports.analysis.arms import with_counted, with_interval
from reports.analysis.confirmation import confirmation
from reports.analysis.rates import rate_is_chosen, rate_words
from reports.analysis.recipe import leaders, recipes
from reports.analysis.rising import rising
from reports.blocks import Step
from reports.data.study import MISSING, Study
from reports.data.test_set import weighted_noise
from reports.formatting import count, known
from study.design.power import MAX_SEEDS, floor_of_test_set, seeds_for

SEEDS_TOO_MANY = 100  # per recipe, which few would train for one comparison


def next_steps(study: Study, arms: pd.DataFrame, points: pd.DataFrame) -> list[Step]:
    """The most urgent first; none for runs that were trained elsewhere."""
    if study.adopted:
        return []
    name = experiment(study)
    steps = [Step(_finish(study), f"make sweep STUDY={name}")]
    if not points.empty:
        steps += [
            Step(_longer(study)),
            Step(_tune(study, arms), f"make search STUDY={name}"),
            Step(_confirm(study, arms), f"make confirm STUDY={name}"),
            Step(_more_seeds(study)),
        ]
    return [step for step in steps if step.text]


def experiment(study: Study) -> str:
    """The name that `make` takes as STUDY."""
    return str(study.record.get("experiment") or study.name)


def _finish(study: Study) -> str:
    missing = int(study.grid["status"].isin([MISSING, "failed"]).sum())
    if not missing:
        return ""
    return (
        f"Finish the study: {count(missing, 'network')} {'is' if missing == 1 else 'are'} missing"
        " or failed."
    )


def _longer(study: Study) -> str:
    found = rising(study)
    if not found.shown:
        return ""
    return (
        f"Train longer: {found.still} of {count(found.judged, 'network')} were still getting better"
        f" over their last validations (by {with_interval(found.gain, 3)} on average over all), so"
        " that the order may change."
    )


def _tune(study: Study, arms: pd.DataFrame) -> str:
    """That the rate was not tuned, with the command that does."""
    rates = rate_words(study)
    unread = not rates and bool(study.declaration.get("trainers"))
    if len(arms) < 2 or rate_is_chosen(study) or unread:
        return ""
    several = "optimizer" in study.factors and rates
    same = (
        f"Tune the learning rate: it is the same for every recipe of an optimizer ({rates}), and"
        " recipes and optimizers were compared at these rates alone"
        if several
        else "Tune the learning rate: it is the same for every recipe"
        f"{f' ({rates})' if rates else ''}, and recipes were compared at this rate alone"
    )
    return f"{same}; tuning may change more than anything above."


def _confirm(study: Study, arms: pd.DataFrame) -> str:
    if len(arms) < 2 or confirmation(study) is not None or not leaders(study):
        return ""
    several = len(leaders(study)) > 1
    first = "the recommended recipes were" if several else "the recommended recipe was"
    scores = "their scores are" if several else "its score is"
    return (
        f"Confirm: {first} chosen on these seeds, so {scores} optimistic; fresh seeds show by how"
        " much."
    )


def _more_seeds(study: Study) -> str:
    """How many seeds would tell the first arm and the runner-up apart, if that is open."""
    every = recipes(study)
    if len(every) != 1:
        return ""
    ((_, found),) = every
    if not found.learned or not found.close or found.order[1] not in found.close:
        return ""
    points = with_counted(study)
    by_arm = points.groupby("arm")["counted"]
    spread = math.sqrt(float((by_arm.std(ddof=1).dropna() ** 2).mean()))
    first, second = found.order[:2]
    apart = abs(float(by_arm.mean()[first] - by_arm.mean()[second]))
    if not known(spread) or not spread > 0 or not apart > 0:
        return ""
    floor = floor_of_test_set(weighted_noise(study, {first: 1.0, second: -1.0}))
    floor = floor if known(floor) else 0.0
    need = seeds_for(apart / spread, [1.0, -1.0], 2, floor / spread)
    if need and need > SEEDS_TOO_MANY:
        return (
            "More seeds would hardly tell the recommended recipe from the runner-up: a difference"
            f" as small as theirs takes about {need:,} per recipe to find (80 % power, one test at"
            " .05)."
        )
    if need:
        return (
            f"More seeds: with about {need:,} per recipe, a difference as large as the one measured"
            " between the recommended recipe and the runner-up would be found (80 % power, one"
            " test at .05)."
        )
    if apart <= floor:
        return (
            "More test examples: the recommended recipe and the runner-up differ by less than this"
            " test set resolves, however many seeds there are."
        )
    return (
        f"More seeds: it would take over {MAX_SEEDS:,} per recipe to find a difference as small as"
        " the one between the recommended recipe and the runner-up."
    )
