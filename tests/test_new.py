"""Pieces written by study.new: each passes its own test, the battery and a study, unchanged; names
that cannot be are refused.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from study import check
from study.battery import folder as folder_battery
from study.new import KINDS, SKELETONS, create, main
from study.records import StudyError
from tests import ROOT


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one piece of every kind."""
    folder = tmp_path_factory.mktemp("own")
    for kind in KINDS:
        create(kind, f"own_{kind}", folder)
    return folder


def test_there_is_a_skeleton_of_every_kind_and_it_says_what_it_is():
    assert {path.name for path in SKELETONS.iterdir() if path.is_file()} == {
        name for kind in KINDS for name in (f"{kind}.py", f"{kind}.yaml", f"test_{kind}.py")
    }
    for kind in KINDS:
        text = (SKELETONS / f"{kind}.py").read_text(encoding="utf-8")
        assert "The contract" in text and len(text.splitlines()) <= 80
        assert "=" in text.split("class Skeleton", 1)[1].split('"""')[1] or kind in (
            "probe",
            "tracker",
            "executor",
            "section",
            "model",
            "trainer",
        ), "the equation"


@pytest.mark.slow
def test_a_generated_folder_passes_its_own_tests(own: Path):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(own)],
        cwd=own,
        env=environment,
        capture_output=True,
        text=True,
        timeout=560,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert re.search(rf"{2 * len(KINDS)} passed", ran.stdout), ran.stdout


def test_a_generated_folder_passes_the_battery_and_trains(
    own: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(sys, "path", [*sys.path])
    assert check.main([str(own)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"ok    {kind}/own_{kind}.yaml" for kind in folder_battery.KINDS if kind in KINDS
    ]
    mixing = (
        (own / "own_cell.py")
        .read_text()
        .replace("(h,) = state\n", "(h,) = state\n        h = h - h.mean(0, keepdim=True)\n")
    )
    (own / "mixing.py").write_text(mixing)
    (own / "cell" / "mixing.yaml").write_text("_target_: mixing.OwnCell\nrate: 0.5\n")
    (own / "clip" / "mistyped.yaml").write_text(
        "_target_: own_clip.OwnClip\nfactor: much\ndecay: 0.9\n"
    )
    (own / "section" / "bare.yaml").write_text("_target_: bare.Bare\norder: 1\n")
    (own / "bare.py").write_text(
        "class Bare:\n    title, needs = 'Bare', ()\n\n    def render(self, study):\n        return"
        " study.name\n"
    )
    assert check.main([str(own)]) == 1
    said = [line for line in capsys.readouterr().out.splitlines() if line.startswith("WRONG")]
    assert len(said) == 3
    assert said[0].startswith(
        "WRONG cell/mixing.yaml: OwnCell (inputs 1, hidden 12, batch 24, kernel reference): a"
        " member's outputs depend on its company: it mixes members"
    )
    assert said[1].startswith("WRONG clip/mistyped.yaml: clip: factor must be a number, got 'much'")
    assert (
        said[2] == "WRONG section/bare.yaml: Bare: render must return a Section of blocks"
        " (reports/blocks.py), got str"
    )


def test_a_folder_without_pieces_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    for folder, told in (
        (tmp_path, "has no YAML in a folder named task, cell,"),
        (tmp_path / "absent", "is not a folder"),
    ):
        assert check.main([str(folder)]) == 2
        assert told in capsys.readouterr().err


def test_what_is_written_is_named_and_how_to_go_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert main(["cell", "leaky", "--into", str(tmp_path / "mine")]) == 0
    out = capsys.readouterr().out
    assert [
        path.relative_to(tmp_path / "mine").as_posix()
        for path in sorted((tmp_path / "mine").rglob("*"))
        if path.is_file()
    ] == ["cell/leaky.yaml", "leaky.py", "test_leaky.py"]
    assert all(
        word in out
        for word in (
            "wrote",
            "python -m pytest",
            "python -m study.check",
            f"--config-dir {tmp_path / 'mine'} cell=rnn,leaky",
        )
    )
    assert (
        "class Leaky(Cell)" in (tmp_path / "mine" / "leaky.py").read_text()
        and "_target_: leaky.Leaky" in (tmp_path / "mine" / "cell" / "leaky.yaml").read_text()
    )


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("Leaky", "must be lower-case letters"),
        ("my-cell", "must be lower-case letters"),
        ("2nd", "must be lower-case letters"),
        ("", "must be lower-case letters"),
        ("../up", "must be lower-case letters"),
        ("class", "no keyword of Python"),
        ("null", "no keyword of Python or YAML"),
        ("lstm", "the tool already has a cell lstm"),
        ("json", "there is a module json"),
        ("tensor", "would name its class Tensor"),
        ("cell", "would name its class Cell"),
        ("exception", "would name its class Exception"),
    ],
)
def test_names_that_cannot_be_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, told: str
):
    assert main(["cell", name, "--into", str(tmp_path / "mine")]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: NAME: ") and told in error and len(error.splitlines()) == 1
    assert not (tmp_path / "mine").exists()


@pytest.mark.parametrize("there", ["leaky.py", "cell/leaky.yaml", "test_leaky.py"])
def test_nothing_is_overwritten(tmp_path: Path, there: str):
    (tmp_path / there).parent.mkdir(exist_ok=True)
    (tmp_path / there).write_text("mine")
    with pytest.raises(StudyError, match=f"{there}: exists already, so nothing was written"):
        create("cell", "leaky", tmp_path)
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == [Path(there).name]


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StudyError, match="cannot be written"):
        create("cell", "leaky", tmp_path / "file")


def test_a_piece_with_one_of_our_names_is_refused(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path])
    own = tmp_path / "mine"
    (own / "cell").mkdir(parents=True)
    (own / "cell" / "gru.yaml").write_text("_target_: study.cells.gru.GRU\n")
    assert check.main([str(own)]) == 1
    said = capsys.readouterr().out
    assert "cell/gru.yaml: cell: gru is one of ours, which is found first" in said
