"""W&B for real: written offline, read back with its own reader, uploaded to a
server on loopback.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import wandb
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.utils import create_config_search_path

from study.config.build import build
from study.config.compose import compose_all, read_sweep
from study.config.paths import conf_folder
from study.hydra_plugins import register
from study.numerics.stages import probed
from study.records import StudyError
from study.store import PointRecord, Store
from study.store.run_addresses import addresses
from study.store.wandb_runs import run_id
from study.trackers.shared.rows import KEYS, declared_factors, rows_of, run_name
from study.trackers.wandb import resolve, settings
from tests import ROOT
from tests.support.faults import end, until
from tests.support.wandb_stub import KEY, Stub, stub

NODE = {
    "_target_": "study.trackers.wandb.Wandb",
    "mode": "offline",
    "project": "rnn-gradient-study",
    "entity": None,
    "patience": 30.0,
    "rows": 100,
    "tags": None,
    "notes": None,
    "group": None,
    "job_type": None,
    "system_metrics": False,
    "log_code": None,
    "alert": False,
}
WANDB = str(Path(sys.executable).with_name("wandb"))


def write(folder: Path, id: str, **row: Any) -> Store:
    store = Store(folder)
    store.write(
        PointRecord(
            id=id,
            row={
                "id": id,
                "cell": "lstm",
                "status": "done",
                "score": 0.75,
                "verdict": "opens",
                "outcome": "solved",
                "max_grad_norm": float("inf"),
                **row,
            },
            labels={
                "cell": "lstm",
                "initializer": "orthogonal",
                "clip": "norm",
                "depth": 1,
                "optimizer.lr": 0.004,
                "seed": 3,
            },
            config=(
                "cell: {_target_: study.cells.lstm.LSTM}\noptimizer: {lr: 0.004, eps:"
                " 1.0e-08}\nstore: {folder: outputs}\n"
            ),
            overrides=["cell=lstm"],
            provenance={},
            tables={
                "history": {
                    "update": [0, 1, 2],
                    "loss": [2.5, float("nan"), None],
                    "grad_norm": [1.0, float("inf"), None],
                    "val_loss": [2.0, None, 1.5],
                }
            },
            weights={"bias": np.zeros(2)},
        )
    )
    return store


SERVED = """
import sys, json; from study.launch.trackers import serve
folder, ids, node = sys.argv[1], json.loads(sys.argv[2]), json.loads(sys.argv[3])
class Here:
    said = ["close", *((id, folder, ()) for id in reversed(ids))]
    def recv(self): return self.said.pop()
    def send(self, said): print(said, file=sys.__stdout__) if said else None
serve(Here(), "wandb", node, "my study", folder)
"""
LIVE = """
import sys, json; from pathlib import Path
from study.config.build import build; from study.interfaces import Point
from study.store import Store
folder, rows, node = Path(sys.argv[1]), json.loads(sys.argv[2]), json.loads(sys.argv[3])
tracker, store = build(node, "tracker.wandb"), Store(folder)
tracker.open("my study", folder)
point = Point("p1", store.config("p1"), {"cell": "lstm"}, 3)
for row in rows:
    tracker.update(point, [row] if row else [])
    if not row:
        tracker.log(store.result("p1"), store.point_folder("p1"))
tracker.close()
"""
GUARDED = """
import sys, json
from pathlib import Path
from rich.console import Console
from study.launch.trackers import Trackers
from study.store import Store
folder, ids, node = Path(sys.argv[1]), json.loads(sys.argv[2]), json.loads(sys.argv[3])
trackers = Trackers({"wandb": node}, "my study", folder, Console(soft_wrap=True), 60)
trackers.send(Store(folder), ids)
trackers.close()
"""


def log_in_process(
    folder: Path,
    ids: list[Any],
    environment: dict[str, str],
    node: dict[str, Any],
    code: str = SERVED,
) -> str:
    """Log points as the tracker's process does (wandb keeps state in its process), with GUARDED as
    the launcher does, or with LIVE one point by rows; {}: it is stored.
    """
    clean = {key: value for key, value in os.environ.items() if not key.startswith("WANDB_")}
    home = folder.parent / "home"
    home.mkdir(exist_ok=True)
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder), json.dumps(ids), json.dumps(node)],
        cwd=ROOT,
        env={**clean, "HOME": str(home), **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return done.stdout + done.stderr


def offline_runs(folder: Path) -> list[Path]:
    return sorted((folder / "wandb").glob("offline-run-*/*.wandb"))


def sync(run: Path, server: Stub) -> None:
    environment = {
        **os.environ,
        "WANDB_BASE_URL": server.url,
        "WANDB_API_KEY": KEY,
        "WANDB_ERROR_REPORTING": "false",
    }
    folder = run.parent.parent.parent  # wandb sync leaves logs where it is called
    subprocess.run(
        [WANDB, "sync", str(run.parent)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )


def inspect(run: Path, *options: str) -> str:
    environment = {**os.environ, "WANDB_ERROR_REPORTING": "false"}
    command = [WANDB, "leet", "inspect", *options, "--json", str(run)]
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=60, check=True
    ).stdout


@pytest.fixture(scope="module")
def offline(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tracked") / "study"
    write(folder, "p1")
    write(folder, "p2", verdict="shut")
    return folder, log_in_process(folder, ["p1", "p2"], {}, {**NODE, "mode": "auto"})


def test_without_a_key_auto_is_offline_and_says_so_in_one_line(offline):
    folder, told = offline
    assert (
        told
        == "W&B: offline (mode=auto, no key is configured), project rnn-gradient-study, group my"
        " study\n"
    )
    assert len(offline_runs(folder)) == 2


def test_wandbs_own_reader_finds_the_run(offline):
    run = next(path for path in offline_runs(offline[0]) if "p1" in path.name)
    read = json.loads(inspect(run, "--summary"))
    assert read["run_id"] == "my-study-p1"
    assert read["state"] == "finished"
    assert read["config"]["optimizer.lr"] == 0.004
    assert read["config"]["cell"] == "lstm"
    assert set(read["tags"]) == {"opens", "solved"}
    assert read["summary"]["score"] == 0.75
    assert read["summary"]["verdict"] == "opens"
    assert read["config"]["settings"] == {
        "cell": {"_target_": "study.cells.lstm.LSTM"},
        "optimizer": {"lr": 0.004, "eps": 1e-08},
    }
    records = [json.loads(line) for line in inspect(run).splitlines()]
    (opened,) = [record["run"] for record in records if record["type"] == "run"]
    assert opened["run_group"] == "my study"
    assert (
        opened["display_name"]
        == "cell=lstm initializer=orthogonal clip=norm depth=1 optimizer.lr=0.004 seed=3"
    )
    history = {
        record["history"]["step"].get("num", 0): record["history"]["item"]
        for record in records
        if record["type"] == "history"
    }
    assert sorted(history) == [0, 1, 2]
    assert (history[0]["train/loss"], history[0]["val/loss"]) == (2.5, 2.0)
    assert "train/loss" not in history[1]


@pytest.mark.slow
def test_a_second_launch_logs_nothing_twice(offline):
    folder, _ = offline
    before = offline_runs(folder)
    log_in_process(folder, ["p1", "p2"], {}, NODE)
    assert offline_runs(folder) == before


@pytest.mark.slow
def test_offline_sends_nothing_at_all(tmp_path):
    """wandb's own error reporting calls its server from offline runs too, unless it is told not
    to.
    """
    write(tmp_path / "study", "p1")
    with stub() as server:
        log_in_process(tmp_path / "study", ["p1"], {"WANDB_BASE_URL": server.url}, NODE)
        assert server.sent == []
    assert len(offline_runs(tmp_path / "study")) == 1


def test_disabled_writes_nothing_and_says_so(tmp_path):
    write(tmp_path / "study", "p1")
    told = log_in_process(tmp_path / "study", ["p1"], {"WANDB_MODE": "disabled"}, NODE)
    assert told == "W&B: nothing is written or sent, since WANDB_MODE is disabled\n"
    assert not (tmp_path / "study" / "wandb").exists()


def test_wandb_disabled_is_followed_as_well(tmp_path):
    write(tmp_path / "study", "p1")
    rows: list[dict[str, Any]] = [{"update": 0}, {}]
    told = log_in_process(tmp_path / "study", rows, {"WANDB_DISABLED": "true"}, NODE, LIVE)
    assert told == "W&B: nothing is written or sent, since WANDB_DISABLED is set\n"
    assert not (tmp_path / "study" / "wandb").exists()


def test_what_is_of_a_single_run_is_named_and_not_used(tmp_path):
    write(tmp_path / "study", "p1")
    environment = {
        "WANDB_DIR": str(tmp_path / "other"),
        "WANDB_NAME": "mine",
        "WANDB_RESUME": "must",
    }
    told = log_in_process(tmp_path / "study", ["p1"], environment, NODE)
    assert told.startswith(
        "W&B: WANDB_DIR, WANDB_NAME, WANDB_RESUME are not used: every point is a run with its own"
        " id and name, in the study's folder, where `python -m study.sync` finds it\n"
    )
    assert len(offline_runs(tmp_path / "study")) == 1 and not (tmp_path / "other").exists()


FOLLOWED = {
    "WANDB_PROJECT": ("project", "theirs"),
    "WANDB_ENTITY": ("entity", "team"),
    "WANDB_RUN_GROUP": ("group", "sweep 7"),
    "WANDB_JOB_TYPE": ("job_type", "eval"),
    "WANDB_TAGS": ("tags", "a, b"),
    "WANDB_NOTES": ("notes", "why: a={1}, [2]"),
}


def composed(*typed: str) -> dict[str, Any]:
    register()
    loader = ConfigLoaderImpl(create_config_search_path(str(conf_folder().resolve())))
    sweep = read_sweep(loader, {"seed": "0"}, ["cell=rnn", *typed])
    return dict(compose_all(loader, "config", sweep)[0].config["tracker"]["wandb"])


def test_the_environment_counts_where_nothing_else_is_said(monkeypatch):
    for name in FOLLOWED:
        monkeypatch.delenv(name, raising=False)
    bare = composed()
    assert bare["project"] == "rnn-gradient-study"
    assert all(bare[key] is None for key, _ in FOLLOWED.values() if key != "project")
    for name, (_, value) in FOLLOWED.items():
        monkeypatch.setenv(name, value)
    assert bare | dict(FOLLOWED.values()) == composed()
    typed = composed("tracker.wandb.project=typed", "tracker.wandb.tags=[x]")
    assert (typed["project"], typed["tags"], typed["entity"]) == ("typed", ["x"], "team")


def test_settings_reach_the_run(tmp_path):
    write(tmp_path / "study", "p1", status="diverged", diverged_at=2)
    node = {**NODE, **dict(FOLLOWED.values()), "system_metrics": True, "alert": True}
    told = log_in_process(tmp_path / "study", ["p1"], {}, node)
    assert told == "W&B: offline (mode=offline), project theirs, group sweep 7\n"
    (run,) = offline_runs(tmp_path / "study")
    records = [json.loads(line) for line in inspect(run).splitlines()]
    (opened,) = [record["run"] for record in records if record["type"] == "run"]
    assert {
        key: opened[key] for key in ("project", "entity", "run_group", "job_type", "notes")
    } == {
        "project": "theirs",
        "entity": "team",
        "run_group": "sweep 7",
        "job_type": "eval",
        "notes": "why: a={1}, [2]",
    }
    assert set(opened["tags"]) == {"opens", "solved", "a", "b"}
    (alert,) = [record["alert"] for record in records if record["type"] == "alert"]
    assert alert["title"] == "my study: a point diverged"
    assert alert["text"] == (
        "Point p1 (cell=lstm initializer=orthogonal clip=norm depth=1 optimizer.lr=0.004 seed=3)"
        " diverged at update 2"
    )
    assert json.loads((tmp_path / "study" / "wandb" / "logged.jsonl").read_text()) == [
        "my-study-p1",
        "offline",
        "team/theirs",
    ]


def test_online_without_a_key_fails_before_training(tmp_path, monkeypatch):
    for name in ("WANDB_API_KEY", "WANDB_MODE", "WANDB_DISABLED", "WANDB_IDENTITY_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    with pytest.raises(StudyError, match=r"tracker\.wandb: mode is online, but no key"):
        build({**NODE, "mode": "online"}, "tracker.wandb")
    monkeypatch.setenv("WANDB_MODE", "online")
    with pytest.raises(StudyError, match=r"tracker\.wandb: WANDB_MODE is online, but no key"):
        build({**NODE, "mode": "auto"}, "tracker.wandb")
    build({**NODE, "mode": "offline"}, "tracker.wandb")
    monkeypatch.setenv("WANDB_MODE", "disabled")
    build({**NODE, "mode": "online"}, "tracker.wandb")
    monkeypatch.setenv("WANDB_MODE", "")
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    build({**NODE, "mode": "online"}, "tracker.wandb")


def test_a_mode_of_the_environment_that_is_none_is_refused(monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "off")
    with pytest.raises(StudyError, match="WANDB_MODE must be online, offline or disabled.*'off'"):
        build(NODE, "tracker.wandb")


def with_everything(folder: Path) -> None:
    """A point of two layers, with a declaration, a schedule and two probe stages."""
    facts = {"task": {"higher_is_better": False}}
    declaration = {"factors": {"cell": ["lstm"]}, "tasks": facts}
    store = Store(folder)
    store.declare({"name": "my study", "fingerprint": {}, "declaration": declaration}, {})
    layers, at = ["network", "1", "2"], [0, 2]
    tables = {
        "history": {
            "update": [0, 1, 2],
            "loss": [2.5, 2.25, 2.0],
            "grad_norm": [1.0, 4.0, None],
            "clip_scale": [1.0, 0.25, None],
            "clip_cosine": [1.0, 1.0, None],
            "val_loss": [2.0, 1.5, 1.75],
            "val_score": [0.5, 0.25, 0.375],
        },
        "states": {
            "stage": [0, 1] * 3,
            "update": at * 3,
            "layer": [layer for layer in layers for _ in at],
            "D": [-3.0, -0.5, -3.5, -0.75, -2.5, -0.25],
            "U": [0.0, 0.5, 0.25, 0.75, 0.0, 0.125],
        },
    }
    store.write(
        PointRecord(
            id="p1",
            row={"id": "p1", "cell": "lstm", "status": "done", "score": 0.25},
            labels={"cell": "lstm"},
            config="optimizer: {lr: 0.004}\n",
            overrides=[],
            provenance={},
            tables=tables,
        )
    )


ROWS = {
    0: {"train/loss": 2.5, "val/loss": 2.0, "val/score": 0.5, "grad/norm": 1.0}
    | {"grad/clip_scale": 1.0, "grad/clip_cosine": 1.0, "health/D": -3.0, "health/U": 0.0}
    | {"health/D/layer_1": -3.5, "health/U/layer_1": 0.25}
    | {"health/D/layer_2": -2.5, "health/U/layer_2": 0.0},
    1: {"train/loss": 2.25, "val/loss": 1.5, "val/score": 0.25, "grad/norm": 4.0}
    | {"grad/clip_scale": 0.25, "grad/clip_cosine": 1.0},
    2: {"train/loss": 2.0, "val/loss": 1.75, "val/score": 0.375}
    | {"health/D": -0.5, "health/U": 0.5, "health/D/layer_1": -0.75, "health/U/layer_1": 0.75}
    | {"health/D/layer_2": -0.25, "health/U/layer_2": 0.125},
}


def kept(item: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in item.items() if not key.startswith("_")}


@pytest.mark.slow
def test_every_key_is_in_the_file_and_on_the_server_with_its_axis_and_its_best(tmp_path):
    with_everything(tmp_path / "study")
    expected = {update: {"update": update, "lr": 0.004, **row} for update, row in ROWS.items()}
    log_in_process(tmp_path / "study", ["p1"], {}, NODE)
    (run,) = offline_runs(tmp_path / "study")
    records = [json.loads(line) for line in inspect(run).splitlines()]
    items = [kept(one["history"]["item"]) for one in records if one["type"] == "history"]
    assert {item["update"]: item for item in items} == expected
    metrics = [one["metric"] for one in records if one["type"] == "metric"]
    assert {
        one.get("name", one.get("glob_name")): one["step_metric"] for one in metrics
    } == dict.fromkeys(("*", "train/loss", "val/loss", "val/score"), "update")
    live: list[dict[str, Any]] = [
        {"update": 0, "time": 1.5e9, "states": [{"layer": "network", "D": -3.0, "U": 0.0}]},
        {"update": 1, "time": 1.6e9},
    ]
    live[0]["states"] += [{"layer": "1", "D": -3.5, "U": 0.25}, {"layer": "2", "D": -2.5, "U": 0.0}]
    for row in live:
        shown = ROWS[row["update"]]
        row |= {column: shown[name] for column, name in KEYS.items() if name in shown}
    with stub() as server:
        environment = {"WANDB_BASE_URL": server.url, "WANDB_API_KEY": KEY}
        online = {**NODE, "mode": "online"}
        log_in_process(tmp_path / "study", live, environment, online, LIVE)  # interrupted
        sent = server.run("my-study-p1")
        assert (sorted(sent["history"]), sent["lines"]) == ([0, 1], 2), (
            "it is there while it trains"
        )
        told = log_in_process(tmp_path / "study", [*live, {}], environment, online, LIVE)
        assert "WARNING" not in told
        assert sent["lines"] == 3 and list(server.runs) == ["my-study-p1"], "continued, not doubled"
        assert {step: kept(row) for step, row in sent["history"].items()} == expected
        assert [sent["history"][step]["_timestamp"] for step in (0, 1)] == [1.5e9, 1.6e9]
        assert sent["summary"]["val/score"] == {"min": 0.25, "last": 0.375}
        assert sent["summary"]["val/loss"] == {"min": 1.5, "last": 1.75}
        assert sent["summary"]["health/D"] == -0.5


def test_several_points_under_a_wandb_agent_keep_their_own_ids(tmp_path):
    """An agent sets the id of the one run that it expects; without care every point gets it."""
    agent = {"WANDB_SWEEP_ID": "sweep1", "WANDB_RUN_ID": "agent1", "WANDB_SWEEP_PARAM_PATH": ""}
    for point in ("p1", "p2"):
        write(tmp_path / "study", point)
    told = log_in_process(tmp_path / "study", ["p1", "p2"], agent, NODE)
    assert "points are runs of their own, with their own ids, not runs of sweep sweep1" in told
    names = [path.name for path in offline_runs(tmp_path / "study")]
    assert names == ["run-my-study-p1.wandb", "run-my-study-p2.wandb"]


@pytest.mark.slow
def test_an_agent_of_a_sweep_starts_a_point_which_is_its_run_from_the_first_seconds_on(tmp_path):
    """wandb's own agent starts the real command; W&B shows the run while the point trains."""
    slow, folder = tmp_path / "slow", tmp_path / "mine" / "clip"
    slow.touch()
    folder.mkdir(parents=True)
    (folder / "slow.yaml").write_text(
        f"_target_: tests.support.faults.Slow\nfile: {slow}\nseconds: 1\n"
    )
    given = "experiment=quick clip=slow updates=40 validate_every=2 name=swept probe=[]"
    command = ["${env}", "${interpreter}", "-m", "study", "--config-dir", str(tmp_path / "mine")]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    with stub() as server:
        command += [*given.split(), "${args_no_hyphens}"]
        server.sweep = {"command": command, "runs": {"a1": {"cell": "rnn", "optimizer.lr": 0.0123}}}
        agent = subprocess.Popen(
            [WANDB, "agent", "--count", "1", "e/p/sw1"],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT), "PATH": path, "OMP_NUM_THREADS": "1"}
            | {"WANDB_BASE_URL": server.url, "WANDB_API_KEY": KEY, "HOME": str(tmp_path)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            assert until(lambda: server.run("a1")["history"])
            store = Store(tmp_path / "outputs" / "swept")
            assert not store.ids(), "rows are there before the point is stored"
            slow.unlink()
            said, _ = agent.communicate(timeout=200)
        finally:
            end(agent)
        (id,) = store.ids()
        assert agent.returncode == 0 and "W&B: the point is run a1 of sweep sw1" in said, said
        assert list(server.runs) == ["a1"], "and no other"
        sent, row = server.run("a1"), store.result(id)["row"]
        assert sent["upserts"][0]["sweep"] == "sw1"
        assert sent["summary"]["val_score"] == row["val_score"]
        config = json.loads(sent["upserts"][0]["config"])
        assert (config["optimizer.lr"]["value"], config["point"]["value"]) == (0.0123, id)
        rows = {each["update"]: each for each in rows_of(store, id, 100, store.config(id))}
        assert {step: kept(row) for step, row in sent["history"].items()} == rows
        assert sent["lines"] == len(rows)


def test_where_a_users_files_lie_does_not_leave_this_machine():
    composed = {"task": {"_target_": "x", "path": "/home/ada/secret/mine.csv", "target": "y"}}
    assert settings(composed) == {"task": {"_target_": "x", "path": "mine.csv", "target": "y"}}


@pytest.mark.slow
def test_sync_uploads_and_a_second_sync_updates_the_same_run(offline):
    run = next(path for path in offline_runs(offline[0]) if "p1" in path.name)
    with stub() as server:
        sync(run, server)
        first = server.run("my-study-p1")
        assert list(server.runs) == ["my-study-p1"]
        assert any(upsert.get("groupName") == "my study" for upsert in first["upserts"])
        assert any(
            set(upsert.get("tags") or ()) == {"opens", "solved"} for upsert in first["upserts"]
        )
        assert json.loads(first["upserts"][-1]["config"])["cell"] == {"value": "lstm"}
        assert sorted(first["history"]) == [0, 1, 2]
        assert first["history"][2]["val/loss"] == 1.5
        assert first["summary"]["score"] == 0.75
        for mark in run.parent.parent.rglob("*.synced"):
            mark.unlink()
        upserts = len(first["upserts"])
        sync(run, server)
        assert len(first["upserts"]) > upserts, "it was sent again"
        assert list(server.runs) == ["my-study-p1"], "updated, not doubled"
        assert sorted(first["history"]) == [0, 1, 2]


@pytest.mark.slow
def test_with_a_key_auto_is_online_and_every_point_is_sent_once(offline):
    """Points that lie there offline are sent by the first launch that is online, and by no later
    one.
    """
    folder, _ = offline
    with stub() as server:
        environment = {"WANDB_BASE_URL": server.url, "WANDB_API_KEY": KEY}
        told = log_in_process(folder, ["p1", "p2"], environment, {**NODE, "mode": "auto"})
        assert (
            told
            == "W&B: online (mode=auto, a key is configured), project rnn-gradient-study, group my"
            " study\n"
        ), "and no banner"
        assert sorted(server.runs) == ["my-study-p1", "my-study-p2"]
        run = server.run("my-study-p1")
        assert run["summary"]["score"] == 0.75
        assert sorted(run["history"]) == [0, 1, 2]
        assert (run["upserts"][0]["program"], run["upserts"][0]["host"]) == ("python -m study", "-")
        everything = "\n".join(server.sent)
        for private in (os.uname().nodename, str(Path.home()), str(ROOT), str(folder), KEY):
            assert not re.search(rf"(?<![\w-]){re.escape(private)}(?![\w-])", everything), private
        online = addresses(folder)
        assert {point: where.rpartition("/runs/")[2] for point, where in online.items()} == {
            "p1": "my-study-p1",
            "p2": "my-study-p2",
        }
        sent = len(server.sent)
        log_in_process(folder, ["p1", "p2"], environment, {**NODE, "mode": "online"})
        log_in_process(folder, ["p1", "p2"], {}, NODE)
        assert len(server.sent) == sent
    assert len(offline_runs(folder)) == 2


@pytest.mark.slow
@pytest.mark.parametrize("trouble", ["no server", "dies meanwhile", "no key"])
def test_a_server_that_does_not_answer_is_given_up_soon(tmp_path, trouble):
    """By the tracker itself (StudyError), before the launcher's 60 seconds for a tracker pass."""
    write(tmp_path / "study", "p1")
    with stub() as server:
        server.refuses = trouble == "dies meanwhile"
        url = (
            "http://127.0.0.1:9" if trouble == "no server" else server.url
        )  # the discard port: nobody listens
        environment = {
            "WANDB_BASE_URL": url,
            **({} if trouble == "no key" else {"WANDB_API_KEY": KEY}),
        }
        told = log_in_process(
            tmp_path / "study",
            ["p1", "p1"],
            environment,
            {**NODE, "mode": "online", "patience": 2.0},
            GUARDED,
        )
    assert (
        told.count("warning: tracker wandb is switched off, the study continues (StudyError: ") == 1
    ), told
    assert ("no key is configured" in told) == (trouble == "no key")
    assert "Traceback" not in told
    ledger = tmp_path / "study" / "wandb" / "logged.jsonl"
    assert not ledger.exists(), "the next launch tries again"


def test_a_ledger_cut_short_is_read_as_far_as_it_goes_and_goes_on(tmp_path):
    (tmp_path / "wandb").mkdir()
    whole = ("my-study-p1", "offline", "rnn-gradient-study")
    (tmp_path / "wandb" / "logged.jsonl").write_text(json.dumps(whole) + '\n["my-stu')
    tracker = build(NODE, "tracker.wandb")
    tracker.folder, tracker.logged, tracker.resolved, tracker.where = (
        tmp_path / "wandb",
        {},
        "offline",
        "rnn-gradient-study",
    )
    assert tracker._read_ledger() == {whole: "my-study-p1"}
    tracker._note("my-study-p2")
    assert tracker._read_ledger() == {
        whole: "my-study-p1",
        ("my-study-p2", *whole[1:]): "my-study-p2",
    }


@pytest.mark.parametrize(
    ("logged", "now", "skipped"),
    [
        (("online", "team/project"), "online", True),
        (("online", "team/project"), "offline", True),
        (("offline", "team/project"), "offline", True),
        (("offline", "team/project"), "online", False),
        (("online", "project"), "online", False),
    ],
)
def test_what_was_logged_is_skipped(tmp_path, monkeypatch, logged, now, skipped):
    tracker = build(NODE, "tracker.wandb")
    tracker.wandb = wandb
    tracker.study, tracker.folder, tracker.where, tracker.resolved = (
        "s",
        tmp_path,
        "team/project",
        now,
    )
    tracker.logged = {("s-p1", *logged): "s-p1"}
    sent = []
    monkeypatch.setattr(tracker, "_log", lambda result, folder: sent.append(f"s-{result['id']}"))
    tracker.log({"id": "p1"}, tmp_path)
    assert sent == ([] if skipped else ["s-p1"])


def test_a_run_whose_tags_have_changed_is_logged_again_and_the_last_ones_count(
    tmp_path, monkeypatch
):
    """Also by the next launch, which has nothing but the ledger."""
    sent = []
    for tags in (
        ["search"],
        ["search"],
        ["search", "best"],
        ["search", "best"],
        ["search"],
        ["search"],
    ):
        tracker = build(NODE, "tracker.wandb")
        tracker.wandb, tracker.study, tracker.folder, tracker.where, tracker.resolved = (
            wandb,
            "s",
            tmp_path,
            "project",
            "offline",
        )
        tracker.logged = tracker._read_ledger()
        monkeypatch.setattr(tracker, "_log", lambda result, folder: sent.append(result["tags"]))
        tracker.log({"id": "p1", "tags": tags}, tmp_path)
    assert sent == [["search"], ["search", "best"], ["search"]]


@pytest.mark.parametrize(
    ("mode", "key", "environment", "taken"),
    [
        ("auto", True, "online", "online"),
        ("auto", False, "online", "offline"),
        ("auto", True, "offline", "offline"),
        ("auto", True, "disabled", "offline"),
        ("online", True, "offline", "online"),
        ("offline", True, "online", "offline"),
    ],
)
def test_how_the_mode_is_taken(mode, key, environment, taken):
    assert resolve(mode, key, environment)[0] == taken


def test_a_mode_that_is_none_is_refused():
    with pytest.raises(
        StudyError, match=r"tracker\.wandb: mode must be auto or online or offline, got 'maybe'"
    ):
        build({**NODE, "mode": "maybe"}, "tracker.wandb")


def test_a_long_history_is_thinned_and_what_was_measured_rarely_stays(tmp_path):
    made, store = np.arange(1001), Store(tmp_path / "study")
    history = {"update": made, "loss": made / 7, "val_loss": np.where(made % 333 == 0, 0.5, np.nan)}
    store.write(
        PointRecord(
            id="p1",
            row={"id": "p1", "status": "done"},
            labels={},
            config="",
            overrides=[],
            provenance={},
            tables={"history": history},
        )
    )
    composed = {
        "probe": {"loss": {"stages": [0, 0.0173, 1]}, "each": {"stages": None}},
        "updates": 1000,
    }
    assert probed(composed) == {0, 17, 1000}
    found = {row["update"]: row for row in rows_of(store, "p1", 11, composed)}
    assert list(found) == sorted({*range(0, 1001, 100), 333, 666, 999, 17})
    assert (
        found[333]["val/loss"] == 0.5
        and found[17]["train/loss"] == 17 / 7
        and "val/loss" not in found[17]
    )
    assert len(rows_of(store, "p1", None, {})) == len(rows_of(store, "p1", 1001, {})) == 1001


def test_patience_is_a_positive_number():
    with pytest.raises(
        StudyError,
        match=r"tracker\.wandb: wandb: patience must be a number of seconds above 0, got 0",
    ):
        build({**NODE, "patience": 0.0}, "tracker.wandb")
    with pytest.raises(
        StudyError,
        match=r"tracker\.wandb: wandb: rows must be at least 2, or null for every update, got 1",
    ):
        build({**NODE, "rows": 1}, "tracker.wandb")


def test_a_run_is_named_by_what_the_study_varies(tmp_path):
    labels = {
        "task": "digits",
        "cell": "lstm",
        "depth": 1,
        "hidden": 32,
        "optimizer.lr": 0.1,
        "seed": 0,
    }
    store = Store(tmp_path)
    assert run_name(labels, declared_factors(store)) == "cell=lstm depth=1 optimizer.lr=0.1 seed=0"
    store.declare(
        {
            "name": "s",
            "fingerprint": {},
            "declaration": {"factors": {"hidden": [16, 32], "optimizer.lr": [0.1]}},
        },
        {},
    )
    assert run_name(labels, declared_factors(store)) == "hidden=32 optimizer.lr=0.1 seed=0"


def test_ids_hold_what_wandb_allows():
    assert run_id("a/b c:ü", "0f") == "a-b-c---0f"
    assert len(run_id("x" * 300, "0" * 16)) <= 128
