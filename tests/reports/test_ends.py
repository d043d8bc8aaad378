"""Ends of training: verdicts rest on probes of the end, and scores of different ends are told."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from reports.analysis.ends import different_stopping_points, judged_by
from reports.blocks import Prose
from reports.data.judged_again import as_judged
from reports.data.profiles import losses, transport
from reports.data.study import Study
from reports.documents.page import write
from reports.figures.gradient_flow import _stage_words
from reports.sections.states import States
from study.health.verdicts import verdict
from study.store import PointRecord, Store
from tests.reports import synthetic
from tests.reports.page_text import read_page

UPDATES = 1000


def class_of(D: float) -> str:
    return "carrying" if D >= -2 else "fading" if D >= -4 else "vanishing"


def stored(
    folder: Path,
    points: Sequence[Mapping[str, Any]],
    *,
    stages: Sequence[float] = synthetic.HEALTH["stages"],
    tables: Sequence[str] = ("history", "states", "layers", "test"),
    layers: Sequence[str] = ("network",),
) -> Study:
    """A study of LSTMs, one seed per point, as an earlier version stored it.

    Each of `points`: `D` {update: D of the network}, of which the median of the last three was the
    end, and further columns of its row.
    """
    store = synthetic.make(
        folder, factors={"cell": ["lstm"]}, seeds=range(len(points)), updates=UPDATES, tables=tables
    )
    record = store.study()
    record["declaration"]["health"] = {**synthetic.HEALTH, "stages": list(stages)}
    (store.folder / "study.json").write_text(json.dumps(record))
    for number, point in enumerate(points):
        write_point(store, f"{number:016x}", dict(point), tables, layers)
    return Study(Store(folder))


def write_point(
    store: Store, id: str, point: dict[str, Any], tables: Sequence[str], layers: Sequence[str]
) -> None:
    D, result = point.pop("D"), store.result(id)
    states = [class_of(one) for one in D.values()]
    end = float(np.median(list(D.values())[-3:]))
    row = {**result["row"], "status": "done", "outcome": "solved", "baseline_loss": 1.0}
    row |= {"state_init": states[0], "state": class_of(end), "D": end, "U": 0.3}
    row |= {"verdict": verdict(states[0], class_of(end)), "opened_at": None, "opened_loss": None}
    row |= {"updates": UPDATES, "updates_done": max(D), "ended_early": None, **point}
    of_states = synthetic._states([*D], [*D.values()], states, 64)
    many = {
        name: [one for layer in layers for one in (values if name != "layer" else [layer] * len(D))]
        for name, values in of_states.items()
    }
    updates = range(max(D) + 1)
    history: dict[str, Any] = {"update": [*updates], "loss": [1.0] * len(updates)}
    history |= dict.fromkeys(("grad_norm", "clip_scale", "clip_cosine"), history["loss"])
    history["val_loss"] = [1 - at / UPDATES if at % 50 == 0 else None for at in updates]
    history["val_score"] = [0.95 if at == max(D) else None for at in updates]
    made = {
        "history": history,
        "states": many,
        "layers": {
            name: values * len(layers) if name != "layer" else [*layers]
            for name, values in synthetic._layers([], [], row).items()
        },
        "test": {"example": [0, 1], "value": [1.0, 0.9]},
    }
    store.write(
        PointRecord(
            id=id,
            row=row,
            labels=result["labels"],
            config="cell: x\n",
            overrides=[],
            provenance=result["provenance"],
            tables={name: made[name] for name in tables},
        )
    )


def texts(study: Study) -> str:
    blocks = States(apart=1.0).render(study).blocks
    return " ".join(block.text for block in blocks if isinstance(block, Prose))


SHUT_THEN_OPEN = {0: -0.5, 10: -6.0, 100: -8.0, 300: -5.0, 500: -0.6}  # carries at its end
FULL = {0: -6.0, 300: -5.0, 600: -5.5, 800: -5.0, 1000: -4.5}


def test_what_an_earlier_version_ended_early_is_judged_by_its_one_probe_at_the_end(
    tmp_path: Path,
) -> None:
    opening = {**SHUT_THEN_OPEN, 0: -6.0}
    study = stored(
        tmp_path / "old",
        [
            {"D": SHUT_THEN_OPEN, "ended_early": "solved"},
            {"D": opening, "ended_early": "solved"},
            {"D": FULL},
        ],
        layers=("1", "network"),
    )
    kept = study.store.points().set_index("id")
    assert kept["verdict"].tolist() == ["closes", "shut", "shut"], "or this tests nothing"
    grid = study.grid
    assert grid["verdict"].tolist() == ["carries", "opens", "shut"]
    assert grid["state"].tolist() == ["carrying", "carrying", "vanishing"]
    assert grid["D"].tolist() == [-0.6, -0.6, -5.0]
    assert grid["judged_from"].tolist()[:2] == [500, 500]
    assert grid["judged_probes"].tolist()[:2] == [1, 1]
    assert grid["opened_at"].tolist()[1] == 500
    assert grid["opened_loss"].tolist()[1] == pytest.approx(0.5)
    layers = study.table("layers")
    assert len(layers) == 6
    again = layers[layers["id"].isin(grid["id"][:2])]
    assert set(again["D"]) == {-0.6} and set(again["D_low"].round(9)) == {-0.8}
    assert sorted(set(again["verdict"])) == ["carries", "opens"]
    assert set(again["layer"]) == {"1", "network"}
    assert study.store.points()["verdict"].tolist() == ["closes", "shut", "shut"], "as stored"
    for point in grid.to_dict("records"):  # the model card of an export
        row = as_judged(study.store, study.store.result(point["id"])["row"], study.health)
        for name in ("verdict", "state", "D"):
            assert row[name] == point[name]
    told = texts(study)
    assert (
        "End states are medians over the last probes: of the network that made all"
        " updates, the last 3, at 60, 80 and 100 % of the updates; of the 2 networks that ended"
        " early as solved, the last one, at their end." in told
    )
    assert "The version that stored 2 networks also counted probes from before the end" in told


def test_stages_of_before_the_end_are_no_end_in_old_stores_either(tmp_path: Path) -> None:
    study = stored(
        tmp_path / "few",
        [{"D": {0: -6.0, 500: -5.0, 1000: -0.5}}, {"D": {0: -0.5, 500: -0.5, 1000: -6.0}}],
        stages=[0, 0.5, 1],
    )
    assert study.store.points()["verdict"].tolist() == ["shut", "carries"]
    assert study.grid["verdict"].tolist() == ["opens", "closes"]
    assert study.grid["D"].tolist() == [-0.5, -6.0]
    assert "the last one, at 100 % of the updates" in texts(study)


def test_without_probes_or_limits_nothing_is_claimed(tmp_path: Path) -> None:
    point = {"D": SHUT_THEN_OPEN, "ended_early": "solved"}
    study = stored(tmp_path / "old", [point, {"D": FULL}], tables=("history", "test"))
    assert study.grid["verdict"].tolist() == [None, "shut"]
    assert np.isnan(study.grid["D"][0]) and study.grid["state"][0] is None
    assert "broken" not in write(study.store.folder).read_text()


def test_points_that_say_from_where_they_are_judged_keep_their_verdict(tmp_path: Path) -> None:
    """Those of this version, whatever else they look like."""
    early = {"D": SHUT_THEN_OPEN, "ended_early": "solved", "verdict": "mixed"}
    study = stored(
        tmp_path / "new",
        [
            {**early, "judged_from": 300, "judged_probes": 2},
            {**early, "D": {**SHUT_THEN_OPEN, 525: -1.0}, "judged_from": 300, "judged_probes": 3},
            {"D": {0: -6.0, 600: -1.0, 1000: -1.0}, "judged_from": 600, "judged_probes": 2},
            {"D": FULL, "judged_from": 600, "judged_probes": 3},
        ],
    )
    assert study.judged_again == {}
    assert study.grid["verdict"].tolist()[:2] == ["mixed", "mixed"]
    assert (
        "of the 2 networks that made all updates, the last 2 to 3, at 60 to 100 % of the updates;"
        " of the 2 networks that ended early as solved, the last 2 to 3, in the last 225 updates."
        in judged_by(study)
    )


def ended(*updates: int | None) -> pd.DataFrame:
    """Points of 1,000 updates, of which some ended early as solved after as many."""
    return pd.DataFrame(
        {
            "ended_early": [None if at is None else "solved" for at in updates],
            "updates_done": [float(UPDATES if at is None else at) for at in updates],
            "updates": [float(UPDATES)] * len(updates),
        }
    )


@pytest.mark.parametrize(
    ("points", "told"),
    [
        (ended(), ""),
        (ended(None, None), ""),
        (ended(300), ""),
        (ended(300, 300), ""),
        (
            ended(300, None, None),
            "1 of 3 networks was trained no further once the task was solved, after 300 updates,"
            " the others for up to 1,000: a difference in score may be one of training time.",
        ),
        (
            ended(300, 425),
            "2 of 2 networks were trained no further once the task was solved, after 300 to 425"
            " updates: a difference in score may be one of training time.",
        ),
        (ended(None, None).assign(ended_early="diverged", updates_done=3.0), ""),
    ],
)
def test_scores_after_different_numbers_of_updates_are_said_to_be(
    points: pd.DataFrame, told: str
) -> None:
    assert different_stopping_points(points) == told


def test_the_first_screen_says_so_before_one_relies_on_it(tmp_path: Path) -> None:
    study = stored(tmp_path / "old", [{"D": SHUT_THEN_OPEN, "ended_early": "solved"}, {"D": FULL}])
    page = read_page(write(study.store.folder))
    sentence = different_stopping_points(study.stored)
    assert sentence and page.count(sentence) in (1, 2), "once more beside claims"
    fold, after = page.index("How far these numbers reach"), page.index("What failed")
    assert fold < page.index(sentence) < after


def profile(probe: str, ends: Mapping[str, Mapping[int, float]]) -> pd.DataFrame:
    """Profiles of one arm, point id -> {update: decades at lag 2}."""
    rows = [
        {
            "arm": 0,
            "cell": "lstm",
            "id": id,
            "probe": probe,
            "stage": stage,
            "update": update,
            "layer": "network" if probe == "transport" else "1",
            "state": "h",
            "lag": lag,
            **dict.fromkeys(("log10_mean", "log10_p10", "log10_p90"), decades * (lag == 2)),
            "n": 10,
            "n_zero": 0,
            "n_nonfinite": 0,
        }
        for id, probes in ends.items()
        for stage, (update, decades) in enumerate(probes.items())
        for lag in (1, 2)
    ]
    return pd.DataFrame(rows)


FIRST = {0: -1.0, 100: -2.0, 300: -3.0}  # scheduled, before anybody ends


def test_maps_take_medians_over_seeds_at_the_same_update() -> None:
    """Two end early; their probes at validations are not those of the third's next stages."""
    found = transport(
        profile(
            "transport",
            {
                "a": {**FIRST, 325: -9.0, 350: -9.0, 375: -9.0},
                "b": {**FIRST, 400: -9.0, 425: -9.0},
                "c": {**FIRST, 600: -5.0, 800: -6.0, 1000: -7.0},
            },
        )
    )
    at = found[found["lag"] == 2]
    assert dict(zip(at["update"], at["value"], strict=True)) == {
        **FIRST,
        600: -5.0,
        800: -6.0,
        1000: -7.0,
    }
    assert at["points"].tolist() == [3, 3, 3, 1, 1, 1]


def test_a_flow_is_of_all_states_of_a_layer_where_it_has_several() -> None:
    """Of a matrix memory no later loss has a gradient at h, which only reads it."""
    ends = {"a": FIRST, "b": FIRST}
    read = profile("loss", ends)
    plain, read = read[read["id"] == "a"], read[read["id"] == "b"]
    joint = read.assign(state="s", log10_mean=0.5 * read["log10_mean"])
    nothing = read.assign(n_zero=10)
    rows = pd.concat([plain, nothing, joint.assign(state="memory"), joint])
    found = losses(rows, ["id"])
    at = found[found["lag"] == 2].groupby("id")["log10_mean"].apply(list)
    assert at["a"] == [-1.0, -2.0, -3.0]
    assert at["b"] == [-0.5, -1.0, -1.5]


def test_the_last_probe_of_a_flow_is_everybodys_last() -> None:
    ends = {"a": {**FIRST, 350: -9.0}, "b": {**FIRST, 600: -5.0, 800: -6.0, 1000: -7.0}}
    found = losses(profile("loss", ends), ["cell"], {"a"})
    at = found[found["lag"] == 2].set_index("stage")
    assert at["log10_mean"].tolist() == [-1.0, -2.0, -3.0, -5.0, -6.0, -8.0]
    assert at["points"].tolist() == [2, 2, 2, 1, 1, 2]
    by_panel = losses(profile("loss", ends).assign(cell=lambda rows: rows["id"]), ["cell"], {"a"})
    assert _stage_words(by_panel) == (
        "update",
        {0: "0", 1: "100", 2: "300", 3: "600", 4: "800", 5: "end"},
    )
