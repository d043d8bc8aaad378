"""Run `python -m study` inside the test's process: no interpreter starts, torch is imported once.

What needs a process of its own (signals, exit codes, the environment at start-up) runs the real
command instead; every behaviour has at least one test that does.
"""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from reports.__main__ import main as reports_main
from study.__main__ import main as study_main
from tests import ROOT


def call(
    folder: Path, module: str, *arguments: str, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Exit status and output of `python -m MODULE ARGUMENTS…` as if started in `folder`.

    Module is study or reports. Workers are real processes, whose own output is not in the answer.
    """
    out, err = io.StringIO(), io.StringIO()
    argv = [str(ROOT / module / "__main__.py"), *arguments]
    with (
        _as_started(folder, argv, environment or {}),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        status = _status(module, argv[1:])
    return subprocess.CompletedProcess(argv, status, out.getvalue(), err.getvalue())


def _status(module: str, arguments: list[str]) -> int:
    try:
        if module == "reports":
            return reports_main(arguments)
        study_main()
    except SystemExit as end:
        return int(end.code or 0)
    return 0


@contextlib.contextmanager
def _as_started(folder: Path, argv: list[str], environment: Mapping[str, str]) -> Iterator[None]:
    """The working directory, arguments, environment and modules of a command, for a while."""
    before = sys.argv, [*sys.path], dict(os.environ), set(sys.modules)
    sys.argv, sys.path[:] = argv, [str(folder), *sys.path]
    os.environ.update({"OMP_NUM_THREADS": "1", **environment})
    try:
        with contextlib.chdir(folder):
            yield
    finally:
        sys.argv, sys.path[:] = before[0], before[1]
        os.environ.clear()
        os.environ.update(before[2])
        for name in set(sys.modules) - before[3]:
            file = getattr(sys.modules[name], "__file__", None)
            if file is not None and Path(file).is_relative_to(folder):
                del sys.modules[name]  # the next folder may have a piece of the same name
