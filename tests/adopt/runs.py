"""Runs of nobody: tables with known differences, the command, and what a page says."""

from __future__ import annotations

import contextlib
import io
import itertools
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from reports.data.study import Study
from study.adopt.__main__ import main
from study.store import Store
from tests import ROOT
from tests.reports.page_text import page_text

LEVEL = {"rnn": 0.5, "lstm": 0.7, "gru": 0.75, "orthogonal": 0.05, "normal": 0.0}


def runs(seeds: int = 4, **columns: Callable[[pd.DataFrame], Any]) -> pd.DataFrame:
    """cell × initializer × seeds with test_acc and val_acc; `columns`: more, or others."""
    noise = np.random.default_rng(3)
    rows = [
        {"cell": cell, "initializer": initializer, "seed": seed}
        for cell, initializer, seed in itertools.product(
            ("rnn", "lstm", "gru"), ("orthogonal", "normal"), range(seeds)
        )
    ]
    table = pd.DataFrame(rows)
    level = table["cell"].map(LEVEL) + table["initializer"].map(LEVEL)
    table["test_acc"] = (level + noise.normal(0, 0.02, len(table))).round(4)
    table["val_acc"] = (table["test_acc"] + noise.normal(0.01, 0.01, len(table))).round(4)
    return table.assign(**columns)


def command(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`python -m study.adopt ARGUMENTS…` in a folder, inside this process."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.chdir(folder), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = main(arguments)
    return subprocess.CompletedProcess(arguments, status, out.getvalue(), err.getvalue())


def real(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`python -m ARGUMENTS…` as a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=folder,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "HOME": str(folder)},
        capture_output=True,
        text=True,
        timeout=300,
    )


def page(folder: Path) -> str:
    """What the sections of a study's page say, but for the glossary; a broken one raises."""
    said = page_text(Study(Store(folder)))
    return " ".join(text for name, text in said.items() if name != "glossary")
