"""The short form of `make chaos`; and the comparison it rests on sees what it should see."""

from __future__ import annotations

import pandas as pd
import pytest

from study.store import Store, seal
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
