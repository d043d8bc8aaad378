"""Failures are contained: the guilty point is found and marked, the rest complete; what fails alike
everywhere ends.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from study.config.settings import settings_of
from study.executors.local import Local
from study.interfaces import Group, Point
from study.launch.plan import Plan
from study.records import StudyError
from study.store import Store
from study.workers.isolation import Attempt, Tries
from tests.support.faults import LOCAL, statuses
from tests.support.helpers import launch_config, point
from tests.support.helpers import run as run_alone
from tests.training.test_engine import same_point

FAULTS = ("raise", "memory", "allocate", "kill", "nan")
LSTM, RNN = point().config["cell"], {"_target_": "study.cells.rnn.RNN", "nonlinearity": "tanh"}


def local(**changes: Any) -> Local:
    return Local(
        **{name: value for name, value in {**LOCAL, **changes}.items() if name != "_target_"}
    )


def run(executor: Local, groups: list[Group], folder: Path) -> list[Mapping[str, Any]]:
    return list(executor.run(groups, folder))


def faulty(seed: int, id: str, how: str, at: int = 17, **changes: Any) -> Point:
    return point(
        seed,
        id,
        updates=30,
        validate_every=10,
        probe={},
        clip={"_target_": "tests.support.faults.Fault", "how": how, "at": at},
        **changes,
    )


def sound(seed: int, id: str, **changes: Any) -> Point:
    return point(seed, id, updates=30, validate_every=10, probe={}, **changes)


# --- with real workers ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    """One group of nine: four sound points, and one of each fault at update 17."""
    points = [sound(seed, f"sound{seed}") for seed in range(4)]
    for place, how in zip((1, 3, 4, 5, 8), FAULTS, strict=True):
        points.insert(place, faulty(place, how, how))
    folder = tmp_path_factory.mktemp("mixed")
    events = run(local(workers=2, max_members=9), [Group("1", tuple(points), 1.0)], folder)
    return points, Store(folder), events


def test_the_guilty_are_found_and_the_rest_complete(mixed):
    points, store, _ = mixed
    expected = {each.id: "done" for each in points} | {
        "raise": "failed",
        "memory": "failed",
        "allocate": "failed",
        "kill": "failed",
        "nan": "diverged",
    }
    assert statuses(store) == expected


def test_reason_and_traceback_are_those_of_the_point(mixed):
    _, store, _ = mixed
    rows = {id: store.result(id) for id in FAULTS}
    assert rows["raise"]["row"]["reason"] == "RuntimeError: gate jammed at update 17"
    assert "in __call__" in rows["raise"]["failure"]["traceback"]
    assert rows["memory"]["row"]["reason"].startswith("OutOfMemoryError: CUDA out of memory")
    assert "allocate memory" in rows["allocate"]["failure"]["message"], (
        "memory that really is not there"
    )
    assert rows["kill"]["row"]["reason"].startswith(
        "WorkerDied: the worker process died (signal SIGKILL), 3 times"
    )
    assert rows["nan"]["row"]["diverged_at"] == 17
    assert "not finite at update 18" in rows["nan"]["row"]["reason"]


def test_the_others_have_the_numbers_they_have_alone(mixed, tmp_path):
    points, store, _ = mixed
    innocent = [each for each in points if each.id.startswith("sound")]
    alone = run_alone(innocent, tmp_path)
    for each in innocent:
        same_point(alone, store, each.id, tables=("history", "test"))


def test_every_point_is_told_once(mixed):
    points, _, events = mixed
    told = [id for event in events if event["event"] in ("stored", "failed") for id in event["ids"]]
    assert sorted(told) == sorted(each.id for each in points)
    assert {event["reason"].split(":")[0] for event in events if event["event"] == "failed"} == {
        "RuntimeError",
        "OutOfMemoryError",
        "WorkerDied",
    }


@pytest.mark.slow
def test_a_cell_that_loops_forever_is_ended_and_found(tmp_path):
    points = (sound(0, "sound0"), faulty(1, "loops", "loop"), sound(2, "sound2"))
    run(local(timeout_minutes=10 / 60), [Group("1", points, 1.0)], tmp_path)
    store = Store(tmp_path)
    assert statuses(store) == {"sound0": "done", "loops": "failed", "sound2": "done"}
    failure = store.result("loops")["failure"]
    assert failure["message"].startswith("no progress for 10 s, after")
    assert "faults.py" in failure["traceback"]
    assert "in __call__" in failure["traceback"]


def test_deaths_from_outside_are_nobodys_fault(tmp_path):
    """Workers die at updates 13, 17, 22 and 28, never twice at one: none of the deaths is the
    points' fault.
    """
    clip = {
        "_target_": "tests.support.faults.DiesOnce",
        "marks": str(tmp_path / "marks"),
        "at": [13, 17, 22, 28],
    }
    (tmp_path / "marks").mkdir()
    points = tuple(
        point(
            seed,
            updates=30,
            probe={},
            clip=clip,
            store={**point().config["store"], "checkpoint_seconds": 0},
        )
        for seed in range(2)
    )
    events = run(local(deaths=2), [Group("1", points, 1.0)], tmp_path)
    assert statuses(Store(tmp_path)) == {"p0": "done", "p1": "done"}
    assert [event["event"] for event in events if event["event"] in ("retried", "failed")] == [
        "retried"
    ] * 4
    assert Store(tmp_path).result("p0")["provenance"]["resumed"] == [13, 17, 22, 28]


def test_the_same_failure_everywhere_ends_the_study(tmp_path):
    structures = [{"cell": cell, "hidden": hidden} for cell in (LSTM, RNN) for hidden in (8, 16)]
    points = [
        faulty(seed, f"p{seed}{number}", "raise", at=0, **of)
        for seed in range(6)
        for number, of in enumerate(structures)
    ]
    groups = [Group(f"{number}", tuple(points[number::4]), 1.0) for number in range(4)]
    events = run(local(max_members=24), groups, tmp_path)
    assert sum(status == "failed" for status in statuses(Store(tmp_path)).values()) == 5
    (stopped,) = [event for event in events if event["event"] == "stopped"]
    assert stopped["reason"].startswith(
        "5 points failed alike and none has a result (RuntimeError: gate jammed"
    )


def test_one_broken_structure_does_not_end_the_others(tmp_path):
    """It comes first, and fails 3 times; what is like it is left out,
    everything else is trained.
    """
    broken = Group(
        "1",
        tuple(faulty(seed, f"broken{seed}", "raise", at=0, cell=RNN) for seed in range(10)),
        9.0,
    )
    others = Group("2", tuple(sound(seed, f"sound{seed}") for seed in range(3)), 1.0)
    events = run(local(same_failures=3), [broken, others], tmp_path)
    found = statuses(Store(tmp_path))
    assert {found[f"sound{seed}"] for seed in range(3)} == {"done"}
    assert sum(status == "failed" for status in found.values()) == 3
    assert sum(len(event["ids"]) for event in events if event["event"] == "given up") == 7
    assert not [event for event in events if event["event"] == "stopped"]


# --- the decisions, without a process -------------------------------------------------------------

TOLD = {"type": "RuntimeError", "message": "boom at 3", "traceback": ""}


def attempts(tries: Tries) -> list[list[str]]:
    found = []
    while (attempt := tries.next()) is not None:
        found.append([each.id for each in attempt.group.points])
    return found


def of(*ids: str, **changes: Any) -> Group:
    return Group("1", tuple(point(0, id, **changes) for id in ids), 8.0)


def test_halves_come_first_and_share_the_cost():
    tries = Tries([of("a", "b", "c", "d", "e"), of("f")], deaths=3, same_failures=9)
    first = tries.next()
    tries.split(first, first.group.points)
    left = tries.next()
    assert ([each.id for each in left.group.points], left.group.name, left.group.cost) == (
        ["a", "b"],
        "1a",
        3.2,
    )
    assert attempts(tries) == [["c", "d", "e"], ["f"]]


def test_groups_are_asked_for_when_there_is_a_worker():
    asked = []

    def groups():
        for name in "ab":
            asked.append(name)
            yield of(name)

    tries = Tries(groups(), deaths=3, same_failures=9)
    tries.next()
    assert asked == ["a"], "what is asked for is claimed: another launch could train it"


def test_only_deaths_at_one_update_are_the_points_fault():
    tries = Tries([of("a")], deaths=3, same_failures=9)
    for place in (0, 5, 4, 40, 90, 17, 18):
        attempt = tries.next()
        assert not tries.died(attempt, attempt.group.points, 0, place)
    attempt = tries.next()
    assert tries.died(attempt, attempt.group.points, 0, 17)


def test_many_deaths_anywhere_without_a_checkpoint_are_too():
    """Memory that runs out kills at another update every time.

    Getting on from one checkpoint to the next starts the count again.
    """
    tries = Tries([of("a")], deaths=3, same_failures=9)
    for came, place in [
        *((0, 10 * number) for number in range(1, 12)),
        *((7, 10 * number) for number in range(1, 12)),
    ]:
        attempt = tries.next()
        assert not tries.died(attempt, attempt.group.points, came, place)
    attempt = tries.next()
    assert tries.died(attempt, attempt.group.points, 7, 200)


def test_a_group_that_dies_twice_at_one_update_is_split():
    tries = Tries([of("a", "b")], deaths=3, same_failures=9)
    for place in (50, 0, 1):
        attempt = tries.next()
        assert len(attempt.group.points) == 2
        assert not tries.died(attempt, attempt.group.points, 0, place)
    assert attempts(tries) == [["a"], ["b"]]


def test_points_that_have_landed_are_not_tried_again():
    tries = Tries([of("a", "b", "c")], deaths=3, same_failures=9)
    first = tries.next()
    tries.split(first, first.group.points[1:])
    assert attempts(tries) == [["b"], ["c"]]


def fail(tries: Tries, count: int) -> None:
    for _ in range(count):
        attempt = tries.next()
        tries.failure(attempt, {**TOLD, "message": f"boom at {id(attempt)}"}, [])


def test_after_a_failure_other_structures_are_tried_first():
    tries = Tries([of("a"), of("b"), of("c", hidden=16)], deaths=3, same_failures=3)
    fail(tries, 1)
    assert attempts(tries) == [["c"], ["b"]]


def test_a_result_anywhere_says_that_the_failure_is_not_common():
    tries = Tries(
        [of("a"), *[of(f"b{number}", hidden=8 * number + 16) for number in range(5)]],
        deaths=3,
        same_failures=3,
    )
    tries.stored(tries.next())
    fail(tries, 5)
    assert tries.stopped is None


def test_failures_that_differ_are_not_counted_together():
    tries = Tries([of(f"a{number}") for number in range(9)], deaths=3, same_failures=3)
    for number in range(6):
        tries.failure(tries.next(), {**TOLD, "type": f"Error{'abc'[number % 3]}"}, [])
        assert not tries.dropped
    tries.failure(tries.next(), {**TOLD, "type": "Errora"}, [])
    assert tries.dropped


def test_another_group_that_is_still_running_may_yet_succeed():
    tries = Tries([of(f"a{number}") for number in range(4)], deaths=3, same_failures=3)
    elsewhere = Attempt(of("z", hidden=32))
    for _ in range(3):
        tries.failure(tries.next(), TOLD, [elsewhere])
    assert tries.stopped is None
    assert tries.dropped, "what is like them is given up"


# --- settings -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "value"),
    [("timeout_minutes", 0), ("deaths", 0), ("same_failures", 0), ("leave_seconds", -1)],
)
def test_settings_are_checked(key, value):
    with pytest.raises(ValueError, match=f"local: {key} must be"):
        local(**{key: value})


@pytest.mark.parametrize(
    ("retry", "again"),
    [("none", ["new"]), ("failed", ["new", "failed"]), ("diverged", ["new", "failed", "diverged"])],
)
def test_retry_says_which_are_trained_again(retry, again):
    stored = {"failed": "failed", "diverged": "diverged", "done": "done", "pruned": "pruned"}
    points = [point(0, id) for id in ("new", *stored)]
    plan = Plan(
        settings=settings_of(launch_config(retry=retry)),
        experiment=None,
        factors={},
        points=points,
        excluded=[],
        stored=stored,
        damaged={},
        versions={},
        unprobed={},
    )
    assert [each.id for each in plan.missing] == again


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"retry": "sometimes"}, "retry: must be failed or diverged or none, got 'sometimes'"),
        (
            {"store": {"checkpoint_seconds": -1, "lease_seconds": 1}},
            "store.checkpoint_seconds: must be at least 0 or null, got -1",
        ),
        (
            {"store": {"checkpoint_seconds": None, "lease_seconds": 0}},
            "store.lease_seconds: must be greater than 0, got 0",
        ),
    ],
)
def test_settings_of_a_launch_are_checked(change, told):
    with pytest.raises(StudyError, match=told):
        settings_of(launch_config(**change))
