"""The short form of `make chaos`; and the comparison it rests on sees what it should see."""

from __future__ import annotations

import shutil

import pandas as pd
import pytest

from study.store import Store, seal
from study.store.race import read_race, write_race
from tests.campaigns import chaos_of_races
from tests.campaigns.chaos import LOOPED, SHORT, campaign, compare
from tests.support.helpers import point, run

pytestmark = pytest.mark.slow


def test_ten_kills_change_nothing(tmp_path):
    report = campaign(tmp_path, seed=4, kills=10, arguments=SHORT, pause=1.0)
    assert report.wrong == [], "\n".join(report.lines())
    assert sum(report.kills.values()) >= 10
    assert report.kills["the command"] >= 1
    assert report.resumed >= 1, "it was never killed in the middle of training"


def test_kills_change_nothing_of_an_own_trainers_points(tmp_path):
    short = [*LOOPED, "hidden=8", "seed=range(4)"]
    report = campaign(tmp_path, seed=5, kills=6, arguments=short, pause=1.0)
    assert report.wrong == [], "\n".join(report.lines())
    assert report.resumed >= 1, "it was never killed in the middle of training"


def test_the_comparison_sees_every_difference(tmp_path):
    points = [point(seed, updates=3) for seed in range(2)]
    calm, same, other = (run(points, tmp_path / name) for name in ("calm", "same", "other"))
    for store in (calm, same, other):
        store.write_points_table()
    assert compare(calm, same) == []
    path = other.point_folder("p1") / "history.parquet"
    history = pd.read_parquet(path)
    history.loc[2, "loss"] += 1e-7
    history.to_parquet(path, index=False)
    seal(path.parent, other.result("p1"))
    (other.folder / "checkpoints").mkdir(exist_ok=True)
    (other.folder / "checkpoints" / "p1.safetensors").touch()
    assert compare(calm, other) == [
        "p1: history differs",
        "left in checkpoints: ['p1.safetensors']",
    ]
    fewer = run(points[:1], tmp_path / "fewer")
    fewer.write_points_table()
    assert any("instead of" in line for line in compare(calm, Store(fewer.folder)))


def test_a_race_that_is_killed_again_and_again_decides_the_same(tmp_path):
    report = chaos_of_races.campaign(tmp_path, seed=1, kills=4, pause=4.0)
    assert report.wrong == [], "\n".join(report.lines())
    assert sum(report.kills.values()) >= 4
    assert sum(number for what, number in report.kills.items() if "command" in what) >= 1
    state = read_race(tmp_path / "race0" / "outputs" / "chaos")
    (other := tmp_path / "other" / "outputs" / "chaos").parent.mkdir(parents=True)
    shutil.copytree(tmp_path / "calm" / "outputs" / "chaos", other)
    state["looks"][1]["standing"][0] = "chosen"
    write_race(other, state)
    (difference,) = chaos_of_races.differences(tmp_path / "calm", tmp_path / "other")
    assert difference.startswith("certain.json: looks is")
