"""The page and the points table as artifacts: online to a server on loopback, offline to files that
wandb sync sends there, and never to anybody else.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import wandb

from study.artifacts import log_artifacts
from study.artifacts.shown import points_shown, profile_shown
from tests import ROOT
from tests.reports.synthetic import make
from tests.support.wandb_stub import KEY, stub

pytestmark = pytest.mark.slow

WANDB = str(Path(sys.executable).with_name("wandb"))


def tracked(folder: Path, mode: str) -> Path:
    """A study whose points the tracker noted as logged, with a report."""
    store = make(
        folder / "tracked",
        factors={"cell": ["rnn", "gru"]},
        seeds=(0,),
        steps=8,
        updates=20,
        tables=("history", "profile"),
    )
    (store.folder / "report.html").write_text("<!doctype html><title>the page</title>")
    (store.folder / "wandb").mkdir()
    (store.folder / "wandb" / "logged.jsonl").write_text(
        '["tracked-aa", "offline", "elsewhere"]\n{"cut": \n'
        + json.dumps(["tracked-ab", mode, "team/p"])
        + "\n"
    )
    return store.folder


def run(
    folder: Path, home: Path, command: str = "study.artifacts", **environment: str
) -> subprocess.CompletedProcess[str]:
    clean = {key: value for key, value in os.environ.items() if not key.startswith("WANDB_")} | {
        "HOME": str(home),
        "PYTHONPATH": str(ROOT),
    }
    return subprocess.run(
        [sys.executable, "-m", command, str(folder)],
        env=clean | environment,
        cwd=home,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def sent_rightly(server, folder: Path) -> None:
    assert {
        (one["artifactCollectionName"], one["artifactTypeName"]) for one in server.artifacts
    } == {
        ("tracked-report", "report"),
        ("tracked-points", "dataset"),
        # wandb's own, which refer to the one before
        ("run-tracked-report-points", "run_table"),
        ("run-tracked-report-profile", "run_table"),
    }
    assert set(server.committed) == {one["artifactCollectionName"] for one in server.artifacts}
    made = {one["artifactCollectionName"]: one for one in server.artifacts}
    described = made["tracked-report"]["description"]
    assert described == "The report: one page, readable without the tool"
    assert json.loads(made["tracked-points"]["metadata"])["points"] == 2
    (page,) = (path for path in server.stored if path.startswith("/storage/media/html/report"))
    assert server.stored[page] == (folder / "report.html").read_bytes()
    (table,) = (path for path in server.stored if path.startswith("/storage/media/table/points"))
    shown = json.loads(server.stored[table])
    assert [dict(zip(shown["columns"], row, strict=True))["cell"] for row in shown["data"]] == [
        "rnn",
        "gru",
    ]
    (table,) = (path for path in server.stored if path.startswith("/storage/media/table/profile"))
    profile = json.loads(server.stored[table])
    assert profile["columns"] == ["cell", "probe", "stage", "update", "lag", "log10_mean"]
    assert {row[2] for row in profile["data"]} == {"first", "last"}
    (picture,) = (path for path in server.stored if path.startswith("/storage/media/images/"))
    assert server.stored[picture].startswith(b"\x89PNG")
    logged = set(server.run("tracked-report")["history"][0])
    assert {"report", "points", "profile", "parallel_coordinates"} <= logged
    assert {one["runName"] for one in server.artifacts} == {"tracked-report"}
    assert server.stored["/storage/artifact/report.html"] == (folder / "report.html").read_bytes()
    assert (
        server.stored["/storage/artifact/points.parquet"]
        == (folder / "points.parquet").read_bytes()
    )
    upsert = server.runs["tracked-report"]["upserts"][0]
    assert (upsert["groupName"], upsert["jobType"], upsert["project"]) == ("tracked", "report", "p")


def test_online_once_and_again_when_the_page_is_another(tmp_path: Path) -> None:
    folder = tracked(tmp_path, "online")
    with stub() as server:
        keys = {"WANDB_BASE_URL": server.url, "WANDB_API_KEY": KEY}
        done = run(folder, tmp_path, **keys)
        assert (done.returncode, done.stderr) == (0, ""), done.stderr
        assert done.stdout == "W&B: report.html and points.parquet logged as artifacts (online)\n"
        sent_rightly(server, folder)
        said = "".join(server.sent)
        # A word of its own: ids of artifacts are random letters, and a host's name may be short.
        host = rf"(?<![\w-]){re.escape(os.uname().nodename)}(?![\w-])"
        assert str(tmp_path) not in said and not re.search(host, json.dumps(server.runs))
        assert "already" in run(folder, tmp_path, **keys).stdout and len(server.artifacts) == 4
        (folder / "report.html").write_text("another")
        assert "logged" in run(folder, tmp_path, **keys).stdout
        assert server.stored["/storage/artifact/report.html"] == b"another"


def test_offline_files_wait_for_sync(tmp_path: Path) -> None:
    folder = tracked(tmp_path, "offline")
    done = run(folder.relative_to(tmp_path), tmp_path)
    assert (done.returncode, done.stdout) == (
        0,
        "W&B: report.html and points.parquet logged as artifacts (offline)\n",
    ), done.stderr
    (waiting,) = (folder / "wandb").glob("offline-run-*")
    assert not (tmp_path / ".local").exists() and not (tmp_path / ".cache" / "wandb").exists(), (
        "copies belong to the study's folder"
    )
    with stub() as server:
        environment = {
            **os.environ,
            "WANDB_BASE_URL": server.url,
            "WANDB_API_KEY": KEY,
            "HOME": str(tmp_path),
        }
        subprocess.run(
            [WANDB, "sync", str(waiting)],
            env=environment,
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )
        sent_rightly(server, folder)
    assert "already" in run(folder, tmp_path).stdout


def test_sync_from_another_folder_sends_the_files_as_well(tmp_path: Path) -> None:
    """wandb keeps relative paths, finds nothing elsewhere, and calls that synced."""
    folder = tracked(tmp_path, "offline")
    run(folder, tmp_path)
    (tmp_path / "elsewhere").mkdir()
    moved = folder.rename(tmp_path / "elsewhere" / "moved")
    with stub() as server:
        keys = {"WANDB_BASE_URL": server.url, "WANDB_API_KEY": KEY}
        done = run(moved, tmp_path / "elsewhere", "study.sync", **keys)
        assert (done.returncode, done.stderr) == (0, "")
        assert "W&B: 1 runs uploaded, 0 still waiting\n" in done.stdout
        sent_rightly(server, moved)
        assert "no " in run(moved, tmp_path, "study.sync", **keys).stdout


def test_what_sync_did_not_bring_is_not_noted_and_can_be_logged_again(tmp_path: Path) -> None:
    folder = tracked(tmp_path, "offline")
    run(folder, tmp_path)
    shutil.rmtree(folder / "wandb" / "data")
    with stub() as server:
        keys = {"WANDB_BASE_URL": server.url, "WANDB_API_KEY": KEY}
        for _ in range(2):
            done = run(folder, tmp_path, "study.sync", **keys)
            assert done.returncode == 1
            assert done.stderr.startswith(
                "error: the server does not have the report's files; run `"
            )
            assert done.stderr.endswith(
                f" -m study.artifacts {folder}` and then this command again\n"
            )
            assert "uploaded" not in done.stdout
        assert '"online"' not in (folder / "wandb" / "artifacts.jsonl").read_text()
        assert "logged as artifacts" in run(folder, tmp_path).stdout
        done = run(folder, tmp_path, "study.sync", **keys)
        assert (done.returncode, done.stderr) == (0, "")
        sent_rightly(server, folder)


def test_points_of_every_kind_of_column_become_a_table(tmp_path: Path) -> None:
    """Whole numbers, truths and texts with gaps, and a factor whose levels are of two kinds."""
    frame = pd.DataFrame(
        {
            "id": pd.array(["a", "b"], "string"),
            "depth": pd.array([1, None], "Int64"),
            "score": [0.5, float("nan")],
            "ends_solved": pd.array([True, None], "boolean"),
            "reason": pd.array([None, None], "string"),
            "std": pd.array(["auto", None], "object"),
            "max_grad_norm": [float("inf"), 1.0],
        }
    )
    frame.to_parquet(tmp_path / "points.parquet")
    mixed = points_shown(tmp_path / "points.parquet", 10)
    mixed["std"] = ["auto", 0.1]
    table = wandb.Table(dataframe=mixed, allow_mixed_types=True)
    assert table.columns == ["id", "depth", "score", "ends_solved", "std", "max_grad_norm"]
    assert table.data == [
        ["a", 1, 0.5, True, "auto", float("inf")],
        ["b", None, None, None, 0.1, 1.0],
    ]
    assert len(points_shown(tmp_path / "points.parquet", 1)) == 1


def test_a_profile_is_the_median_of_an_arms_seeds_at_its_first_and_last_probe(
    tmp_path: Path,
) -> None:
    store = make(
        tmp_path / "s",
        factors={"cell": ["rnn", "gru"], "clip": ["norm"]},
        seeds=(0, 1, 2),
        steps=300,
        updates=20,
        tables=("profile",),
    )
    path = store.folder / "points.parquet"
    shown = profile_shown(path, store, ["cell", "clip"], 10_000)
    whole = store.table("profile", store.ids()).merge(
        pd.read_parquet(path)[["id", "cell"]], on="id"
    )
    own = whole[(whole["cell"] == "gru") & (whole["layer"] == "network") & (whole["lag"] == 1)]
    last = shown[(shown["cell"] == "gru") & (shown["stage"] == "last") & (shown["lag"] == 1)]
    expected = own[own["update"] == own["update"].max()]["log10_mean"].median()
    assert last["log10_mean"].tolist() == [pytest.approx(expected)] and len(own["id"].unique()) == 3
    assert shown["lag"].max() == whole["lag"].max() and shown["lag"].nunique() < 50
    assert len(profile_shown(path, store, ["cell"], 7)) == 7


def test_an_untracked_study_says_and_sends_nothing(tmp_path: Path) -> None:
    folder = tracked(tmp_path, "online")
    shutil.rmtree(folder / "wandb")
    assert log_artifacts(folder) == ""
    assert not (folder / "wandb").exists()


@pytest.mark.parametrize(
    "environment", [{}, {"WANDB_API_KEY": KEY, "WANDB_BASE_URL": "http://127.0.0.1:9"}]
)
def test_what_fails_is_a_warning_and_loses_nothing(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    folder = tracked(tmp_path, "online")
    (next((folder / "points").iterdir()) / "config.yaml").write_text(
        "tracker:\n  wandb:\n    patience: 3\n"
    )
    done = run(folder, tmp_path, **environment)
    assert (
        done.returncode == 0
        and done.stderr.startswith("warning: W&B did not get the artifacts of this study (")
        and "Traceback" not in done.stderr
    )
    assert not (folder / "wandb" / "artifacts.jsonl").exists()
