"""The whole path by its commands: a search with its W&B runs, the tuned study, its report; Ctrl-C
and going on.
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pandas as pd
import pytest

from study.search.spec import trial_name
from study.store import Store
from study.store.search import SearchStore
from tests import ROOT
from tests.search.helpers import free_port
from tests.support.commands import call
from tests.support.helpers import hears_ctrl_c

pytestmark = pytest.mark.slow

WANDB = str(Path(sys.executable).with_name("wandb"))
SEARCH = [
    "-m",
    "experiment=quick",
    "hydra/sweeper=optuna",
    "search=lr",
    "cell=rnn,gru",
    "initializer=orthogonal",
    "updates=30",
    "validate_every=10",
]


def environment(home: Path) -> dict[str, str]:
    clean = {key: value for key, value in os.environ.items() if not key.startswith("WANDB_")}
    return {**clean, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "HOME": str(home)}


def command(folder: Path, module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command in this process."""
    return call(folder, module, *arguments, environment={"HOME": str(folder / "home")})


def real_command(folder: Path, module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own."""
    (folder / "home").mkdir(exist_ok=True)
    return subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=folder,
        env=environment(folder / "home"),
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    folder = tmp_path_factory.mktemp("command")
    return folder, real_command(folder, "study", *SEARCH, "search.trials=4", "search.replicates=2")


def test_the_search_tells_what_it_found_and_what_to_type_next(searched):
    folder, ran = searched
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "2 arms, 8 trials" in ran.stdout
    assert "8 trials finished" in ran.stdout
    assert "experiment=quick_tuned" in ran.stdout
    assert "optuna-dashboard outputs/quick/search/journal.log" in ran.stdout
    found = SearchStore(folder / "outputs" / "quick" / "search").summary()
    assert [arm["trials"] for arm in found["arms"]] == [4, 4]
    assert all(arm["best"]["score"] >= arm["default"]["score"] for arm in found["arms"])


def test_every_trial_is_a_run_of_the_group_with_the_tag_search_and_the_best_are_marked(searched):
    folder, ran = searched
    runs: dict[str, list[set[str]]] = {}
    for path in sorted((folder / "outputs" / "quick" / "wandb").glob("offline-run-*/*.wandb")):
        told = subprocess.run(
            [WANDB, "leet", "inspect", "--summary", "--json", str(path)],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        ).stdout
        read = json.loads(told)
        runs.setdefault(read["run_id"], []).append(set(read["tags"]))
        assert read["summary"].get("score") is None
        assert read["config"]["replicates"] == 2
    assert len(runs) == 8
    assert all("search" in tags for each in runs.values() for tags in each)
    found = SearchStore(folder / "outputs" / "quick" / "search").summary()
    assert ran.returncode == 0
    best = {f"quick-{trial_name(arm['arm'], arm['best']['trial'])}" for arm in found["arms"]}
    assert len(best) == 2
    assert {run for run, each in runs.items() if any("best" in tags for tags in each)} == best


def test_the_same_command_again_trains_nothing_and_a_larger_budget_adds_to_it(searched):
    folder, _ = searched
    store = SearchStore(folder / "outputs" / "quick" / "search")
    before = store.table("trials")
    again = command(
        folder, "study", *SEARCH, "search.trials=4", "search.replicates=2", "tracker=[]"
    )
    assert again.returncode == 0, again.stdout + again.stderr
    assert "8 stored already" in again.stdout
    pd.testing.assert_frame_equal(store.table("trials"), before)
    more = command(folder, "study", *SEARCH, "search.trials=5", "search.replicates=2", "tracker=[]")
    assert more.returncode == 0, more.stdout + more.stderr
    after = store.table("trials")
    assert len(after) == 10
    kept = after[after["trial"] < 4].reset_index(drop=True)
    pd.testing.assert_frame_equal(kept.drop(columns="best"), before.drop(columns="best"))


def test_another_space_is_refused_and_nothing_is_changed(searched):
    folder, _ = searched
    journal = folder / "outputs" / "quick" / "search" / "journal.log"
    before = journal.read_bytes()
    other = command(
        folder,
        "study",
        *SEARCH,
        "search.replicates=2",
        "optimizer.lr=interval(0.001,0.01)",
        "tracker=[]",
    )
    assert other.returncode == 2
    assert (
        "space optimizer.lr: stored 0.0003 to 0.03, logarithmic, now 0.001 to 0.01" in other.stderr
    )
    assert "Traceback" not in other.stderr
    assert journal.read_bytes() == before


def test_the_tuned_study_trains_both_arms_with_fresh_seeds_and_reports_the_search(searched):
    folder, _ = searched
    config = [
        "--config-dir",
        "outputs/quick/search",
        "experiment=quick_tuned",
        "tracker=[]",
        "seed=0,1",
    ]
    ran = real_command(folder, "study", "-m", *config)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    store = Store(folder / "outputs" / "quick_tuned")
    points = store.points()
    assert sorted(zip(points["cell"], points["tuned"], points["seed"], strict=True)) == [
        (cell, tuned, seed) for cell in ("gru", "rnn") for tuned in (False, True) for seed in (0, 1)
    ]
    assert points["score"].notna().all()
    rendered = command(folder, "reports", "render", "outputs/quick_tuned")
    assert rendered.returncode == 0, rendered.stdout + rendered.stderr
    page = (store.folder / "report.html").read_text()
    for heading in (
        "Tuning",
        "History of the search",
        "Score by searched key",
        "What mattered in the search",
    ):
        assert heading in page, heading
    assert "could not be rendered" not in page


def test_the_dashboard_opens_the_storage_as_it_is(searched):
    """The very command that the search prints; every arm is a study in it, with its trials."""
    folder, ran = searched
    printed = (
        next(line for line in ran.stdout.splitlines() if "optuna-dashboard" in line)
        .split(": ", 1)[1]
        .split()
    )
    port = free_port()
    command = [
        str(Path(sys.executable).with_name(printed[0])),
        *printed[1:],
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
    ]
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=environment(folder / "home"),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )

    def get(path: str) -> bytes:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/{path}", timeout=20) as answer:
            assert answer.status == 200
            return answer.read()

    try:
        deadline = time.monotonic() + 60
        while True:
            assert process.poll() is None and time.monotonic() < deadline, process.communicate()[0]
            try:
                studies = json.loads(get("api/studies"))["study_summaries"]
                break
            except urllib.error.URLError:
                time.sleep(0.1)
        assert {study["study_name"] for study in studies} == {
            f"quick: cell={cell} initializer=orthogonal" for cell in ("rnn", "gru")
        }
        assert b"<html" in get("dashboard")
        for study in studies:
            trials = json.loads(get(f"api/studies/{study['study_id']}?after=0"))["trials"]
            assert [trial["state"] for trial in trials].count("Complete") >= 4
    finally:
        process.terminate()
        process.communicate()


def test_an_experiment_of_ones_own_is_tuned_and_the_printed_command_finds_both_folders(tmp_path):
    (tmp_path / "own folder" / "experiment").mkdir(parents=True)
    (tmp_path / "own folder" / "experiment" / "mine.yaml").write_text(
        "# @package _global_\nname: mine\nupdates: 6\nhidden: 8\ntask: {form: row}\nhydra:"
        " {sweeper: {params: {cell: 'rnn,gru', seed: '0,1'}}}\n"
    )
    own = ["-m", "--config-dir", "own folder", "experiment=mine", "tracker=[]"]
    ran = command(
        tmp_path,
        "study",
        *own,
        "hydra/sweeper=optuna",
        "search=lr",
        "search.trials=1",
        "search/objective=bowl",
        "executor.workers=1",
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    (line,) = [line for line in ran.stdout.splitlines() if line.startswith("the tuned study: ")]
    printed = shlex.split(line.split(" -m ", 1)[1])
    assert printed.count("--config-dir") == 2
    tuned = command(tmp_path, *printed, "tracker=[]", "plan=true")
    assert tuned.returncode == 0, tuned.stdout + tuned.stderr
    assert "8 points" in tuned.stdout
    nowhere = command(tmp_path, "study", "-m", "--config-dir", "nowhere", *own[1:])
    assert (nowhere.returncode, nowhere.stderr) == (
        2,
        "error: --config-dir: there is no folder nowhere\n",
    )


def test_the_default_study_may_be_trained_beside_its_search(searched):
    folder, _ = searched
    ran = command(
        folder,
        "study",
        "-m",
        "experiment=quick",
        "cell=rnn",
        "initializer=orthogonal",
        "seed=0,1",
        "updates=3",
        "tracker=[]",
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert (folder / "outputs" / "quick" / "study.json").exists()


def test_ctrl_c_ends_the_search_and_the_same_command_goes_on(tmp_path):
    arguments = [
        "-m",
        "hydra/sweeper=optuna",
        "search=lr",
        "search/objective=bowl",
        "search.objective.seconds=0.05",
        "search.per=[cell]",
        "search.trials=12",
    ]
    arguments += [
        "search.together=1",
        "task.form=row",
        "tracker=[]",
        "executor.workers=2",
        "name=stopped",
    ]
    (tmp_path / "home").mkdir()
    process = subprocess.Popen(
        [sys.executable, "-m", "study", *arguments],
        cwd=tmp_path,
        env=environment(tmp_path / "home"),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=hears_ctrl_c,
    )
    journal, deadline = (
        tmp_path / "outputs" / "stopped" / "search" / "journal.log",
        time.monotonic() + 120,
    )
    while time.monotonic() < deadline and (
        not journal.exists() or journal.read_text().count('"examples"') < 2
    ):
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    told, _ = process.communicate(timeout=60)
    assert process.returncode == 130, told
    assert "interrupted" in told
    assert "Traceback" not in told
    again = real_command(tmp_path, "study", *arguments)
    assert again.returncode == 0, again.stdout + again.stderr
    trials = SearchStore(tmp_path / "outputs" / "stopped" / "search").table("trials")
    assert trials["trial"].tolist() == list(range(12))
    assert (trials["status"] == "done").all()
    assert "Traceback" not in again.stdout + again.stderr
