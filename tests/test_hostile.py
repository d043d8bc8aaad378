"""Untrusted input: hostile names and texts stay in the study's folder, and no reader unpickles
anything.
"""

from __future__ import annotations

import ast
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from reports.__main__ import main as report
from study.__main__ import main
from study.config.settings import check_name
from study.records import StudyError
from study.store import PointRecord
from tests import ROOT
from tests.reports.synthetic import make

HOSTILE = [
    "../../x",
    "..",
    ".",
    "/etc/x",
    "a/../../b",
    "..\\..\\x",
    "a\0b",
    "",
    "~/../x/",
    "x" * 5000,
]


def snapshot(folder: Path, but: Path) -> dict[Path, bytes]:
    """Every file of a folder, those of the study's own folder left out."""
    return {
        path: path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and but not in path.parents
    }


@pytest.mark.parametrize("name", HOSTILE)
def test_a_studys_name_is_the_name_of_one_folder(name):
    with pytest.raises(StudyError, match="name: must be the name of one folder"):
        check_name(name)


@pytest.mark.parametrize(
    "arguments",
    [
        ["name='../../x'"],
        ["'name=a/b'"],
        ["study.search='../../x'"],
        ["name=..", "hydra/sweeper=optuna", "search=default"],
    ],
)
def test_the_command_refuses_and_writes_nothing(tmp_path, monkeypatch, capsys, arguments):
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    monkeypatch.chdir(inner)
    line = [
        "-m",
        "experiment=quick",
        "cell=rnn,gru",
        "seed=0",
        "updates=1",
        "hidden=2",
        "task.form=row",
        "tracker=[]",
        "executor.workers=1",
    ]
    monkeypatch.setattr(
        sys,
        "argv",
        [str(ROOT / "study" / "__main__.py"), *line, *[one.replace("'", "") for one in arguments]],
    )
    with pytest.raises(SystemExit) as exit:
        main()
    told = capsys.readouterr().err
    assert exit.value.code == 2, told
    assert (
        "must be the name of one folder" in told
        or "must be the folder of a search beside the study's" in told
    )
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_hostile_levels_labels_and_tracebacks_stay_in_the_folder(tmp_path, capsys):
    """Every command of the report over a store whose every text tries to leave it."""
    bad = ["../../../x", "/etc/passwd", "</script><script>alert(1)</script>", "a\nb\r\x1b[2J"]
    store = make(
        tmp_path / "s" / "hostile",
        factors={"cell": bad, "../../evil": ["../../1", "2"]},
        seeds=(0, 1),
        steps=8,
        updates=20,
        failed=(2,),
    )
    first = store.ids()[3]
    told = {
        "type": "../../E",
        "message": "</script>",
        "traceback": '  File "/../../../etc/passwd", line 1\n\x1b]0;x\x07',
    }
    row = {**store.result(first)["row"], "status": "failed", "reason": "../../../x </script>"}
    store.write(
        PointRecord(
            first,
            row,
            {**store.result(first)["labels"]},
            "../../x",
            ["../../x"],
            {"device": "../../x"},
            failure=told,
        )
    )
    record = store.study()
    store.declare(
        {**record, "name": "../../../escaped", "title": "../../x </script>", "question": "../.."},
        {"command": "../../x", "id": "../.."},
    )
    before = snapshot(tmp_path, store.folder)
    folder = str(store.folder)
    commands = [
        ["render", folder],
        ["status", folder],
        ["status", folder, "--repair"],
        ["table", folder],
        ["check", folder],
        ["index", str(tmp_path / "s")],
    ]
    for command in [
        *commands,
        ["diff", folder, folder],
        ["export", folder, first],
        ["export", folder, "../../x"],
    ]:
        assert report(command) in (0, 1, 2)
        assert "Traceback (most" not in capsys.readouterr().err
    after = snapshot(tmp_path, store.folder)
    assert {path for path in after if path not in before} == {tmp_path / "s" / "index.html"}
    assert all(after[path] == data for path, data in before.items())
    page = (store.folder / "report.html").read_text()
    assert "<script>alert(1)</script>" not in page


# --- pickle ---------------------------------------------------------------------------------------

UNPICKLERS = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}


def unsafe(text: str) -> Iterator[str]:
    """Ways to run code by reading a file, in a source."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = (
                [alias.name for alias in node.names]
                if isinstance(node, ast.Import)
                else [node.module or ""]
            )
            yield from (
                f"{node.lineno}: import {name}"
                for name in names
                if name.split(".")[0] in UNPICKLERS
            )
        if isinstance(node, ast.Call):
            call = ast.unparse(node.func)
            given = {word.arg: ast.unparse(word.value) for word in node.keywords}
            whole = call == "torch.load" and given.get("weights_only") != "True"
            if whole or call in (
                "pd.read_pickle",
                "pandas.read_pickle",
                "eval",
                "exec",
                "np.loads",
                "yaml.unsafe_load",
                "yaml.full_load",
            ):
                yield f"{node.lineno}: {call}"
            if given.get("allow_pickle", "False") != "False" or (
                call == "yaml.load" and "SafeLoader" not in given.get("Loader", "")
            ):
                yield f"{node.lineno}: {call}({given})"


def test_no_source_reads_what_runs_code():
    found = {
        str(path.relative_to(ROOT)): list(unsafe(path.read_text()))
        for part in ("study", "reports")
        for path in (ROOT / part).rglob("*.py")
    }
    assert {path: lines for path, lines in found.items() if lines} == {}
    assert len(found) > 150


@pytest.mark.parametrize(
    "text",
    [
        "import pickle",
        "from joblib import load",
        "torch.load(p)",
        "torch.load(p, weights_only=False)",
        "np.load(p, allow_pickle=True)",
        "yaml.load(f, Loader=yaml.Loader)",
    ],
)
def test_the_scan_sees_what_it_should_see(text):
    assert list(unsafe(text))


SCRIPT = """
import sys
found = []
sys.addaudithook(lambda event, given: found.append(given) if event == "pickle.find_class" else None)
import pickle; pickle.loads(pickle.dumps(sys.exit))  # the hook hears
assert found, "deaf"
found.clear()
from pathlib import Path
from study.store import Store
from reports.__main__ import main
store = Store(sys.argv[1])
store.study(), store.points(), store.damaged()
for id in store.ids():
    if (store.point_folder(id) / "weights.safetensors").exists():
        store.weights(id)
for command in (["render"], ["status"], ["table"], ["check"]):
    assert main([*command, sys.argv[1]]) == 0
from study.training.checkpoints import Checkpoints
import torch
from tests.training.test_checkpoints import group, leave
from tests.support.helpers import point
leave([point(0, "p")], Path(sys.argv[1]), 3)
found.clear()  # multiprocessing and caches of compiled kernels are no store
from study.training.state import prepare
training = prepare([point(0, "p")], "cpu")
assert Checkpoints(Path(sys.argv[1])).load(point(0, "p"), training).update == 3
assert not found, found
print("nothing was unpickled")
"""


def test_reading_a_store_unpickles_nothing(tmp_path):
    """The interpreter's own audit hook hears every class that an unpickler looks up."""
    import subprocess

    make(tmp_path / "read", factors={"cell": ["rnn", "gru"]}, seeds=(0, 1), steps=8, updates=20)
    script = SCRIPT.replace(
        "from study.training.checkpoints",
        "assert not found, found\nfrom study.training.checkpoints",
        1,
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "read")],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.endswith("nothing was unpickled\n")
