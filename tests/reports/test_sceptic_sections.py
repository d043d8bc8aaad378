"""Sentences of single sections that a sceptical reader found false: which probes they rest on, what
they pool, what they leave out, and what they call cheap, saturated or sure.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest

from reports.analysis.costs import with_cost
from reports.analysis.margins import close_ends
from reports.analysis.openings import openings
from reports.analysis.tallies import tally
from reports.data.profiles import transport, transport_at_the_end
from reports.data.study import Study
from reports.documents.sections import build, declared_sections
from reports.statistics.survival import trained_updates
from study.health.end_state import LAST
from study.records import NETWORK
from tests.reports.known import known_study
from tests.reports.page_text import words
from tests.reports.synthetic import TASK

AT = (0, 12, 40, 120, 240, 320, 400)  # probes of a run of 400 updates
K = 60
TASKS = ("digits", "adding")
PROFILE = ["id", "probe", "stage", "update", "layer", "state", "lag", "log10_mean"]
PROFILE += ["n", "n_zero", "n_nonfinite"]
RATES = {"clip": ["none", "norm"], "optimizer.lr": [0.01, 0.05]}


def text_of(name: str, study: Study) -> str:
    (section,) = [build(one) for one in declared_sections() if one.name == name]
    return " ".join(words(section.render(study).blocks))


def states(
    D: Mapping[str, Sequence[float]],
    horizon: Mapping[str, Sequence[float]] | None = None,
    at: Mapping[str, Sequence[int]] | None = None,
    lag: Mapping[str, int] | None = None,
) -> pd.DataFrame:
    """The table of states of networks, by point id."""
    rows = []
    for id, values in D.items():
        far = (horizon or {}).get(id, [63 if one >= -2 else 5 for one in values])
        updates = (at or {}).get(id, AT[: len(values)])
        for stage, (value, reached, update) in enumerate(zip(values, far, updates, strict=True)):
            rows.append(
                {
                    "id": id,
                    "stage": stage,
                    "update": update,
                    "layer": NETWORK,
                    "lag": (lag or {}).get(id, K),
                    "D": value,
                    "U": 0.1,
                    "state": state(value),
                    "margin": min(abs(value + 2), abs(value + 4)),
                    "horizon": reached,
                }
            )
    return pd.DataFrame(rows)


def state(D: float) -> str:
    return "carrying" if D >= -2 else "fading" if D >= -4 else "vanishing"


def judged(D: Sequence[float]) -> dict[str, Any]:
    """Columns of a point whose network had these D at its probes."""
    end = float(np.median(D[-LAST:]))
    opens = end >= -2 > D[0]
    return {
        "D_init": D[0],
        "D": end,
        "horizon_init": 63.0,
        "state_init": state(D[0]),
        "state": state(end),
        "verdict": "opens" if opens else "carries" if end >= -2 else "closes",
        "judged_from": 240,
        "opened_at": opening(D) if opens else math.nan,
    }


def opening(D: Sequence[float]) -> float:
    """The first probe from which all carry."""
    return float(AT[1 + max(number for number, one in enumerate(D) if one < -2)])


def with_states(D: Sequence[Sequence[float]], **tables: pd.DataFrame) -> Study:
    """One arm, whose seeds had these D at their probes."""
    of = {f"{number:016x}": one for number, one in enumerate(D)}
    return known_study(
        {"cell": ["gru"]},
        lambda labels, seed, rng: {"score": 0.5, **judged(D[seed])},
        seeds=len(D),
        tables={"states": states(of), **tables},
    )


CARRIES = [-0.5] * 7
AT_LAST = [-0.5] * 6 + [-6.0]  # carries by the median of the last three, and not at the last one
CLOSES = [-0.5] * 4 + [-6.0] * 3


def test_credit_is_counted_over_the_probes_of_the_verdict() -> None:
    study = with_states([CARRIES, AT_LAST, AT_LAST, CLOSES])
    assert tally(study.stored).without_carrying == 1
    said = text_of("states", study)
    assert re.search(
        r"The gradient is lost [^.]* in none of 4 networks [^.]* and in 1 at the end\.", said
    )
    assert "2 networks are of another class at the very last probe than the median" in said
    assert "2 networks are of another class at the very last probe" in close_ends(study)


def test_what_has_no_horizon_is_not_counted_as_reaching_far() -> None:
    horizon = {f"{number:016x}": [20.0] * 4 + [math.nan] * 3 for number in (2, 3)}
    D = [CARRIES, CLOSES, CLOSES, CLOSES]
    of = {f"{number:016x}": one for number, one in enumerate(D)}
    study = with_states(D, states=states(of, horizon))
    said = text_of("states", study)
    assert "and in 1 of 2 at the end. Without a horizon: 2 at the end" in said


def losses(by_point: Mapping[str, Mapping[int, float]]) -> pd.DataFrame:
    rows = [
        {"id": id, "update": update, "val_loss": loss, "loss": loss}
        for id, found in by_point.items()
        for update, loss in found.items()
    ]
    return pd.DataFrame(rows)


def test_no_loss_is_read_between_validations() -> None:
    """Validated at 0 (untrained) and 50 only, a loss at 12 is not known."""
    opened = [-6.0, *[-0.5] * 6]
    base = TASK["baseline_loss"]
    untrained = {update: (2 if update == 0 else 1.0) * base for update in (0, 50, 100, 150)}
    fallen = {**untrained, 50: 0.9 * base}
    early = {0: 0.7 * base, 50: 0.5 * base}
    ids = [f"{number:016x}" for number in range(3)]
    history = losses(dict(zip(ids, (untrained, fallen, early), strict=True)))
    study = with_states([opened] * 3, history=history)
    found = openings(study)
    assert found["order"].to_dict() == dict(zip(ids, ("before", "unknown", "after"), strict=True))
    assert (found["since"] == 0).all() and (found["by"] == 12).all()
    said = text_of("opening_maps", with_profile(study))
    assert "% of the baseline (median)" not in said and "often the way opens" not in said
    assert "They opened between updates 0 and 12: 1 before the validation loss had fallen" in said
    assert "1 with probes and validations too far apart to tell" in said


def with_profile(study: Study) -> Study:
    """The same study with transport that falls by .1 decades a step."""
    found = study.table("states")[["id", "stage", "update", "lag"]].drop_duplicates()
    rows = []
    for row in found.itertuples(index=False):
        for lag in range(int(row.lag) + 1):
            values = (row.id, "transport", row.stage, row.update, NETWORK, "s", lag, -0.1 * lag)
            rows.append((*values, 8, 0, 0))
    profile = pd.DataFrame(rows, columns=PROFILE)
    study._tables["profile"] = study.with_factors(profile.assign(log10_p10=0.0, log10_p90=0.0))
    return study


def two_tasks() -> Study:
    """Two tasks of other lags and lengths; on either one of three networks opens."""
    D = [[-6.0, *[-0.5] * 6], CARRIES, CARRIES]
    at = {"digits": AT, "adding": tuple(2 * update for update in AT)}
    lag = {"digits": 63, "adding": 59}
    tasks = ["digits", "adding"]
    ids = {
        f"{3 * number + seed:016x}": (task, seed)
        for number, task in enumerate(tasks)
        for seed in range(3)
    }

    def point(labels: Mapping[str, Any], seed: int, rng: Any) -> dict[str, Any]:
        twice = 2 if labels["task"] == "adding" else 1
        found = judged(D[seed])
        updates = {"updates": 400.0 * twice, "updates_done": 400.0 * twice}
        return {"score": 0.5, **found, "opened_at": found["opened_at"] * twice, **updates}

    made = states(
        {id: D[seed] for id, (_, seed) in ids.items()},
        at={id: at[task] for id, (task, _) in ids.items()},
        lag={id: lag[task] for id, (task, _) in ids.items()},
    )
    flat = dict.fromkeys(range(0, 400, 50), TASK["baseline_loss"])
    history = losses(dict.fromkeys(ids, flat))
    study = known_study(
        {"task": tasks}, point, seeds=3, tables={"states": made, "history": history}
    )
    return with_profile(study)


def test_openings_are_told_by_task_between_probes() -> None:
    said = text_of("opening_maps", two_tasks())
    assert "2 of 6 networks begin vanishing or fading" in said
    assert "On digits one opened between updates 0 and 12: 1 before" in said
    assert "On adding one opened between updates 0 and 24: 1 before" in said


def test_every_arm_has_its_transport_at_its_own_judged_lag() -> None:
    said = text_of("opening_maps", two_tasks())
    digits, adding = (re.search(rf"{task} \| (\d+) \| ([^|]+)", said) for task in TASKS)
    assert digits and digits.groups() == ("63", "−6.2 ")
    assert adding and adding.groups() == ("59", "−5.8 ")
    assert "3 % of updates" in said, "updates of runs of other lengths are not the same columns"


def test_networks_whose_end_is_undefined_begin_like_others() -> None:
    def point(labels: Mapping[str, Any], seed: int, rng: Any) -> dict[str, Any]:
        if seed:
            return {"score": 0.5, **judged(CARRIES)}
        lost = {"D": math.nan, "U": math.nan, "state": "undefined", "verdict": "mixed"}
        return {"score": 0.5, **judged([-6.0] * 7), **lost}

    tables = {"states": states({f"{number:016x}": CARRIES for number in range(3)})}
    study = known_study({"cell": ["gru"]}, point, seeds=3, tables=tables)
    assert "1 of 3 networks begins vanishing or fading" in text_of(
        "opening_maps", with_profile(study)
    )
    assert re.search("(back|lag) in 1 of 3 networks", text_of("summary", study))


def test_a_median_of_networks_that_differ_does_not_stand_alone() -> None:
    """Six carry and three do not: the median is that of the six."""
    ends = {f"{number:016x}": -1.4 if number < 6 else -40.0 * number for number in range(9)}
    rows = [
        (id, "loss", stage, 400 * stage, "1", "h", lag, stage * end * lag / K, 8, 0, 0)
        for id, end in ends.items()
        for stage in (0, 1)
        for lag in range(K + 1)
    ]
    profile = pd.DataFrame(rows, columns=PROFILE).assign(log10_p10=0.0, log10_p90=0.0)
    factors = {"clip": ["none", "norm", "value"]}
    tables = {"profile": profile, "states": states(dict.fromkeys(ends, CARRIES))}
    study = known_study(factors, lambda *_: {"score": 0.5}, seeds=3, tables=tables)
    said = text_of("gradient_flow", study)
    assert "value" in said and "[−320.0, −240.0]" in said
    pooled = known_study(
        {"cell": ["rnn"], "initializer": ["orthogonal"], **factors},
        lambda *_: {"score": 0.5},
        seeds=3,
        tables=tables,
    )
    assert "−320.0" in text_of("gradient_flow", pooled).split("One line")[0].split("Band")[0]


def seconds_by_group(labels: Mapping[str, Any], seed: int, rng: Any) -> dict[str, Any]:
    """Shares of groups, which hold networks of several arms; unclipped networks lose a seed."""
    unclipped = labels["clip"] == "none"
    lost = unclipped and seed == 0 and labels["optimizer.lr"] == 0.01
    found = {"score": 0.93 - 0.2 * unclipped + 0.001 * seed, "D": -1.0 + 0.2 * unclipped}
    found |= {"seconds": 0.78 if unclipped else 0.85 + 0.1 * (seed > 2)}
    return found | ({"outcome": "silently diverged", "ends_solved": False} if lost else {})


def test_networks_that_do_the_same_arithmetic_cost_the_same() -> None:
    study = known_study(RATES, seconds_by_group)
    costs = with_cost(study, study.stored)["cost"]
    assert costs.nunique() == 1 and costs.sum() == pytest.approx(study.stored["seconds"].sum())
    said = text_of("pareto", study)
    assert "no recipe is shown to be cheaper" in said and "the cheapest" not in said
    assert re.search(r"clip none · learning rate 0\.01 \(1 of 5 seeds lost\)", said)
    assert "every network |" in text_of("cost", study)


def test_a_run_that_ended_early_costs_the_updates_it_made() -> None:
    def point(labels: Mapping[str, Any], seed: int, rng: Any) -> dict[str, Any]:
        early = labels["clip"] == "norm"
        done = {"updates_done": 100.0, "ended_early": "solved", "judged_from": 100} if early else {}
        return {"score": 0.95 - 0.02 * early + 0.001 * seed, "seconds": 3.0 - early, **done}

    study = known_study({**RATES, "cell": ["rnn", "lstm"]}, point)
    points = with_cost(study, study.stored)
    per_update = points["cost"] / trained_updates(points)
    assert per_update.groupby(points["cell"]).agg(np.ptp).max() == pytest.approx(0)
    assert re.search(r"of the \d cheapest the best \([^)]*clip norm", text_of("pareto", study))


def test_what_learned_nothing_is_on_no_front() -> None:
    def point(labels: Mapping[str, Any], seed: int, rng: Any) -> dict[str, Any]:
        if labels["cell"] == "lstm":
            return {"score": 0.93 + 0.01 * rng.random()}
        return {"score": 0.1, "val_score": 0.12, "outcome": "stuck", "D": 0.0, "seconds": 0.1}

    study = known_study({"cell": ["rnn", "lstm"], "initializer": ["orthogonal", "normal"]}, point)
    said = text_of("pareto", study)
    assert "rnn" not in said and "2 recipes learned nothing on validation and are left out" in said


@pytest.mark.parametrize(
    ("cell", "saturates"),
    [
        ({"_target_": "study.cells.linear.Linear"}, False),
        ({"_target_": "study.cells.rnn.RNN", "nonlinearity": "relu"}, False),
        ({"_target_": "study.cells.rnn.RNN", "nonlinearity": "tanh"}, True),
        ({"_target_": "study.cells.lstm.LSTM"}, True),
    ],
)
def test_only_what_squashes_saturates(
    cell: Mapping[str, Any], saturates: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [
        (f"{number:016x}", "recurrence", quantity, stage, 400 * stage, 1, 0.5 * stage + 0.07)
        for number in range(3)
        for stage in (0, 1)
        for quantity in ("saturation", "spectral_radius")
    ]
    names = ["id", "probe", "quantity", "stage", "update", "layer", "value"]
    tables = {"measures": pd.DataFrame(rows, columns=names)}
    study = known_study({"cell": ["rnn"]}, lambda *_: {"score": 0.5}, seeds=3, tables=tables)
    monkeypatch.setattr(study.store, "config", lambda id: {"cell": cell})
    said = text_of("dynamics", study)
    assert "radius of W_h" in said and ("saturated" in said) == saturates


def test_start_margins_count_and_shared_initial_networks_are_one() -> None:
    """One initial network of four arms starts close to a limit, and all that opened are it."""
    D = {0: [-2.05, *[-0.5] * 6], 1: CARRIES}
    made = {f"{2 * arm + seed:016x}": D[seed] for arm in range(4) for seed in (0, 1)}
    study = known_study(
        RATES,
        lambda labels, seed, rng: {"score": 0.5, **judged(D[seed])},
        seeds=2,
        tables={"states": states(made)},
    )
    assert close_ends(study) == (
        "4 of 8 networks (1 initial network) start less than half a power of ten from another"
        " class: there"
        " the verdict depends on where the limit lies. All 4 that opened (1 initial network) start"
        " as close as that."
    )
    assert "1 initial network" in text_of("summary", study)


def test_two_or_three_arms_have_no_interval_of_time() -> None:
    def point(labels: Mapping[str, Any], seed: int, rng: Any) -> dict[str, Any]:
        at = {0.01: 50.0, 0.05: 350.0}[labels["optimizer.lr"]] + 10 * seed
        return {"score": 0.95, "solved_at": at}

    said = text_of("time_to_solve", known_study(RATES, point))
    assert "clip norm 10 of 10, mean time 220, 70 to 370 over 2 recipes" in said
    assert not re.search(r"\[0, |, 400\]", said)
    few = text_of("time_to_solve", known_study(RATES, point, seeds=3))
    assert re.search(r"learning rate 0\.01 \| 3/3 [^|]* \| 60 \| 60, 50 to 70 \|", few)


def test_times_of_levels_that_were_trained_on_other_tasks_are_not_pooled() -> None:
    """lstm was trained on the easy task alone, and is no faster for it."""

    def point(labels: Mapping[str, Any], seed: int, rng: Any) -> dict[str, Any]:
        easy = labels["task"] == "digits"
        return {"score": 0.95 if easy else 0.5, "solved_at": 100.0 + seed if easy else math.nan}

    study = known_study(
        {"task": list(TASKS), "cell": ["rnn", "lstm"]},
        point,
        excluded=lambda labels: labels == {"task": "adding", "cell": "lstm"},
    )
    said = text_of("time_to_solve", study)
    assert "On digits: rnn 5 of 5, mean time 102" in said and "On adding: rnn none of 5." in said
    assert "5 of 10" not in said


def test_the_last_probe_is_that_of_every_seed_not_of_the_latest() -> None:
    """Five seeds end early and carry; the one that goes on longest does not."""
    rows = []
    for seed in range(6):
        ends = 400 if seed == 5 else 100
        for update in range(0, ends + 1, 100):
            for lag in (1, 2):
                value = -8.0 if (seed == 5 and lag == 2) else 0.0
                rows.append((f"p{seed}", seed, update, update / 400, lag, value))
    names = ["id", "seed", "update", "stage", "lag", "log10_mean"]
    profile = pd.DataFrame(rows, columns=names).assign(
        arm=0, probe="transport", layer="network", n=10, n_zero=0, n_nonfinite=0
    )
    at = transport_at_the_end(profile).set_index("lag")
    assert at.loc[2, "value"] == 0.0 and at.loc[2, "points"] == 6
    latest = transport(profile)
    assert latest.loc[latest["lag"] == 2, "value"].iloc[-1] == -8.0
