"""Where tests run, and fixtures of several files: Debian's Chromium, headless, and no other; a
Slurm of this machine.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import ROOT
from tests.support.screen import pytest_runtest_makereport  # noqa: F401 (a hook)
from tests.support.slurm import Cluster, cluster, why_not

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
# Begun first, longest first, or a core idles at the end. Before them the kernels' own tests: what
# they compile is kept on disk, and no two processes should compile it at once.
LONGEST = (
    "test_kernels",
    "test_report",
    "test_ray",
    "test_slurm",
    "test_experiments",
    "test_chaos",
    "test_packaging",
    "test_command",
    "test_signals",
    "test_remote",
    "test_trackers",
    "test_accessible",
    "test_edges",
    "test_battery",
    "test_leases",
    "test_stored_before",
    "test_new",
    "test_processes",
    "test_full_disk",
    "test_isolation",
    "test_command_line",
    "test_artifacts",
    "test_end_to_end",
    "test_executor",
    "test_fuzz",
    "test_examples",
    "test_bench",
    "test_compose",
)
INSTALL = "no Chromium here: apt-get install chromium"


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Import no file that has no test of the tier: imports take as long as many tests."""
    tier = config.option.markexpr
    if collection_path.suffix != ".py" or not collection_path.name.startswith("test_"):
        return None
    text = collection_path.read_text(encoding="utf-8")
    if tier.startswith("slow"):
        return True if "pytest.mark.slow" not in text else None
    if tier.startswith("not slow"):
        return True if re.search(r"^pytestmark = .*\bpytest\.mark\.slow\b", text, re.M) else None
    return None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(
        key=lambda item: (
            LONGEST.index(item.path.stem) if item.path.stem in LONGEST else len(LONGEST)
        )
    )


@pytest.fixture(scope="session", autouse=True)
def nobodys_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Tests begin in an empty folder: studies that somebody has trained in the repository's
    outputs/ are none of theirs.
    """
    with contextlib.chdir(tmp_path_factory.mktemp("nobodys")):
        yield


@pytest.fixture(scope="session")
def chromium() -> str:
    """Path of the browser. Without one the test is skipped, and fails where CI is set."""
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        if os.environ.get("CI", "").lower() in ("1", "true"):
            pytest.fail(INSTALL)
        pytest.skip(INSTALL)
    return path


@pytest.fixture(scope="session")
def browser_type_launch_args(chromium: str) -> dict[str, object]:
    """What pytest-playwright starts the browser with."""
    return {"executable_path": chromium, "args": FLAGS, "headless": True}


@pytest.fixture(scope="session")
def other_code(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A python that has this tool with one more line in its code, as a machine has that was not
    updated.
    """
    folder = tmp_path_factory.mktemp("other")
    shutil.copytree(ROOT / "study", folder / "study", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "conf", folder / "conf")
    with (folder / "study" / "training" / "engine.py").open("a") as file:
        file.write("# another line\n")
    python = folder / "python"
    python.write_text(f'#!/bin/sh\nPYTHONPATH={folder} exec {sys.executable} "$@"\n')
    python.chmod(0o755)
    return python


@pytest.fixture(scope="module")
def slurm() -> Iterator[Cluster]:
    """A Slurm of two nodes.

    Where there can be none the tests are skipped, and fail where CI is set.
    """
    why = why_not()
    if why is not None:
        if os.environ.get("CI", "").lower() in ("1", "true"):
            pytest.fail(why)
        pytest.skip(why)
    path = os.environ["PATH"]
    try:
        with cluster() as found:
            yield found
    finally:
        os.environ["PATH"] = path


@pytest.fixture
def conf(slurm: Cluster, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    monkeypatch.setenv("SLURM_CONF", str(slurm.conf))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    return slurm
