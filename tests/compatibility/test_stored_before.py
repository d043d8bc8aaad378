"""Studies that an earlier version stored (README.md beside the stores says how): they read, plan,
render, resume and search on as before.
"""

from __future__ import annotations

import csv
import hashlib
import html
import io
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from threadpoolctl import threadpool_info

from reports.data.study import Study
from study.health.verdicts import verdict
from study.records import POINTS, TABLES, Column
from study.store import Store
from study.store.search import SearchStore

HERE = Path(__file__).parent
STORES, EXPECTED = HERE / "stores", HERE / "expected"
STUDIES = ("quick", "textbook", "compacted", "searched_tuned", "partial")
CLOCK = ("seconds",)  # columns of wall time
SHARES = ("score", "score_se", "val_score", "final_score", "train_score", "clip_rate")
LATER = ("ends_solved", "judged_from", "judged_probes")  # columns that came later
# Columns of the end state. With the stages 0, .5 and 1 it was the median of all three probes, the
# initialization among them; now it is that of the last one, which the table `states` has.
END = ("state", "verdict", "D", "U", "opened_at", "opened_loss")
# set it to ask for the very bytes of the pages too: with the same versions of what draws them, and
# nothing meant to look different
SAME_PAGES = "SAME_PAGES"

# One interpreter for many commands: most of a short command is its imports.
RUNNER = """
import contextlib, io, json, runpy, sys, traceback
told = []
for module, *arguments in json.load(sys.stdin):
    sys.argv, out = [module, *arguments], io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        try:
            code = runpy.run_module(module, run_name="__main__", alter_sys=True) and 0
        except SystemExit as end:
            code = end.code or 0
        except BaseException:
            code = traceback.format_exc()
    told.append([code, out.getvalue()])
json.dump(told, sys.stdout)
"""


# --- what is compared -----------------------------------------------------------------------------


def exact(value: Any, kind: str) -> Any:
    """A value as JSON keeps it without loss: floats in hexadecimal, None for null.

    A float column's NaN is null too.
    """
    if (
        value is None
        or value is pd.NA
        or (isinstance(value, float | np.floating) and np.isnan(value))
    ):
        return None
    return {
        "float": lambda: float(value).hex(),
        "int": lambda: int(value),
        "bool": lambda: bool(value),
        "str": lambda: str(value),
    }[kind]()


def exact_rows(frame: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """{id: {column: value}} without nulls and wall time; columns of further factors as text."""
    kinds = {column.name: column.kind for column in POINTS}
    columns = {
        name: [exact(value, kinds.get(name, "str")) for value in frame[name]]
        for name in frame.columns
        if name not in CLOCK
    }
    return {
        id: {name: columns[name][at] for name in sorted(columns) if columns[name][at] is not None}
        for at, id in enumerate(frame["id"])
    }


def digest_of(frame: pd.DataFrame, columns: Sequence[Column]) -> str:
    """Of a table's values, whatever file or types they came in.

    Columns without a value do not count: a later version may add some.
    """
    told = hashlib.sha256(f"{len(frame)} rows".encode())
    for column in sorted(columns, key=lambda column: column.name):
        values = (
            [exact(value, column.kind) for value in frame[column.name]]
            if column.name in frame
            else []
        )
        if any(value is not None for value in values):
            told.update(json.dumps([column.name, values]).encode())
    return told.hexdigest()


def digests(store: Store, id: str) -> dict[str, str]:
    """Of every table of a point, and of its weights."""
    found = {
        name: digest_of(frame, columns)
        for name, columns in TABLES.items()
        if len(frame := store.table(name, [id]))
    }
    if store.has_weights(id):
        found["weights"] = digest_of_arrays(store.weights(id))
    return found


def digest_of_arrays(arrays: Mapping[str, np.ndarray]) -> str:
    told = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        told.update(
            f"{name} {array.dtype} {array.shape}".encode() + np.ascontiguousarray(array).tobytes()
        )
    return told.hexdigest()


# Of OpenBLAS, with vectors of 64 bytes; OPENBLAS_CORETYPE can choose another than the processor's.
WIDE = {"SkylakeX", "Cooperlake", "SapphireRapids"}


def machine(cpu_capability: str) -> dict[str, Any]:
    """What decides how numbers round: vectors of compiled kernels, and what torch, MKL, LLVM and
    NumPy's OpenBLAS choose by. `cpu_capability`: as points keep it.
    """
    from llvmlite import binding

    told = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    vendor = re.search(r"^vendor_id\s*:\s*(\S+)", told, re.MULTILINE)
    wide = bool(binding.get_host_cpu_features().get("avx512f"))
    architectures = [str(one.get("architecture")) for one in threadpool_info()]
    versions = {
        name: version(name).partition("+")[0] for name in ("torch", "numpy", "numba", "llvmlite")
    }
    return {
        "vector_bytes": 64 if wide else 32,
        "cpu_capability": cpu_capability,
        "vendor": vendor[1] if vendor else "",
        "openblas_bytes": 64 if set(architectures) & WIDE else 32,
        **versions,
    }


def expected(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((EXPECTED / f"{name}.json").read_text(encoding="utf-8"))
    return found


# --- commands -------------------------------------------------------------------------------------


def environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1"}


def copied(folder: Path) -> Path:
    """The stores as outputs/ of a folder, where the commands that made them had them; with the
    empty folders that Git does not keep.
    """
    shutil.copytree(STORES, folder / "outputs")
    for path in (folder / "outputs").glob("*/study.json"):
        (path.parent / "points").mkdir(exist_ok=True)
    return folder


def together(folder: Path, commands: Sequence[Sequence[str]]) -> list[tuple[Any, str]]:
    """Several commands, `python -m` each, one after the other in one process: exit status and what
    was printed.
    """
    ran = subprocess.run(
        [sys.executable, "-c", RUNNER],
        cwd=folder,
        env=environment(),
        input=json.dumps(commands),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return [(code, told) for code, told in json.loads(ran.stdout)]


def command(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=300,
    )


def asked(names: Iterable[str]) -> dict[tuple[str, str], list[str]]:
    """Commands that only read, by the study and what they do."""
    commands: dict[tuple[str, str], list[str]] = {}
    for name in names:
        where = f"outputs/{name}"
        commands[name, "status"] = ["reports", "status", where]
        commands[name, "table"] = ["reports", "table", where]
        commands[name, "plan"] = ["study", *expected(name)["command"], "plan=true"]
        commands[name, "render"] = ["reports", "render", where]
    return commands


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """The folder, and what every command said of every study."""
    folder = copied(tmp_path_factory.mktemp("stored"))
    commands = asked(STUDIES)
    del commands["partial", "render"]
    one = "outputs/compacted"
    point = expected("compacted")["ids"][0]
    commands["compacted", "check"] = ["reports", "check", one, "--fail-if", "status == failed"]
    commands["compacted", "diff"] = ["reports", "diff", one, one]
    commands["compacted", "export"] = ["reports", "export", one, point, "--to", "exported"]
    commands["compacted", "compact"] = ["study.compact", one]
    commands["quick", "export"] = [
        "reports",
        "export",
        "outputs/quick",
        expected("quick")["ids"][0],
        "--to",
        "exported_too",
    ]
    commands["searched", "search"] = ["study", *expected("searched")["command"]]
    commands["all", "index"] = ["reports", "index", "outputs", "--out", "index.html"]
    said = dict(zip(commands, together(folder, list(commands.values())), strict=True))
    ran = command(folder, "reports", "render", "outputs/partial")
    said["partial", "render"] = (ran.returncode, ran.stdout + ran.stderr)
    return folder, said


# --- reading --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", STUDIES)
def test_ids_statuses_rows_and_tables_are_those_that_were_stored(name):
    wanted, store = expected(name), Store(STORES / name)
    assert store.ids() == wanted["ids"]
    assert {id: store.status(id) for id in store.ids()} == wanted["statuses"]
    assert [point["id"] for point in store.study()["declaration"]["grid"]] == wanted["declared"]
    assert exact_rows(store.points()) == wanted["rows"]
    assert exact_rows(pd.read_parquet(store.folder / "points.parquet")) == wanted["rows"]
    assert {id: digests(store, id) for id in store.ids()} == wanted["digests"]
    assert store.survey()[1] == {}
    assert store.study_damage() is None


def test_trials_of_the_search_are_those_that_were_stored():
    wanted, search = expected("searched"), SearchStore(STORES / "searched" / "search")
    assert search.damaged() == {}
    assert {name: len(search.table(name)) for name in wanted["tables"]} == {
        name: found["rows"] for name, found in wanted["tables"].items()
    }
    assert searched_rows(search) == wanted["trials"]
    trials = Store(STORES / "searched" / "search")
    assert trials.ids() == wanted["ids"]
    assert {id: trials.status(id) for id in trials.ids()} == wanted["statuses"]


def searched_rows(search: SearchStore) -> list[list[Any]]:
    """Arm, trial, status, score and settings of every trial."""
    settings = search.table("settings")
    of = {
        key: sorted(zip(rows["key"], rows["value"], strict=True))
        for key, rows in settings.groupby(["arm", "trial"])
    }
    trials = search.table("trials").sort_values(["arm", "trial"])
    return [
        [
            row.arm,
            int(row.trial),
            row.status,
            exact(row.score, "float"),
            [list(pair) for pair in of.get((row.arm, row.trial), [])],
        ]
        for row in trials.itertuples()
    ]


# --- commands that read ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", STUDIES)
def test_status_and_table_say_the_same(told, name):
    _, said = told
    assert said[name, "status"] == (0, expected(name)["status"])
    code, table = said[name, "table"]
    assert code == 0
    before = without_columns_added_since(table, expected(name)["table"]["columns"])
    assert hashlib.sha256(before.encode()).hexdigest() == expected(name)["table"]["sha256"]


def without_columns_added_since(table, columns):
    """The table with the columns it had; those added since must be empty for points from before."""
    rows = list(csv.reader(io.StringIO(table)))
    assert [name for name in rows[0] if name in columns] == columns
    added = [place for place, name in enumerate(rows[0]) if name not in columns]
    assert not any(row[place] for row in rows[1:] for place in added)
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(
        [cell for place, cell in enumerate(row) if place not in added] for row in rows
    )
    return out.getvalue()


@pytest.mark.parametrize("name", STUDIES)
def test_the_same_command_plans_the_same_points(told, name):
    """Ids are computed anew: what is stored is found by them."""
    _, said = told
    code, plan = said[name, "plan"]
    assert code == 0, plan
    stored, declared = len(expected(name)["ids"]), len(expected(name)["declared"])
    assert f"{declared} points, {stored} stored already, {declared - stored} to train" in plan


RENAMED = {  # since then
    "Credit-opening maps": "How far back the gradient reaches",
    "Does transport D predict success here?": "Does the remaining gradient predict success here?",
    "Train one point again": "Train one network again",
}


@pytest.mark.parametrize("name", STUDIES)
def test_the_page_renders_and_has_every_arm(told, name):
    folder, said = told
    code, line = said[name, "render"]
    assert code == 0, line
    data = (folder / "outputs" / name / "report.html").read_bytes()
    page, wanted = data.decode(), expected(name)["page"]
    assert "broken" not in line
    for arm in wanted["arms"]:
        label = arm.replace("tuned False", "default").replace("tuned True", "tuned")  # since then
        assert html.escape(label, quote=False) in page, label
    shown = headings(page)
    for title in wanted["headings"]:
        if title == "Completeness" and title not in shown:  # since then: where something is missing
            assert Study(Store(folder / "outputs" / name)).grid["status"].eq("done").all()
            continue
        assert RENAMED.get(title, title) in shown, title
    if os.environ.get(SAME_PAGES):
        assert hashlib.sha256(data).hexdigest() == wanted["sha256"]


def headings(page: str) -> list[str]:
    """Text of the page's headings, in order; of a folded section its title without its finding."""
    found = re.findall(r"<h[1-4][^>]*>(.*?)</h[1-4]>", page, re.DOTALL)
    found = [re.sub(r'<span class="finding">.*', "", one, flags=re.DOTALL) for one in found]
    return [re.sub(r"<[^>]+>", "", one).strip() for one in found]


def test_a_compacted_study_is_read_by_every_command(told):
    folder, said = told
    for what in ("check", "diff", "export", "compact"):
        code, line = said["compacted", what]
        assert code == 0, line
    assert "0 points compacted" in said["compacted", "compact"][1]
    assert same_weights(folder / "exported", "compacted")
    assert said["all", "index"][0] == 0, said["all", "index"][1]
    page = (folder / "index.html").read_text(encoding="utf-8")
    # whose page came later
    assert all(f"{name}/report.html" in page for name in STUDIES if name != "partial")


def test_a_network_is_exported_as_it_was_stored(told):
    folder, said = told
    assert said["quick", "export"][0] == 0, said["quick", "export"][1]
    assert same_weights(folder / "exported_too", "quick")


def same_weights(exported: Path, name: str) -> bool:
    """Whether an export of the study's first point has the very weights that it had."""
    from safetensors.numpy import load_file

    return digest_of_arrays(load_file(exported / "model.safetensors")) == expected(name)["exported"]


# --- going on -------------------------------------------------------------------------------------


def test_what_was_interrupted_goes_on_and_comes_out_as_it_would_have(tmp_path):
    wanted = expected("partial")
    folder = tmp_path / "outputs" / "partial"
    shutil.copytree(STORES / "partial", folder)
    before = {path: path.read_bytes() for path in sorted(folder.glob("points/*/*"))}
    ran = command(tmp_path, "study", *wanted["command"])
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "Traceback" not in ran.stdout + ran.stderr
    store = Store(folder)
    assert store.ids() == sorted(wanted["declared"])
    assert all(path.read_bytes() == data for path, data in before.items())
    finished = wanted["finished"]
    rows = exact_rows(store.points())
    capability = {store.result(id)["provenance"]["cpu_capability"] for id in finished}
    alike = [machine(one) for one in capability] == [wanted["machine"]]
    for id, want in finished.items():
        kept = (
            store.result(id)["provenance"].get("resumed")
            or (folder / "checkpoints" / f"{id}.set-aside").exists()
        )
        assert kept or id not in wanted["checkpoints"], (
            "neither gone on from its checkpoint nor told that it could not be used"
        )
        row, before = (
            {name: value for name, value in one.items() if name not in (*LATER, *END)}
            for one in (rows[id], want["row"])
        )
        if alike:
            assert row == before
            assert digests(store, id) | {"layers": ""} == want["digests"] | {"layers": ""}
        else:
            close(row, before)
        ends_with_its_last_probe(store, id)


def ends_with_its_last_probe(store: Store, id: str) -> None:
    """The end state and verdict are those of the last probe, of the network and of every layer."""
    row = store.result(id)["row"]
    layers, states = (store.table(name, [id]) for name in ("layers", "states"))
    for kept in layers.to_dict("records"):
        first, *_, last = states[states["layer"] == kept["layer"]].to_dict("records")
        names = ("D", "D_low", "D_high", "U", "U_low", "U_high", "state", "margin", "horizon")
        assert {name: kept[name] for name in names} == {name: last[name] for name in names}
        assert (kept["judged_from"], kept["judged_probes"]) == (last["update"], 1)
        assert kept["verdict"] == verdict(first["state"], last["state"])
        if kept["layer"] == "network":
            for name in ("D", "U", "state", "verdict", "judged_from", "judged_probes"):
                assert row[name] == kept[name]


def close(row: Mapping[str, Any], want: Mapping[str, Any]) -> None:
    """Of another machine: the same to what rounding differently makes of so short a training;
    vectors half as wide made 1e-6 of it.
    """
    kinds = {column.name: column.kind for column in POINTS}
    assert row.keys() == want.keys()
    for name, value in want.items():
        if kinds.get(name) == "float":
            least = 0.01 if name in SHARES else 1e-3  # of the examples, a few may change sides
            assert float.fromhex(row[name]) == pytest.approx(
                float.fromhex(value), rel=1e-3, abs=least
            ), name
        elif name not in ("solved_at", "opened_at"):
            assert row[name] == value, name


def test_a_search_that_is_over_is_found_over(told):
    folder, said = told
    wanted, search = expected("searched"), folder / "outputs" / "searched" / "search"
    code, line = said["searched", "search"]
    assert code == 0, line
    assert f"{wanted['places']} stored already" in line
    assert searched_rows(SearchStore(search)) == wanted["trials"]
    tuned = "experiment/searched_tuned.yaml"
    now, then = (folder / tuned for folder in (search, STORES / "searched" / "search"))
    # Keys and values; the wording of the comment above them may change.
    written, stored = (yaml.safe_load(file.read_text()) for file in (now, then))
    # Since then an experiment may choose a sweeper, which a tuned one must not take over.
    written["defaults"].remove({"override /hydra/sweeper": "study"})
    assert written == stored
