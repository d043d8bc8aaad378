"""What became of the gradients of a study, for the first screen."""

from __future__ import annotations

import pandas as pd

from reports.analysis.tallies import its, of_these, of_words, tally
from reports.data.study import Study
from reports.formatting import level


def carried_words(study: Study, judged: pd.DataFrame) -> str:
    """Networks that began without their gradient, by level; how many of these opened; and how many
    of those that ended without it solved their task. `judged`: points that have a verdict.
    """
    found = tally(judged)
    key = study.matrix_factors[0]
    by_level = {name: tally(judged[judged[key] == name]) for name in study.levels(key)}
    parts = [
        f"{level(key, name)} {own.began_without}"
        for name, own in by_level.items()
        if own.began_without
    ]
    where = f" ({', '.join(parts)})" if len(by_level) > 1 and parts else ""
    limit = fraction(study)
    networks = "the one network" if found.judged == 1 else ""
    networks = networks or f"{of_words(found.began_without, found.judged)} networks"
    if found.judged == 1 and not found.began_without:
        state = str(judged["state_init"].iloc[0])
        text = f"At initialization the gradient {back(study)} was {state} in the one network"
    elif not found.began_without:
        text = (
            f"At initialization at least {limit} of the gradient arrived {back(study)} in"
            f" {of_words(int(judged['state_init'].ne('undefined').sum()), found.judged)} networks"
        )
    else:
        text = (
            f"At initialization less than {limit} of the gradient arrived {back(study)} in"
            f" {networks}{where}"
        )
    if found.began_without:
        text += f"; {of_these(found.opened, found.began_without)} carried it at the end"
    if not found.without_carrying:
        return f"{text}."
    those = "one" if found.without_carrying == 1 else f"{found.without_carrying} networks"
    closed = found.without_carrying - (found.began_without - found.opened)
    with_it = f" ({closed} of which began with it)" if closed and found.began_without else ""
    return (
        f"{text}. Of the {those} that ended without carrying it{with_it},"
        f" {found.solved_without_carrying or 'none'} solved {its(study)} task at the end."
    )


def fraction(study: Study) -> str:
    """The share of the gradient one step back below which it is not carried: 1/100."""
    return f"1/{10 ** -float(study.health.get('fading', -2.0)):,.0f}"


def back(study: Study) -> str:
    """For example: 63 steps back."""
    states = study.table("states")
    lags = sorted({int(lag) for lag in states["lag"].dropna()}) if len(states) else []
    return f"{lags[0]} steps back" if len(lags) == 1 else "at the judged lag"
