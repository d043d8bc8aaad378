"""What to run next: commands that would settle what a study leaves open."""

from __future__ import annotations

import math
import re
import shlex

import pandas as pd

from reports.analysis.arms import with_counted, with_interval
from reports.analysis.confirmation import confirmation
from reports.analysis.rates import rate_is_chosen, rate_words
from reports.analysis.recipe import leaders, recipes
from reports.analysis.rising import rising
from reports.analysis.typed import typed_settings
from reports.blocks import Step
from reports.data.study import MISSING, Study
from reports.data.test_set import weighted_noise
from reports.formatting import count, known
from study.design.power import MAX_SEEDS, floor_of_test_set, seeds_for
from study.store.privacy import private

SEEDS_TOO_MANY = 100  # per recipe, which few would train for one comparison


def next_steps(study: Study, arms: pd.DataFrame, points: pd.DataFrame) -> list[Step]:
    """The most urgent first; none for runs that were trained elsewhere."""
    if study.adopted:
        return []
    steps = [Step(_finish(study), made_by(study, "sweep"))]
    if not points.empty:
        steps += [
            Step(_longer(study), _twice_as_long(study)),
            Step(_tune(study, arms), made_by(study, "search")),
            Step(_confirm(study, arms), made_by(study, "confirm")),
            Step(_more_seeds(study)),
        ]
    return [step for step in steps if step.text]


def made_by(study: Study, target: str, **settings: object) -> str:
    """The make command of a target for this study: with what was typed when it was trained, so
    that it is this study and not its experiment as that stands. `settings` replace what was typed.
    """
    words = typed_settings(study)
    words |= {key: shlex.quote(f"{key}={value}") for key, value in settings.items()}
    name = str(study.record.get("experiment") or study.name)
    if words.get("name") == f"name={name}":
        del words["name"]
    command = f"make {target} STUDY={name}"
    if not words:
        return command
    text = re.sub(r'(["$`\\])', r"\\\1", private(" ".join(words.values())))
    return f'{command} ARGS="{text}"'


def _twice_as_long(study: Study) -> str:
    """The study again with twice the updates, under a name of its own."""
    updates = set(study.stored["updates"].dropna().astype(int))
    if len(updates) != 1 or study.declaration.get("trainers"):
        return ""
    return made_by(study, "sweep", updates=2 * updates.pop(), name=f"{study.name}_longer")


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


def _sd(spread: float) -> str:
    return f"{spread:.2g}"


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
            f" as small as theirs on test takes about {need:,} per recipe to find (80 % power, one"
            f" test at .05, the spread over seeds of all recipes together: sd {_sd(spread)})."
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
