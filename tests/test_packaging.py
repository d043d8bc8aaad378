"""The wheel carries what a run needs, and both ways to install find their configuration."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


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
    assert {name.split("/")[0] for name in names} == {"study", "reports", "rnn_gradient_study-0.1.0.dist-info"}


@pytest.mark.parametrize("how", ["wheel", "source"])
def test_a_study_runs_from_an_empty_folder(wheel, tmp_path, how):
    where = tmp_path / "site"
    if how == "wheel":
        zipfile.ZipFile(wheel).extractall(where)
    else:
        where = ROOT
    empty = tmp_path / "empty"
    empty.mkdir()
    environment = {**os.environ, "PYTHONPATH": str(where), "OMP_NUM_THREADS": "1"}
    arguments = ["-m", "cell=rnn,gru", "updates=2", "hidden=4", "task.form=row", "tracker=[]", "probe=[transport]", "name=tiny"]
    ran = subprocess.run([sys.executable, "-P", "-m", "study", *arguments], cwd=empty, env=environment, capture_output=True, text=True, timeout=240)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    shown = subprocess.run(
        [sys.executable, "-P", "-m", "reports", "render", "outputs/tiny"], cwd=empty, env=environment, capture_output=True, text=True, timeout=240
    )
    assert shown.returncode == 0, shown.stdout + shown.stderr
    assert (empty / "outputs" / "tiny" / "report.html").stat().st_size > 10_000
    assert [path.name for path in empty.iterdir()] == ["outputs"]


def test_the_contract_of_reports_names_every_module_it_may_not_import():
    """A module added to study/ and forgotten in the contract would be open to reports."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"]
    (contract,) = [each for each in contracts if each["name"] == "A report reads the store only"]
    there = {path.stem for path in (ROOT / "study").glob("*.py")} | {path.parent.name for path in (ROOT / "study").glob("*/__init__.py")}
    named = {name.removeprefix("study.") for name in contract["forbidden_modules"] if name.startswith("study.")}
    assert named == there - {"__init__", "records", "store", "paths", "claims", "power", "ranking"}
    assert "torch" in contract["forbidden_modules"]
