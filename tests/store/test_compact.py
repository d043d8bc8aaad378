"""Points in parts read as points in folders; a kill at any step loses nothing and doubles nothing;
what is damaged is told and trained again.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from reports.__main__ import main as report
from study.compact import main as command
from study.records import TABLES, StudyError
from study.store import PointRecord, Store, compaction
from study.store.compacted import NAME
from study.store.digests import signed
from study.store.leases import Leases
from tests.reports.synthetic import make
from tests.store.test_damage import flip, launch
from tests.store.test_store import STUDY, record

Seen = tuple[pd.DataFrame, dict[str, pd.DataFrame], dict[str, object]]


def compact(folder: Path) -> compaction.Report:
    return compaction.compact(folder, lease_seconds=60)


def seen(store: Store) -> Seen:
    """Everything that a store says of its points."""
    ids = store.ids()
    each = {
        id: (
            store.result(id),
            store.config(id),
            store.version(id),
            store.status(id),
            store.damage(id),
            store.has_weights(id),
        )
        for id in ids
    }
    weights = {
        id: {name: value.tobytes() for name, value in store.weights(id).items()}
        for id in ids
        if store.has_weights(id)
    }
    return (
        store.points(),
        {name: store.table(name, ids[::-1]) for name in TABLES},
        {"names": store.names(), "each": each, "weights": weights},
    )


def same(one: Seen, other: Seen) -> None:
    pd.testing.assert_frame_equal(one[0], other[0])
    for name in TABLES:
        pd.testing.assert_frame_equal(one[1][name], other[1][name])
    assert one[2] == other[2]


def loose(store: Store) -> list[str]:
    return sorted(path.name for path in store.points_folder.iterdir())


def files(store: Store) -> dict[str, bytes]:
    return {
        str(path.relative_to(store.folder)): path.read_bytes()
        for path in store.folder.rglob("*")
        if path.is_file() and "leases" not in path.parts
    }


@pytest.fixture
def few(tmp_path: Path) -> Store:
    """Of two shapes: with numbers that are none, nulls, an empty table; one that failed."""
    store = Store(tmp_path / "few")
    store.declare(STUDY, {})
    for n in range(5):
        store.write(
            record(
                f"p{n}",
                seed=n,
                max_grad_norm=float("inf"),
                score=float("nan") if n == 2 else 0.1 * n,
            )
        )
    bare = PointRecord(
        "q",
        {"id": "q", "cell": "gru", "seed": 1, "status": "done"},
        {"cell": "gru", "wide": True, "seed": 1},
        "a: é\n",
        ["a"],
        {},
        tables={"test": {"example": np.arange(0)}},
    )
    store.write(bare)
    store.write(record("r", status="failed"))
    return store


def test_points_in_parts_read_as_points_in_folders(few, capsys, monkeypatch):
    monkeypatch.setattr("study.store.part.BLOCK_POINTS", 2)
    before, opened = seen(few), Store(few.folder)
    opened.points()
    assert command([str(few.folder)]) == 0
    assert (
        "6 points compacted into 2 parts" in (told := capsys.readouterr().out)
        and "1 failed" in told
    )
    assert loose(few) == ["r"]
    same(before, seen(Store(few.folder)))
    same(before, seen(opened))  # one that was there before
    once = files(few)
    assert command([str(few.folder)]) == 0
    assert files(few) == once, "nothing is left to be done"
    assert pd.read_parquet(few.parts_folder / "0001" / "history.parquet")["id"].nunique() == 5, (
        "any reader of Parquet reads it"
    )


def test_a_compacted_study_without_its_empty_folder_can_be_compacted_again(few):
    """Git keeps no empty folder."""
    compact(few.folder)
    shutil.rmtree(few.points_folder)
    assert command([str(few.folder)]) == 0
    assert len(few.points()) > 0


def test_what_is_stored_again_counts_and_few_points_join_others(few):
    compact(few.folder)
    few.write(record("p1", seed=1, score=0.9))
    few.write(record("s", seed=7))
    before = seen(few)
    assert few.result("p1")["row"]["score"] == 0.9
    compact(few.folder)
    same(before, seen(Store(few.folder)))
    assert sorted(path.name for path in few.parts_folder.iterdir()) == ["0002", "0003"], (
        "the first part's points are all in a later one"
    )
    assert loose(few) == ["r"]


def test_a_kill_at_any_step_loses_nothing_and_doubles_nothing(tmp_path):
    """The process is killed at its n-th change of anything on disk, for every n."""
    whole = Store(tmp_path / "whole")
    whole.declare(STUDY, {})
    for n in range(2):
        whole.write(record(f"p{n}", seed=n))
    compact(whole.folder)
    for n in (1, 2):
        whole.write(record(f"p{n}", seed=n, score=0.7))
    before, steps = seen(whole), 0
    while True:
        steps += 1
        store = Store(tmp_path / str(steps))
        shutil.copytree(whole.folder, store.folder, copy_function=os.link)
        if _killed(store.folder, steps) is False:
            break
        same(before, seen(Store(store.folder)))
        assert Store(store.folder).damaged() == {}
        compact(store.folder)
        same(before, seen(Store(store.folder)))
        assert loose(store) == [] and all(
            NAME.fullmatch(path.name) for path in store.parts_folder.iterdir()
        )
        shutil.rmtree(store.folder)
    assert steps > 25, "every step was one"


CHANGES = ("os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.truncate")


def _killed(folder: Path, step: int) -> bool:
    """Whether a process that compacts was killed before its change number `step`; False where it
    made fewer.
    """
    child = os.fork()
    if child == 0:
        left = [step]

        def count(event: str, arguments: tuple[object, ...]) -> None:
            writes = (
                event == "open"
                and isinstance(arguments[2], int)
                and arguments[2] & (os.O_WRONLY | os.O_RDWR)
                and "leases" not in str(arguments[0])
            )
            if (event in CHANGES and "leases" not in str(arguments[0])) or writes:
                left[0] -= 1
                if left[0] == 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(count)
        status = 1
        try:
            compact(folder)
            status = 0
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return os.WIFSIGNALED(status)


def test_a_damaged_block_costs_its_points_and_an_unreadable_index_its_part(
    tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr("study.store.part.BLOCK_POINTS", 2)
    store = make(
        tmp_path / "s",
        factors={"cell": ["rnn", "gru"]},
        seeds=range(4),
        steps=8,
        updates=20,
        tables=("history",),
        failed=(7,),
    )
    before = seen(store)
    compact(store.folder)
    part = store.parts()[0]
    flip(part.path("history"), part.ends["history"][1][0] + 40)  # in the second block
    lost = set(part.ids[2:4])
    fresh = Store(store.folder)
    assert set(fresh.damaged()) == {id for id in fresh.ids() if fresh.damage(id)} == lost
    with pytest.raises(
        StudyError, match=r"parts/0001/history.parquet: damaged .*--repair sets it aside"
    ):
        fresh.table("history", sorted(lost))
    pd.testing.assert_frame_equal(
        fresh.table("history", [part.ids[0]]), store.table("history", [part.ids[0]])
    )
    assert report(["status", str(store.folder)]) == 1
    told = capsys.readouterr().out
    assert (
        "5 done, 0 diverged, 0 pruned, 1 failed, 2 missing" in told
        and told.count("  damaged: ") == 2
    )
    assert report(["status", str(store.folder), "--repair"]) == 0
    assert capsys.readouterr().out.count("set aside: ") == 2
    assert {path.name for path in store.aside.iterdir()} == {f"{id}.0" for id in lost}
    assert {path.name for path in (store.aside / f"{min(lost)}.0").iterdir()} == {
        "result.json",
        "config.yaml",
        "overrides",
        "damaged",
    }, "what can be read"
    assert set(Store(store.folder).ids()) == set(before[0]["id"]) - lost
    assert report(["status", str(store.folder)]) == 0
    compact(store.folder)
    assert part.folder.exists(), "its bytes are kept"
    flip(part.folder / "part.json", 200)
    capsys.readouterr()
    assert report(["status", str(store.folder)]) == 1
    assert "damaged: parts/0001: part.json: damaged" in capsys.readouterr().out
    with pytest.raises(
        StudyError, match=r"parts/0001: part.json: damaged .*--repair sets it aside"
    ):
        Store(store.folder).points()
    assert report(["status", str(store.folder), "--repair"]) == 0
    assert (store.aside / "parts-0001.0" / "history.parquet").exists()
    assert Store(store.folder).damaged() == {}


def test_any_flipped_bit_of_a_part_is_noticed(few):
    compact(few.folder)
    rng = np.random.default_rng(0)
    for path in sorted(few.parts_folder.rglob("*.*")):
        if path.is_file():
            whole = path.read_bytes()
            for place in rng.integers(len(whole), size=15):
                flip(path, int(place), int(rng.integers(8)))
                assert Store(few.folder).damaged() != {}, path
                path.write_bytes(whole)
            path.write_bytes(whole[:-1])
            assert Store(few.folder).damaged() != {}, path
            path.write_bytes(whole)
    assert Store(few.folder).damaged() == {}


@pytest.mark.parametrize(
    "change",
    [
        {"files": "longer"},
        {"files": {"../../../secret": [[0, "0"], [1, "0"], [2, "0"]]}},
        {"points": [["../elsewhere", 1, 1]]},
        {"blocks": [0, 10**9]},
        {"rows": []},
        {"schema": "2"},
    ],
)
def test_an_index_that_somebody_else_has_signed_harms_nobody(few, change):
    """Its digest is right, what it says is not: told in words, no memory is asked for that is not
    there, no file elsewhere is read.
    """
    compact(few.folder)
    for path in few.parts_folder.glob("*/part.json"):
        index = json.loads(path.read_bytes())
        longer = {
            name: [[end + 10**15, of] for end, of in ends] for name, ends in index["files"].items()
        }
        path.write_bytes(
            signed({**index, **({"files": longer} if change == {"files": "longer"} else change)})
        )
    told = Store(few.folder).damaged()
    assert told and all("damaged" in why for why in told.values())
    with pytest.raises(StudyError, match="damaged"):
        Store(few.folder).points()


def test_the_page_of_a_compacted_study_is_the_same(tmp_path):
    store = make(
        tmp_path / "s",
        factors={"cell": ["rnn", "gru"]},
        seeds=(0, 1, 2),
        steps=8,
        updates=20,
        diverged=(1,),
    )
    pages = []
    for _ in range(2):
        assert report(["render", str(store.folder)]) == 0
        pages.append((store.folder / "report.html").read_bytes())
        assert "6 points compacted" in str(compact(store.folder)) or len(pages) == 2
    assert pages[0] == pages[1] and loose(store) == []


def test_what_a_launch_holds_is_damaged_or_is_unknown_stays(few, capsys):
    flip(few.point_folder("p0") / "history.parquet", 30)
    (few.point_folder("p1") / "notes.txt").write_text("mine")
    with Leases(few.folder, 60) as other:
        assert other.take("p2") and other.take("compact")
        with pytest.raises(StudyError, match="another process is compacting"):
            compact(few.folder)
        other.release(["compact"])
        assert command([str(few.folder)]) == 1
    out, err = capsys.readouterr()
    assert (
        "left as they are: 1 failed, 1 being trained, 1 damaged, 1 with files that a part cannot"
        " hold" in out
    )
    assert "1 damaged" in err
    assert loose(few) == ["p0", "p1", "p2", "r"]
    assert command([str(few.folder / "nothing")]) == 2
    assert "no study here" in capsys.readouterr().err


def test_a_launch_goes_on_beside_parts_and_trains_what_is_damaged_in_them(
    tmp_path, monkeypatch, capfd
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("study.store.part.BLOCK_POINTS", 1)
    assert launch(monkeypatch, capfd)[0] == 0
    store = Store(tmp_path / "outputs" / "quick")
    before = store.table("history", store.ids())
    compact(store.folder)
    part = store.parts()[0]
    flip(part.path("weights"), part.ends["weights"][0][0] + 60)
    (store.parts_folder / "0009").mkdir()
    (store.parts_folder / "0009" / "part.json").write_text("{}")
    status, told = launch(monkeypatch, capfd, "seed=0,1,2,3")
    assert status == 0, told
    assert "parts/0009 (part.json: damaged" in told and (store.aside / "parts-0009.0").exists()
    assert (
        "2 stored points are damaged and will be trained again" in told
        and "training 2 points" in told
        and "2 stored already" in told
    )
    store = Store(store.folder)
    assert store.damaged() == {} and len(store.ids()) == 4 and part.ids[0] in loose(store)
    assert store.table("history", sorted(part.ids)).equals(before)
