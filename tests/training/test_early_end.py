"""Points that end early: when, what is kept of them, and that nobody else's numbers change."""

from __future__ import annotations

import contextlib
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from reports.sections.cost import saved
from reports.statistics.survival import times
from study.config.check import check
from study.config.setup import set_up
from study.interfaces import Group, Point
from study.records import StudyError
from study.store import Store
from study.training.checkpoints import Checkpoints
from study.training.engine import Stopped, run_group
from tests.reports.page_text import read_page
from tests.support.commands import call
from tests.support.helpers import Sum, point, run
from tests.training.test_checkpoints import CLIPS, PROBES, go_on
from tests.training.test_engine import CELLS, same_point

UPDATES, EVERY, SOLVED = 24, 3, 0.03


class Easy(Sum):
    """Solved after a few updates of a fast rate."""

    @property
    def facts(self):
        return replace(super().facts, solved=SOLVED)


def members(checks: int | None = 2, diverged: bool = True, **shared) -> list[Point]:
    """One group: two that learn fast, one that does not learn, one that diverges at update 3."""
    task = {**point().config["task"], "_target_": "tests.training.test_early_end.Easy"}
    shared = {
        "updates": UPDATES,
        "validate_every": EVERY,
        "task": task,
        "stop": {"solved_checks": checks, "diverged": diverged},
        **shared,
    }
    adam = {
        "_target_": "study.optimizers.adam.Adam",
        "beta1": 0.9,
        "beta2": 0.999,
        "eps": 1e-8,
        "weight_decay": 0.0,
    }
    rates = {"fast": 0.05, "faster": 0.1, "slow": 1e-5}
    made = [
        point(seed, name, optimizer={**adam, "lr": rate}, **shared)
        for seed, (name, rate) in enumerate(rates.items())
    ]
    return [*made, point(0, "nan", clip=CLIPS["nan"], optimizer={**adam, "lr": 0.01}, **shared)]


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Store:
    """The same points with all updates."""
    return run(members(None, diverged=False), tmp_path_factory.mktemp("whole"))


@pytest.fixture(scope="module")
def early(tmp_path_factory) -> Store:
    return run(members(), tmp_path_factory.mktemp("early"))


def rows(store: Store) -> dict[str, dict]:
    return {id: store.result(id)["row"] for id in store.ids()}


def test_the_solved_end_after_as_many_checks_and_the_rest_change_by_no_bit(whole, early):
    same_point(whole, early, "slow")
    there, here = rows(whole), rows(early)
    assert here["slow"]["ended_early"] is None and here["slow"]["updates_saved"] == 0
    for id in ("fast", "faster"):
        history = whole.table("history", [id])
        checks = history[history["val_score"].notna()]
        met = (checks["val_score"] <= SOLVED).to_numpy()
        end = int(checks["update"].to_numpy()[1:][met[1:] & met[:-1]][0])
        assert EVERY < end < UPDATES, "or this tests nothing"
        row = here[id]
        assert (row["status"], row["outcome"], row["ended_early"]) == ("done", "solved", "solved")
        assert (row.get("updates", UPDATES), row["updates_done"], row["updates_saved"]) == (
            UPDATES,
            end,
            UPDATES - end,
        )
        assert row["solved_at"] == there[id]["solved_at"]
        shorter = early.table("history", [id])
        last = shorter.iloc[-1]
        assert last[["loss", "grad_norm"]].isna().all() and last["update"] == end
        pd.testing.assert_frame_equal(shorter.iloc[:-1], history.iloc[:end], check_exact=True)
        assert last["val_score"] == history["val_score"].iloc[end]
        assert row["val_score"] == shorter["val_score"].min(), (
            "scored weights are still those of the best validation"
        )
        assert row["val_score"] >= there[id]["val_score"]
        assert np.isfinite([row["score"], row["final_score"], row["train_score"]]).all()


def checked(store: Store, id: str) -> dict[int, bool]:
    """Whether each validation meets the criterion, by its update."""
    history = store.table("history", [id])
    checks = history[history["val_score"].notna()]
    return dict(zip(checks["update"], checks["val_score"] <= SOLVED, strict=True))


def test_probes_not_reached_are_absent_but_for_those_of_the_end(whole, early):
    """The scheduled ones change by no bit. The one that decides verdicts also measures at every
    validation that meets the criterion, the others once at the end.
    """
    for id in ("fast", "faster"):
        end = rows(early)[id]["updates_done"]
        full, found = (store.table("states", [id]) for store in (whole, early))
        scheduled = set(full.loc[full["update"] <= end, "update"])
        met = {update for update, solved in checked(early, id).items() if solved}
        assert met - scheduled, "or this tests nothing"
        assert set(found["update"]) == scheduled | met
        pd.testing.assert_frame_equal(
            found[found["update"].isin(scheduled)].drop(columns="stage").reset_index(drop=True),
            full[full["update"] <= end].drop(columns="stage").reset_index(drop=True),
            check_exact=True,
        )
        for table, probe, updates in (
            ("states", None, scheduled | met),
            ("profile", "transport", scheduled | met),
            ("profile", "loss", scheduled | {end}),
            ("measures", "recurrence", scheduled | {end}),
        ):
            own = early.table(table, [id])
            own = own if probe is None else own[own["probe"] == probe]
            numbers = own.drop_duplicates("stage")
            assert numbers["update"].tolist() == sorted(updates), (table, probe)
            assert numbers["stage"].tolist() == [*range(len(updates))], (table, probe)
            assert len(own[["stage", "update"]].drop_duplicates()) == len(numbers)


def test_the_end_state_is_of_the_probes_of_the_validations_that_ended_it(early):
    for id in ("fast", "faster"):
        row, checks = rows(early)[id], checked(early, id)
        streak = sorted(checks)[-2:]
        assert [checks[update] for update in streak] == [True, True]
        states = early.table("states", [id])
        for layer, own in states.groupby("layer"):
            judged = own[own["update"].isin(streak) | (own["update"] > streak[0])].tail(3)
            (kept,) = early.table("layers", [id]).query("layer == @layer").to_dict("records")
            for name in ("D", "D_low", "D_high", "U", "U_low", "U_high"):
                assert kept[name] == np.median(judged[name])
            assert kept["judged_from"] == judged["update"].iloc[0] >= streak[0]
            assert kept["judged_probes"] == len(judged) >= 2
            if layer == "network":
                for name in ("D", "U", "state", "verdict", "judged_from", "judged_probes"):
                    assert row[name] == kept[name]


def test_the_diverged_leave_and_no_number_depends_on_it(whole, early):
    same_but = {"seconds", "ended_early", "updates_saved"}
    there, here = rows(whole)["nan"], rows(early)["nan"]
    assert {key: value for key, value in here.items() if key not in same_but} == {
        key: value for key, value in there.items() if key not in same_but
    }
    assert (there["ended_early"], there["updates_saved"]) == (None, 0)
    assert here["diverged_at"] == 3 and here["first_nonfinite"]
    assert (here["ended_early"], here["updates_saved"], here["updates_done"]) == (
        "diverged",
        UPDATES - 2 * EVERY,
        3,
    )
    for table in ("history", "states", "measures", "test"):
        pd.testing.assert_frame_equal(
            whole.table(table, ["nan"]), early.table(table, ["nan"]), check_exact=True
        )


@pytest.mark.parametrize(("cell", "hidden", "checks"), [("lstm", 8, 2), ("rnn", 7, 1)])
def test_company_and_interruptions_change_nothing(tmp_path, cell, hidden, checks):
    """Alone, in other company, and gone on with after some have ended; sizes that are trained side
    by side and one by one.
    """
    points = members(checks, cell=CELLS[cell], hidden=hidden, probe=PROBES, dropout=0.2, depth=2)
    together = run(points, tmp_path / "together")
    ends = {
        id: row["updates_done"]
        for id, row in rows(together).items()
        if row["ended_early"] == "solved"
    }
    assert ends, "or this tests nothing"
    for count in (1, 2):
        fewer = run(points[:count], tmp_path / f"{count}")
        for each in points[:count]:
            same_point(together, fewer, each.id)
    folder, met = tmp_path / "left", []
    folder.mkdir()
    for at in (2, 7, 11, 16):  # between the ends
        left = [
            each for each in points[:: 1 if at < 10 else -1] if each.id not in Store(folder).ids()
        ]
        with contextlib.suppress(Stopped):
            if left:
                run_group(
                    Group("1", tuple(left), 1.0), folder, "cpu", lambda update, at=at: update == at
                )
        stored = set(Store(folder).ids())
        met.append(
            bool(stored)
            and set(Checkpoints(folder).updates(each.id for each in points))
            == {each.id for each in points} - stored
        )
    assert hidden % 8 or any(met), (
        "those that have ended are stored before their group is, the others are kept"
    )
    if left := [each for each in points if each.id not in Store(folder).ids()]:
        go_on(left, folder)
    for each in points:
        same_point(together, Store(folder), each.id)
    assert list(folder.glob("checkpoints/*")) == []


def wavering(checks: int = 3) -> list[Point]:
    """Two whose validations meet the criterion, miss it, and meet it again; one that is slow.

    The first ends early, the second never has three in a row.
    """
    shared = members(checks)[0].config
    return [
        point(0, name, **{**changed, "optimizer": {**shared["optimizer"], "lr": rate}})
        for name, rate in (("soon", 0.3), ("never", 0.5), ("slow", 1e-5))
        for changed in [
            {key: shared[key] for key in ("updates", "task", "stop")} | {"validate_every": 2}
        ]
    ]


@pytest.fixture(scope="module")
def wavered(tmp_path_factory) -> Store:
    return run(wavering(), tmp_path_factory.mktemp("wavered"))


def test_probes_of_broken_streaks_are_probes_like_any_other(wavered):
    for id, ended in (("soon", "solved"), ("never", None)):
        row, checks = rows(wavered)[id], checked(wavered, id)
        assert row["ended_early"] == ended
        met = {update for update, solved in checks.items() if solved}
        streak = sorted(checks)[-3:]
        assert (set(streak) <= met) == (ended == "solved")
        assert any(update < streak[0] for update in met), "none was broken: this tests nothing"
        states = wavered.table("states", [id]).query("layer == 'network'")
        assert met <= set(states["update"])
        assert states["stage"].tolist() == [*range(len(states))]
        assert states["update"].is_monotonic_increasing
        start = streak[0] if ended else round(0.6 * UPDATES)
        judged = states[states["update"] >= start].tail(3)
        assert row["D"] == np.median(judged["D"])
        assert (row["judged_from"], row["judged_probes"]) == (judged["update"].iloc[0], len(judged))
    assert len(wavered.table("states", ["slow"]).query("layer == 'network'")) == len(
        point().config["health"]["stages"]
    ), "no criterion met, no probe"


def test_streaks_are_the_same_in_any_company_and_after_any_interruption(wavered, tmp_path):
    points = wavering()
    for number, company in enumerate((points[:1], points[1:], points[1::-1])):
        store = run(company, tmp_path / f"company-{number}")
        for each in company:
            same_point(wavered, store, each.id)
    for at in range(5, UPDATES, 3):  # before, in and after streaks
        folder = tmp_path / f"left-{at}"
        folder.mkdir()
        with contextlib.suppress(Stopped):
            run_group(
                Group("1", tuple(points), 1.0), folder, "cpu", lambda update, at=at: update == at
            )
        left = [each for each in points if each.id not in Store(folder).ids()]
        if at % 2:
            go_on(left[:1], folder)  # alone
            left = left[1:]
        if left:
            go_on(left, folder)
        for each in points:
            same_point(wavered, Store(folder), each.id)


ADDING = (
    *("-m", "name=adding", "tracker=[]", "device=cpu", "executor.workers=1", "task=adding"),
    *("task.steps=40", "cell=gru", "seed=0,1", "hidden=16", "batch=32", "optimizer.lr=0.01"),
    *("updates=2400", "validate_every=15", "stop.solved_checks=3", "probe=[transport]"),
)


def test_what_a_command_trains_until_it_has_solved_carries_at_its_end_and_the_page_says_so(
    tmp_path,
):
    """GRUs on adding: they begin vanishing, and open shortly before they solve it. The scheduled
    probes before the end lie in between.
    """
    ran = call(tmp_path, "study", *ADDING)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    store = Store(tmp_path / "outputs" / "adding")
    earlier = []
    for id, row in rows(store).items():
        assert row["ended_early"] == "solved" and row["updates_done"] < 2400 / 4
        states = store.table("states", [id]).query("layer == 'network'")
        end = states[states["update"] > row["updates_done"] - 3 * 15]
        assert end["update"].tolist() == [row["updates_done"] - 15 * before for before in (2, 1, 0)]
        assert (row["judged_from"], row["judged_probes"]) == (end["update"].iloc[0], 3)
        assert row["D"] == np.median(end["D"])
        assert set(end["state"]) == {row["state"]} == {"carrying"}
        assert row["verdict"] == "opens" and row["opened_at"] <= row["updates_done"]
        earlier.append([*states["D"][~states.index.isin(end.index)][-2:], end["D"].iloc[-1]])
    assert any(np.median(D) < -2 for D in earlier), (
        "with the last scheduled probes as its end no point would be closed: this tests nothing"
    )
    one = store.ids()[-1]
    labels = {**store.result(one)["labels"]}
    alone = Point(id=one, config=store.config(one), seed=labels.pop("seed"), labels=labels)
    same_point(store, run([alone], tmp_path / "alone"), one)
    assert call(tmp_path, "reports", "render", "outputs/adding").returncode == 0
    page = read_page(tmp_path / "outputs" / "adding" / "report.html")
    assert (
        "of the 2 networks that ended early as solved, the last 3, in the last 30 updates." in page
    )
    assert "2 of 2 networks were trained no further once the task was solved, after " in page


def test_an_interruption_between_deciding_and_storing_ends_it_at_the_same_update(
    early, tmp_path, monkeypatch
):
    """A worker that is killed while it stores goes on from the checkpoint before, and finds the
    same end.
    """
    from study.training import engine

    points = [
        replace(
            each, config={**each.config, "store": {**each.config["store"], "checkpoint_seconds": 0}}
        )
        for each in members()
    ]

    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(engine, "write_once", killed)
    with pytest.raises(KeyboardInterrupt):
        run_group(Group("1", tuple(points), 1.0), tmp_path, "cpu", lambda update: None)
    assert Store(tmp_path).ids() == []
    monkeypatch.undo()
    go_on(points, tmp_path)
    for each in points:
        same_point(early, Store(tmp_path), each.id)


def test_a_group_whose_members_have_all_ended_is_over(tmp_path):
    heard = []
    points = members(1)[:2]
    run_group(Group("1", tuple(points), 1.0), tmp_path, "cpu", heard.append)
    assert len(Store(tmp_path).ids()) == 2
    assert (
        max(heard) == max(row["updates_done"] for row in rows(Store(tmp_path)).values()) < UPDATES
    )
    with pytest.raises(Stopped):  # and is left like any other
        run_group(
            Group("1", tuple(points), 1.0), tmp_path / "other", "cpu", lambda update: update == 1
        )


def test_seconds_are_of_the_time_a_member_was_there(tmp_path, monkeypatch):
    """By a clock that only updates move, one second each, shared by the members that are there."""
    now = [0.0]
    monkeypatch.setattr("study.training.engine.time.perf_counter", lambda: now[0])

    def hear(update: int) -> None:
        now[0] += 1.0

    run_group(Group("1", tuple(members()), 1.0), tmp_path, "cpu", hear)
    # update 0 counts too; the one that diverges at update 3 leaves at the validation after that
    until_6, until_9, until_12, until_24 = 7 / 4, 3 / 3, 3 / 2, 12 / 1
    assert {id: row["seconds"] for id, row in rows(Store(tmp_path)).items()} == {
        "nan": until_6,
        "fast": until_6 + until_9,
        "faster": until_6 + until_9 + until_12,
        "slow": until_6 + until_9 + until_12 + until_24,
    }


def test_points_with_and_without_it_may_share_a_group():
    assert set_up(members(2)[0].config).group_key == set_up(members(None)[0].config).group_key


@pytest.mark.parametrize("checks", [0, -1, True, 1.5])
def test_it_must_be_a_count(checks):
    with pytest.raises(
        StudyError, match=r"stop.solved_checks: must be a whole number of at least 1"
    ):
        check(members(checks)[0].config)


def test_an_old_store_has_nulls_and_its_report_says_nothing(whole, early):
    old = early.points().drop(columns=["ended_early", "updates_saved"])
    assert saved(old.assign(ended_early=None, updates_saved=np.nan)) == ""
    frame = early.points().assign(updates=UPDATES)
    told = saved(frame)
    less = int(frame["updates_saved"].sum())
    assert (
        f"3 networks of 4 ended early (2 solved, 1 diverged): {less:,} of {4 * UPDATES} updates"
        " were saved" in told
    )
    solved = times(frame.assign(solved_at=frame["solved_at"].astype(float)))
    assert set(solved.loc[solved["solved"], "id"]) == {"fast", "faster"}
    assert (solved.loc[~solved["solved"], "time"] == UPDATES).all(), (
        "what diverged will never solve it"
    )
