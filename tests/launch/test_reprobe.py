"""A probe asked for later: said, never silently missing; measured on request without moving a
number; nothing lost when numbers move.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from study.records import StudyError
from study.store import Store, seal
from tests.support.commands import call
from tests.support.helpers import point, run

GATES = {"_target_": "study.probes.recurrence.Recurrence", "stages": [0, 1], "level": 0.5}


def study(folder: Path, *arguments: str) -> str:
    fixed = [
        "experiment=quick",
        "cell=gru",
        "initializer=orthogonal",
        "seed=0,1",
        "updates=4",
        "hidden=8",
        "tracker=[]",
        "executor.workers=1",
    ]
    done = call(folder, "study", "-m", *fixed, f"store.folder={folder}", *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_from_the_command_line(tmp_path):
    study(tmp_path)
    said = study(tmp_path, "probe=[gates]")
    assert (
        "note: 2 stored points without probe gates as now configured; reprobe=true trains them"
        " again" in said
    )
    assert "nothing to train" in said
    store = Store(tmp_path / "quick")
    ids = store.ids()
    before = {name: store.table(name, ids) for name in ("history", "profile", "states", "test")}
    said = study(tmp_path, "probe=[gates]", "reprobe=true")
    assert "2 done of 2 points" in said
    assert store.ids() == ids
    for name, table in before.items():
        pd.testing.assert_frame_equal(store.table(name, ids), table, check_exact=True)
    assert set(store.table("measures", ids)["probe"]) == {"gates", "recurrence"}, (
        "what was measured before is kept"
    )
    assert set(store.result(ids[0])["provenance"]["probes"]) == {
        "transport",
        "loss",
        "recurrence",
        "gates",
    }
    assert "note:" not in study(tmp_path, "probe=[gates]")
    assert "nothing to train" in study(tmp_path, "probe=[gates]", "reprobe=true")


def test_a_stored_point_is_kept_where_its_numbers_come_out_otherwise(tmp_path):
    store = run([point(0, "a")], tmp_path)
    path = store.point_folder("a") / "history.parquet"
    history = pd.read_parquet(path)
    history.loc[2, "loss"] *= 1.0001
    history.to_parquet(path, index=False)
    seal(path.parent, store.result("a"))
    kept = {file.name: file.read_bytes() for file in store.point_folder("a").iterdir()}
    again = point(0, "a", reprobe=True)
    with pytest.raises(
        StudyError,
        match="point a: trained again, its history differs from the stored one, which is kept",
    ):
        run(
            [
                replace(
                    again,
                    config={**again.config, "probe": {**again.config["probe"], "gates": GATES}},
                )
            ],
            tmp_path,
        )
    assert {file.name: file.read_bytes() for file in store.point_folder("a").iterdir()} == kept


def test_what_an_older_point_was_probed_with_is_read_from_its_configuration(tmp_path):
    from study.launch.plan import probes_of

    store = run([point(0, "a")], tmp_path)
    path = store.point_folder("a") / "result.json"
    result = json.loads(path.read_text())
    told = result["provenance"].pop("probes")
    assert probes_of(store, result) == told
    (store.point_folder("a") / "config.yaml").write_text("- no mapping\n")
    assert probes_of(store, result) == {}
