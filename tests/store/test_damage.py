"""What is cut, flipped or missing is never counted as done: told by status, set aside, trained
again; nothing is deleted.
"""

from __future__ import annotations

import json
import random
import re
import shutil
import sys
from pathlib import Path

import pytest

from reports.__main__ import main as report
from reports.documents.diff import _config as config_of
from reports.export.export import point_config
from study.__main__ import main
from study.records import SEARCH_TABLES, StudyError
from study.store import Store, seal
from study.store.digests import is_intact, signed
from study.store.search import SearchStore
from tests import ROOT
from tests.reports.synthetic import make
from tests.store.test_store import record


def flip(path: Path, place: int, bit: int = 2) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 1 << bit
    path.write_bytes(data)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path)
    store.write(record())
    return store


def test_any_flipped_bit_of_any_file_is_noticed(store):
    rng = random.Random(0)
    files = sorted(store.point_folder("p1").iterdir())
    assert len(files) == 5
    for path in files:
        whole = path.read_bytes()
        for _ in range(60):
            flip(path, rng.randrange(len(whole)), rng.randrange(8))
            assert store.damage("p1") is not None, path
            path.write_bytes(whole)
    assert store.damage("p1") is None


@pytest.mark.parametrize(
    "name", ["config.yaml", "overrides", "history.parquet", "weights.safetensors", "result.json"]
)
@pytest.mark.parametrize("how", ["cut", "empty", "missing"])
def test_a_file_that_is_cut_or_missing_is_named(store, name, how):
    path = store.point_folder("p1") / name
    whole = path.read_bytes()
    (
        path.unlink()
        if how == "missing"
        else path.write_bytes(whole[: len(whole) // 2 if how == "cut" else 0])
    )
    assert name in store.damaged()["p1"]
    assert (store.status("p1") is None) == (name == "result.json"), (
        "nothing is believed of a result.json that is damaged"
    )


def test_a_damaged_file_is_not_read(store):
    """By tables, weights, export and recipe, and the comparison of two studies."""
    flip(store.point_folder("p1") / "config.yaml", 3)
    flip(store.point_folder("p1") / "history.parquet", 30)
    flip(store.point_folder("p1") / "weights.safetensors", 30)
    for name, read in (
        ("history.parquet", lambda: store.table("history", ["p1"])),
        ("weights.safetensors", lambda: store.weights("p1")),
        ("config.yaml", lambda: point_config(store, "p1")),
        ("config.yaml", lambda: config_of(store, "p1")),
    ):
        with pytest.raises(StudyError, match=rf"p1/{name}: damaged .*--repair sets it aside"):
            read()


def test_a_folder_of_another_point_is_no_point(store):
    shutil.copytree(store.point_folder("p1"), store.point_folder("p2"))
    assert store.damaged() == {"p2": "result.json: damaged (it belongs to point 'p1')."}


def test_a_result_that_names_files_elsewhere_is_damaged(store):
    path = store.point_folder("p1") / "result.json"
    path.write_bytes(signed({**store.result("p1"), "files": {"../../study.json": "0" * 64}}))
    assert "lists files outside its folder" in str(store.damage("p1"))


def test_an_older_store_without_digests_is_read(store):
    path = store.point_folder("p1") / "result.json"
    old = {
        name: value for name, value in store.result("p1").items() if name not in ("files", "digest")
    }
    path.write_text(json.dumps({**old, "schema": 1}))
    assert store.damaged() == {}
    assert store.points()["score"].tolist() == [0.5]
    flip(store.point_folder("p1") / "history.parquet", -3)
    assert "history.parquet" in str(store.damage("p1"))


def test_a_digest_is_of_the_whole_text():
    data = signed({"text": "0" * 64, "digest": "old"})
    assert is_intact(data, json.loads(data))
    assert not is_intact(data + b" ", json.loads(data))
    assert not is_intact(data, {**json.loads(data), "digest": None})


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({"seed": 2**70}, "seed"),
        ({"score": [1]}, "score"),
        ({"verdict": "maybe"}, "verdict 'maybe'"),
        ({"depth": 1.5}, "depth"),
        ({"depth": 1e300}, "depth"),
        ({"status": None}, "no status"),
    ],
)
def test_a_row_of_another_form_is_damaged_and_named(store, row, told):
    """Signed as it should be: written by another program, or by somebody."""
    result = store.result("p1")
    seal(store.point_folder("p1"), {**result, "row": {**result["row"], **row}})
    assert told in str(store.damage("p1"))


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("grid", [{"id": [], "seed": 0, "labels": {}}]),
        ("factors", {"cell": "rnn"}),
        (
            "grid",
            [
                {"id": "a", "seed": 0, "labels": {"cell": "rnn"}},
                {"id": "b", "seed": 0, "labels": {}},
            ],
        ),
        ("seeds", 3),
        ("tasks", []),
        ("tasks", {"digits": {"metric": []}}),
        ("tasks", {"digits": {"lag": {}}}),
        ("fixed", {"a": [1]}),
        ("excluded", [1]),
        ("health", 1),
    ],
)
def test_a_declaration_of_another_form_is_told(broken, capsys, part, value):
    record = broken.study()
    broken.declare({**record, "declaration": {**record["declaration"], part: value}}, {})
    assert report(["status", str(broken.folder)]) == 2
    assert re.search(
        rf"damaged \(its {part}(, which .*,)? is of another form\)", capsys.readouterr().err
    )


# --- status and repair ----------------------------------------------------------------------------


@pytest.fixture
def broken(tmp_path: Path) -> Store:
    """A study of 8 points: 6 stored, one of them failed, two damaged, and a folder that holds
    none.
    """
    store = make(
        tmp_path / "broken",
        factors={"cell": ["rnn", "gru"]},
        seeds=range(4),
        steps=8,
        updates=20,
        tables=("history",),
        stored=6 / 8,
        failed=(5,),
    )
    flip(store.point_folder(store.ids()[0]) / "history.parquet", 40)
    (store.point_folder(store.ids()[1]) / "result.json").write_text('{"schema": 2')
    (store.points_folder / "empty").mkdir()
    return store


def test_status_lists_what_is_there_missing_failed_and_damaged(broken, capsys):
    assert report(["status", str(broken.folder)]) == 1
    told = capsys.readouterr().out
    assert "8 points declared" in told
    assert "3 done, 0 diverged, 0 pruned, 1 failed, 4 missing" in told
    assert re.findall(r"damaged: (\w+):", told) == ["0000000000000000", "0000000000000001", "empty"]
    assert "3 damaged, counted as missing" in told


def test_repair_sets_aside_and_deletes_nothing(broken, capsys):
    before = {
        path.relative_to(broken.points_folder): path.read_bytes()
        for path in broken.points_folder.rglob("*")
        if path.is_file()
    }
    assert report(["status", str(broken.folder), "--repair"]) == 0
    told = capsys.readouterr().out
    assert told.count("set aside: ") == 3
    assert "4 missing" in told
    after = {
        path.relative_to(broken.points_folder): path.read_bytes()
        for path in broken.points_folder.rglob("*")
        if path.is_file()
    }
    aside = {
        Path(path.parent.name.removesuffix(".0")) / path.name: path.read_bytes()
        for path in broken.aside.rglob("*")
        if path.is_file()
    }
    assert after | aside == before
    assert len(broken.points()) == 4
    assert report(["status", str(broken.folder)]) == 0
    make(
        broken.folder,
        factors={"cell": ["rnn", "gru"]},
        seeds=range(4),
        steps=8,
        updates=20,
        tables=("history",),
        stored=1 / 8,
    )
    flip(broken.point_folder(broken.ids()[0]) / "history.parquet", 40)
    assert report(["status", str(broken.folder), "--repair"]) == 0
    assert sorted(path.name for path in broken.aside.iterdir()) == [
        "0000000000000000.0",
        "0000000000000000.1",
        "0000000000000001.0",
        "empty.0",
    ]


def test_what_is_damaged_of_a_search_is_told_and_set_aside(broken, capsys):
    """A flipped bit leaves a table that reads well."""
    assert report(["status", str(broken.folder), "--repair"]) == 0
    of = SearchStore(broken.folder / "search")
    columns = {column.name: [] for column in SEARCH_TABLES["importance"]}
    of.write({"arms": []}, {"importance": columns})
    assert report(["status", str(broken.folder)]) == 0
    flip(of.folder / "importance.parquet", 60)
    flip(of.folder / "search.json", 25)
    told = {name: why.split(").")[0] for name, why in of.damaged().items()}
    assert list(told) == ["search.json"], "what it says of the others is worth nothing"
    of.write({"arms": []}, {})
    (of.folder / "importance.parquet").unlink()
    capsys.readouterr()
    assert report(["status", str(broken.folder)]) == 1
    assert (
        "damaged: search/importance.parquet: damaged (it is missing). Remove it and run the search"
        " again" in capsys.readouterr().out
    )
    of.write({"arms": []}, {"importance": columns})
    flip(of.folder / "importance.parquet", 60)
    assert report(["status", str(broken.folder), "--repair"]) == 0
    assert "importance.parquet.0" in {path.name for path in broken.aside.iterdir()}


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"schema": "x"}', '{"schema": 2, "launches": 3}', "[" * 100_000]
)
def test_a_damaged_declaration_is_told_and_set_aside(broken, capsys, text):
    (broken.folder / "study.json").write_text(text)
    assert report(["status", str(broken.folder)]) == 2
    assert "study.json" in capsys.readouterr().err
    assert report(["status", str(broken.folder), "--repair"]) == 0
    assert (broken.aside / "study.json.0").read_text() == text
    broken.check_mine({"experiment": "digits"})  # the next launch declares it anew


def test_a_declaration_with_a_flipped_bit_is_told(broken, capsys):
    path = broken.folder / "study.json"
    path.write_bytes(path.read_bytes().replace(b"digits", b"digitr", 1))
    assert report(["status", str(broken.folder)]) == 1
    assert (
        "damaged: study.json: its content does not match its stored digest"
        in capsys.readouterr().out
    )


# --- a launch -------------------------------------------------------------------------------------

TINY = [
    "-m",
    "experiment=quick",
    "cell=rnn",
    "initializer=orthogonal",
    "seed=0,1,2",
    "updates=2",
    "hidden=4",
    "batch=8",
    "task.form=row",
]
TINY += ["probe=[]", "tracker=[]", "executor.workers=1"]


def launch(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], *more: str
) -> tuple[int, str]:
    keys = {one.split("=")[0] for one in more}
    kept = [one for one in TINY if one.split("=")[0] not in keys]
    monkeypatch.setattr(sys, "argv", [str(ROOT / "study" / "__main__.py"), *kept, *more])
    with pytest.raises(SystemExit) as exit:
        main()
    out, err = capfd.readouterr()
    return int(str(exit.value.code)), out + err


def test_a_launch_sets_damaged_points_aside_and_trains_them_again(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    assert launch(monkeypatch, capfd)[0] == 0
    store = Store(tmp_path / "outputs" / "quick")
    ids = store.ids()
    before = {id: store.table("history", [id]) for id in ids}
    flip(store.point_folder(ids[0]) / "weights.safetensors", 80)
    (store.point_folder(ids[1]) / "result.json").unlink()
    status, told = launch(monkeypatch, capfd, "plan=true")
    assert (
        status == 0 and told.count("damaged, will be trained again") == 2 and "2 to train" in told
    )
    assert not store.aside.exists(), "a plan changes nothing"
    version = store.version(ids[2])
    status, told = launch(monkeypatch, capfd)
    assert status == 0, told
    assert "2 stored points are damaged and will be trained again" in told
    assert "training 2 points in 1 groups, 1 stored already" in told
    assert store.damaged() == {}
    assert store.version(ids[2]) == version
    assert all(store.table("history", [id]).equals(before[id]) for id in ids)
    assert sorted(path.name for path in store.aside.iterdir()) == sorted(
        f"{id}.0" for id in ids[:2]
    )
