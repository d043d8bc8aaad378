"""The script gradient-study as pip writes it, for tests of the real command."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

from tests import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def environment(folder: Path) -> dict[str, str]:
    """With the script on PATH, in folder/bin."""
    place = folder / "bin"
    place.mkdir(exist_ok=True)
    for name, entry in PROJECT["scripts"].items():
        module, function = entry.split(":")
        script = place / name
        script.write_text(
            f"#!{sys.executable}\nimport sys\nfrom {module} import {function}\n"
            f"if __name__ == '__main__':\n    sys.exit({function}())\n"
        )
        script.chmod(0o755)
    path = f"{place}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


def run(folder: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """A command line in a process of its own, in folder/here."""
    here = folder / "here"
    here.mkdir(exist_ok=True)
    return subprocess.run(
        words,
        cwd=here,
        env=environment(folder) | variables,
        capture_output=True,
        text=True,
        timeout=240,
    )
