"""The script and the notebook of tests/examples run, the notebook in a real kernel."""

from __future__ import annotations

import base64
import os
import subprocess
import sys

import nbformat
import pytest

from tests import ROOT
from tests.support import notebook

pytestmark = pytest.mark.slow

POINTS = 6


def test_the_notebook_is_made_from_the_script():
    assert notebook.NOTEBOOK.read_text(encoding="utf-8") == notebook.written(), (
        "run python -m tests.support.notebook"
    )
    nbformat.validate(nbformat.read(notebook.NOTEBOOK, as_version=4))


def test_the_script_runs_and_a_second_run_trains_nothing(tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    for _ in range(2):
        ran = subprocess.run(
            [sys.executable, str(notebook.SCRIPT)],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr
        results = tmp_path.glob("outputs/quick/points/*/result.json")
        stored = {path.parent.name: path.stat().st_mtime_ns for path in results}
        assert len(stored) == POINTS
    assert "nothing to train" in ran.stdout + ran.stderr
    assert (tmp_path / "gradient_flow.png").stat().st_size > 10_000
    assert str(tmp_path / "outputs" / "quick" / "report.html") in ran.stdout or (
        "outputs/quick/report.html" in ran.stdout
    )


EXECUTE = """
import sys, nbclient, nbformat
notebook = nbformat.read(sys.argv[1], as_version=4)
nbclient.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": "."}}).execute()
nbformat.write(notebook, "executed.ipynb")
"""


def test_the_notebook_runs_in_a_kernel_and_shows_its_figure(tmp_path):
    """In a process of its own: a kernel's event loop and a browser's do not share one."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", EXECUTE, str(notebook.NOTEBOOK)]
    ran = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=400
    )
    assert ran.returncode == 0, ran.stderr
    made = nbformat.read(tmp_path / "executed.ipynb", as_version=4)
    outputs = [output for cell in made.cells for output in cell.get("outputs", ())]
    pictures = [output["data"]["image/png"] for output in outputs if "image/png" in _data(output)]
    assert len(pictures) == 1 and base64.b64decode(pictures[0]).startswith(b"\x89PNG")
    assert not [output for output in outputs if output["output_type"] == "error"]
    assert (tmp_path / "outputs" / "quick" / "report.html").stat().st_size > 10_000


def _data(output: nbformat.NotebookNode) -> dict[str, str]:
    return output.get("data", {})
