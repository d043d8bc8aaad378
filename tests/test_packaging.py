"""The wheel carries what a run needs; tests/test_end_to_end.py runs the source tree."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import study
from study.store import Store
from tests import ROOT

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Built as pip builds it, but with the hatchling that is installed."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=True)
    (path,) = folder.glob("*.whl")
    return path


def test_the_wheel_holds_code_configuration_and_templates_and_nothing_else(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    for path in [*(ROOT / "conf").rglob("*.yaml")]:
        assert f"study/conf/{path.relative_to(ROOT / 'conf')}" in names
    for path in (ROOT / "reports" / "templates").rglob("*"):
        if path.is_file():
            assert str(path.relative_to(ROOT)) in names
    assert "study/kernels/table.yaml" in names
    assert {name.split("/")[0] for name in names} == {
        "study",
        "reports",
        f"rnn_gradient_study-{study.__version__}.dist-info",
    }


def test_the_wheel_states_its_types_and_the_one_version(wheel):
    archive = zipfile.ZipFile(wheel)
    assert {"study/py.typed", "reports/py.typed"} <= set(archive.namelist())
    (metadata,) = [name for name in archive.namelist() if name.endswith("dist-info/METADATA")]
    assert f"\nVersion: {study.__version__}\n" in archive.read(metadata).decode()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert "version" not in project and project["dynamic"] == ["version"]


def test_the_sdist_holds_every_file_of_the_repository(tmp_path):
    if not (ROOT / ".git").exists():
        pytest.skip("the files are listed by Git, and this is no checkout")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=True)
    (path,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        packed = {name.partition("/")[2] for name in archive.getnames()}
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    tracked = {name for name in listed.stdout.splitlines() if (ROOT / name).exists()}
    assert tracked <= packed, "missing in the sdist"


def test_the_wheel_installs_the_command(wheel):
    archive = zipfile.ZipFile(wheel)
    (entries,) = [name for name in archive.namelist() if name.endswith("entry_points.txt")]
    assert "gradient-study = study.commands.main:start" in archive.read(entries).decode()


def run(folder: Path, where: Path, *arguments: object) -> None:
    """python -P -m …: nothing but the installed package and what the command
    names is importable.
    """
    environment = {**os.environ, "PYTHONPATH": str(where), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-P", "-m", *map(str, arguments)]
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stdout + done.stderr


TINY = ("updates=2", "hidden=4", "tracker=[]", "probe=[transport]", "name=tiny")


def test_the_wheel_runs_a_study_of_a_users_own_cell_initializer_table_and_section(wheel, tmp_path):
    """All of it in one folder outside of the repository, the pieces as study.new writes them."""
    site, mine, empty = tmp_path / "site", tmp_path / "mine", tmp_path / "empty"
    zipfile.ZipFile(wheel).extractall(site)
    empty.mkdir()
    for kind in ("cell", "initializer", "section"):
        run(empty, site, "study.new", kind, f"own_{kind}", "--into", mine)
    drawn = np.random.default_rng(0).normal(size=(60, 7)).cumsum(1)
    pd.DataFrame(
        {f"v{step}": drawn[:, step] for step in range(7)} | {"kind": np.arange(60) % 2}
    ).to_csv(mine / "walks.csv", index=False)
    own = (
        "cell=rnn,own_cell",
        "initializer=orthogonal,own_initializer",
        "task=csv",
        f"task.path={mine / 'walks.csv'}",
        "task.target=kind",
        "batch=32",
    )
    run(empty, site, "study", "-m", "--config-dir", mine, *own, *TINY)
    run(empty, site, "reports", "render", "outputs/tiny", "--config-dir", mine)
    points = Store(empty / "outputs" / "tiny").points()
    assert set(zip(points["cell"], points["initializer"], points["status"], strict=True)) == {
        (cell, initializer, "done")
        for cell in ("rnn", "own_cell")
        for initializer in ("orthogonal", "own_initializer")
    }
    assert points["steps"].tolist() == [7] * 4
    page = (empty / "outputs" / "tiny" / "report.html").read_text(encoding="utf-8")
    assert "Score against size" in page and "own_initializer" in page and "data-broken" not in page
    assert [path.name for path in empty.iterdir()] == ["outputs"]


# Of study.health what needs no torch: old points are judged again by the rules of new ones.
READ_BY_REPORTS = (
    "study.program",
    "study.records",
    "study.store",
    "study.design",
    "study.config.paths",
    "study.health.end_state",
    "study.health.profiles",
    "study.health.verdicts",
    # where a machine keeps what is not a study's: pages' fingerprints, what a page took
    "study.machine.cache",
    "study.machine.taken",
)


def test_reports_import_the_store_and_the_design_of_a_study_only():
    """Every import in reports/; the contract adds torch and Hydra, indirect imports included."""
    imported = set()
    for path in (ROOT / "reports").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom):
                imported.add(node.module or "")
            elif isinstance(node, ast.Import):
                imported |= {name.name for name in node.names}
    of_study = {name for name in imported if name.split(".")[0] == "study"}
    assert len(of_study) >= 5
    assert not [name for name in of_study if not name.startswith(READ_BY_REPORTS)]
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"][
        "importlinter"
    ]["contracts"]
    (contract,) = [each for each in contracts if each["name"] == "A report reads the store only"]
    assert {"torch", "hydra"} <= set(contract["forbidden_modules"])
