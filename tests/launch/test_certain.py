"""make certain: seeds where they decide; killed and started again, the same race; its page."""

from __future__ import annotations

import datetime
import json
import random
import zlib
from pathlib import Path
from queue import SimpleQueue
from types import SimpleNamespace

import pytest
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.utils import create_config_search_path
from rich.console import Console

import study.launch.certain as command
from reports.analysis.race import (
    adjusted_text,
    chosen_text,
    cost_text,
    end_text,
    error_text,
    question_text,
    race_of,
)
from reports.battery import check_section
from reports.data.study import Study
from reports.export.export import export
from reports.formatting import score_number
from reports.sections.race import Race
from study.config.compose import read_sweep
from study.config.paths import conf_folder
from study.hydra_plugins import register
from study.launch.run import INTERRUPTED, OK, SOME_FAILED, declare
from study.launch.trackers import Trackers
from study.records import StudyError
from study.store import PointRecord, Store
from study.store.race import read_race
from study.store.search import SearchStore
from tests.support.commands import call

RATES = {0.1: 0.5, 0.01: 0.9, 0.02: 0.85}  # learning rate: mean score
SPREAD = 0.04
UPDATES = 1000
ASKED = ["study.certain.examples=false", "study.certain.looks=[3,4,6]", "study.certain.max_seeds=9"]
ASKED += ["study.certain.dropping=cubic"]  # late, so that two arms are left after three seeds


@pytest.fixture(scope="module")
def loader() -> ConfigLoaderImpl:
    register()
    return ConfigLoaderImpl(create_config_search_path(str(conf_folder().resolve())))


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[tuple[float, int]]:
    """Points are made up instead of trained; (rate, seed) of each, in the order of training."""
    order: list[tuple[float, int]] = []
    monkeypatch.setattr(command, "run", lambda plan: made_up(plan, order))
    monkeypatch.setattr(command, "RACES", 20)
    return order


def made_up(plan, order, stop_after: int | None = None, failed: float = 0) -> int:
    """Declare the plan and store its missing points, or some of them; the exit status."""
    store = Store(plan.folder)
    declare(store, plan, plan.fingerprint(), 1, datetime.datetime.now().isoformat())
    for point in plan.missing[:stop_after]:
        rate = point.labels["optimizer.lr"]
        order.append((rate, point.seed))
        spread = zlib.crc32(f"{rate} {point.seed}".encode()) / 2**32 - 0.5
        score = RATES[rate] + SPREAD * spread
        status = "failed" if failed == rate else "done"
        row = {
            **{key: value for key, value in point.labels.items() if "." not in key},
            "id": point.id,
            "seed": point.seed,
            "status": status,
            "outcome": "learning",
            "val_score": score,
            "score": score,
            "baseline": 0.1,
            "solved_at": None if rate == 0.1 else int(UPDATES * (1 - score)),
            "seconds": 60.0,
        }
        store.write(PointRecord(point.id, row, dict(point.labels), "a: 1\n", [], {"probes": {}}))
    return INTERRUPTED if stop_after is not None and len(plan.missing) > stop_after else OK


def start(loader, folder: Path, *changed: str) -> int:
    """The command, of three cells; a changed key replaces the one here."""
    lines = ["task=parity", "optimizer.lr=.1,.01,.02", "seed=0,1,2", "name=quick"]
    lines += [f"store.folder={folder}", "tracker=[]", "study.certain.confirm=false", *ASKED]
    keys = {line.split("=")[0] for line in changed}
    kept = [line for line in lines if line.split("=")[0] not in keys]
    return command.certain(loader, "config", read_sweep(loader, {}, [*kept, *changed]), None)


def test_seeds_go_where_they_decide(loader, trained, tmp_path, capsys):
    assert start(loader, tmp_path) == OK
    seeds = {rate: sorted(seed for own, seed in trained if own == rate) for rate in RATES}
    assert seeds[0.1] == [0, 1, 2], "far behind after the declared seeds"
    assert seeds[0.01] == seeds[0.02] == [0, 1, 2, 3], "these needed another look"
    state = read_race(tmp_path / "quick")
    assert state["ended"] == "answered" and state["runs"] == len(trained) == 11
    assert state["looks"][-1]["standing"] == ["out", "chosen", "out"]
    assert state["seconds"] == 11 * 60
    declared = json.loads((tmp_path / "quick" / "study.json").read_text())["declaration"]
    assert {point["id"] for point in declared["grid"]} == set(Store(tmp_path / "quick").ids())
    said = capsys.readouterr().out
    assert "which arm has the best validation accuracy on the last step, to within 0.02? 3" in said
    assert "look at 3 seeds: 1 arm out, 2 left" in said
    assert "quick: answered. chosen: lr 0.01: 0." in said
    assert "the mean of what the race names is lowered by" in said
    best, means = state["looks"][-1]["mean"][1], state["adjusted"]["means"]
    assert means == [None, pytest.approx(best - state["adjusted"]["by"]), None]

    check_section(Race(looks=6), page := Study(Store(tmp_path / "quick")))
    race = race_of(page)
    assert question_text(race).startswith("Which recipe has the best validation accuracy")
    assert end_text(race) == (
        "Answered at 4 seeds: learning rate 0.01 is chosen; 2 recipes are shown to be worse."
    )
    assert cost_text(race).startswith("The race trained 11 networks.")
    assert error_text(race).startswith("Promised: at most 5 % of such races decide anything wrong")
    by = score_number(state["adjusted"]["by"])
    lowered = f"That of learning rate 0.01 is therefore lowered by {by}, by which"
    assert lowered in adjusted_text(race)
    raced = "A race by validation accuracy on the last step chose learning rate 0.01"
    assert chosen_text(page).startswith(raced)
    behind = {one.label: one.behind for one in race.arms}
    low, high = behind["learning rate 0.1"]
    assert behind["learning rate 0.01"] is None and 0 < low < 0.4 < high < 0.8

    trained.clear()
    assert start(loader, tmp_path) == OK and not trained, "the same command trains nothing more"
    again = read_race(tmp_path / "quick")
    assert again == state
    with pytest.raises(StudyError, match=r"another question \(delta: 0.02, now 0.01\)"):
        start(loader, tmp_path, "study.certain.delta=0.01")
    assert start(loader, tmp_path, "study.certain.max_hours=5") == OK


def test_a_race_that_is_killed_again_and_again_is_the_same_race(
    loader, trained, tmp_path, monkeypatch
):
    assert start(loader, tmp_path / "whole") == OK
    undisturbed = read_race(tmp_path / "whole" / "quick")
    random.seed(0)
    statuses = []
    while not statuses or statuses[-1] == INTERRUPTED:
        stop = random.choice([0, 1, 2])
        monkeypatch.setattr(command, "run", lambda plan, stop=stop: made_up(plan, trained, stop))
        statuses.append(start(loader, tmp_path / "killed"))
    assert len(statuses) > 5 and statuses[-1] == OK
    assert read_race(tmp_path / "killed" / "quick") == undisturbed


def test_hours_end_a_race_and_more_hours_go_on(loader, trained, tmp_path, capsys):
    assert start(loader, tmp_path, "study.certain.max_hours=0.16") == OK  # 9 points take .15
    assert len(trained) == 9
    assert read_race(tmp_path / "quick")["ended"] == "out of hours"
    assert "more hours go on from here" in capsys.readouterr().out
    assert start(loader, tmp_path, "study.certain.max_hours=1") == OK
    assert read_race(tmp_path / "quick")["ended"] == "answered" and len(trained) == 11


def test_test_scores_wait_for_the_end_of_a_race_that_holds_them_out(
    loader, trained, tmp_path, monkeypatch
):
    sent: list[int] = []

    def train_and_send(plan, stop=None):
        status, store = made_up(plan, trained, stop), Store(plan.folder)
        trackers, sink = Trackers({}, "", plan.folder, Console(), 1.0), SimpleQueue()
        trackers.sinks = [SimpleNamespace(queue=sink)]
        trackers.send(store, store.ids())
        sent.append(sink.qsize())
        return status

    asked = ["study.certain.holdout=true", "tracker=[csv]"]
    monkeypatch.setattr(command, "run", lambda plan: train_and_send(plan, 5))
    assert start(loader, tmp_path, *asked) == INTERRUPTED
    store = Store(tmp_path / "quick")
    with pytest.raises(StudyError, match="not shown before its race is over"):
        Study(store)
    with pytest.raises(StudyError, match="not shown before its race is over"):
        export(store.folder, store.ids()[0], None)
    assert len(Study(store, only_counted=True).grid) == 9
    monkeypatch.setattr(command, "run", train_and_send)
    assert start(loader, tmp_path, *asked) == OK
    assert sent == [0, 0, 0, 11], "after the end, what waited for it"
    assert Study(store).grid["score"].notna().all()


def test_points_without_a_result_hold_a_look_up(loader, trained, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(command, "run", lambda plan: made_up(plan, trained, failed=0.02))
    assert start(loader, tmp_path) == SOME_FAILED
    assert "waits for 3 points without a result" in capsys.readouterr().out
    assert read_race(tmp_path / "quick") is None, "nothing was decided without them"


def test_comparisons_and_thresholds_are_answered_in_the_words_of_the_question(
    loader, trained, tmp_path, capsys
):
    contrast = (
        "{name: slow, first: {optimizer.lr: [.01, .02]}, second: {optimizer.lr: .1}, by: score}"
    )
    asked = ["study.certain.decide=contrasts", f"study.contrasts=[{contrast}]"]
    assert start(loader, tmp_path, *asked) == OK
    assert "quick: answered. supported: slow" in capsys.readouterr().out
    page = Study(Store(tmp_path / "quick"))
    check_section(Race(looks=6), page)
    assert end_text(race_of(page)) == "Answered at 3 seeds: 1 of 1 decided."

    asked = ["study.certain.decide=threshold", "study.certain.threshold=0.85", "name=other"]
    assert start(loader, tmp_path, *asked) == OK
    said = capsys.readouterr().out
    for words in ("do not reach it: lr 0.1", "; reach it: lr 0.01", "within 0.02 of it: lr 0.02"):
        assert words in said


def test_a_race_for_the_time_until_solved_counts_the_whole_run_of_those_that_never_are(
    loader, trained, tmp_path, capsys
):
    asked = ["study.certain.by=time", f"updates={UPDATES}", "study.certain.examples=true"]
    assert start(loader, tmp_path, *asked) == OK
    state = read_race(tmp_path / "quick")
    means = state["looks"][0]["mean"]
    assert means == [1.0, *(pytest.approx(one, abs=0.02) for one in (0.1, 0.15))]
    assert state["looks"][-1]["standing"][1] == "chosen" and state["examples"] is None
    said = capsys.readouterr().out
    assert "which arm has the best share of the run until solved, to within 0.02?" in said
    assert question_text(race_of(Study(Store(tmp_path / "quick")))).startswith(
        "Which recipe has the best share of the run until solved"
    )


def test_what_cannot_be_raced_is_refused_before_anything_is_stored(loader, trained, tmp_path):
    with pytest.raises(StudyError, match="certain: arms of several tasks have no common score"):
        start(loader, tmp_path, "task=parity,adding")
    SearchStore(tmp_path / "tuned" / "search").write({"seeds": [2, 50]}, {})
    with pytest.raises(StudyError, match="seed: 2 had a part in the search that chose"):
        start(loader, tmp_path, "study.search=../tuned/search")
    with pytest.raises(StudyError, match="anytime needs scores between 0 and 1, and the mean squ"):
        start(loader, tmp_path, "task=adding", "study.certain.method=anytime")
    assert not (tmp_path / "quick").exists() and not trained


def test_seeds_of_a_search_are_never_given_to_a_race(loader, trained, tmp_path):
    SearchStore(tmp_path / "tuned" / "search").write({"seeds": [50]}, {})
    assert start(loader, tmp_path, "study.search=../tuned/search") == OK
    assert {seed for _, seed in trained} == {0, 1, 2, 51}


def test_a_plan_says_what_a_race_would_take(loader, trained, tmp_path, capsys):
    assert start(loader, tmp_path, "plan=true") == OK and not trained
    assert "not known before every arm has two stored seeds; at most 27" in capsys.readouterr().out
    start(loader, tmp_path, "study.certain.max_hours=0.16")
    capsys.readouterr()
    assert start(loader, tmp_path, "plan=true") == OK
    said = capsys.readouterr().out
    assert "a race takes about 11 runs" in said and "11 min of training added up" in said
    assert "equal seeds for all arms would need 3 each, 9 runs (9 min), to decide as much" in said


def test_the_command_trains_decides_and_confirms(tmp_path):
    ran = call(
        tmp_path,
        "study",
        *["-m", "experiment=quick", "hydra/sweeper=certain", "cell=rnn,lstm", "seed=0,1"],
        *["initializer=orthogonal", "updates=20", "hidden=8", "batch=32", "validate_every=10"],
        *["tracker=[csv]", "study.certain.holdout=true", "executor.workers=1"],
        *["health.stages=[0,1]", "study.confirm.seeds=2"],
        *["study.certain.max_seeds=3", "study.certain.delta=1"],
    )
    assert ran.returncode == OK, ran.stdout + ran.stderr
    state = read_race(tmp_path / "outputs" / "quick")
    assert state["ended"] == "answered" and state["looks"][0]["seeds"] == 2
    rows = (tmp_path / "outputs" / "quick" / "csv" / "points.csv").read_text().splitlines()
    assert len(rows) == 1 + state["runs"], "the tracker has heard what waited for the end"
    fresh = Store(tmp_path / "outputs" / "quick" / "quick-confirm").points()
    assert sorted(fresh["seed"].unique()) == [3, 4], "2 would have been the race's own"
