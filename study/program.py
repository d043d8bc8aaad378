"""How the running program was started, so that a printed command works as pasted.

Imports the standard library only.
"""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path

SCRIPT = "gradient-study"
# Subcommands of the script that are not called as their module; `check` judges a report.
SUBCOMMANDS = {"study": "run", "study.check": "check-plugin"}
RENDER = "report"


def command(module: str, *arguments: str) -> str:
    """A command line that runs a module's command, written the way this one was started:
    `gradient-study report DIR`, or `.venv/bin/python -m reports render DIR`.
    """
    script = started_script()
    if script is None:
        return shlex.join([python(), "-m", module, *arguments])
    named = SUBCOMMANDS.get(module) or module.removeprefix("study.")
    words = [RENDER if word == "render" else word for word in arguments[:1]]
    return shlex.join([script, *([] if module == "reports" else [named]), *words, *arguments[1:]])


def training(*, many: bool) -> str:
    """What trains a study (`many`) or one point, before its overrides."""
    script = started_script()
    if script is None:
        return command("study", *(["-m"] if many else []))
    return shlex.join([script, "run" if many else "point"])


def typed() -> str:
    """The running command, to be pasted where it was typed."""
    script = started_script()
    if script is not None:
        return shlex.join([script, *sys.orig_argv[2:]])
    if Path(sys.argv[0]).name == "__main__.py":
        return shlex.join([python(), "-m", "study", *sys.argv[1:]])
    return shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])


def started_script() -> str | None:
    """The script of the package that was started, as a word for a shell; None: python -m, a
    notebook or another program.
    """
    path = next(iter(sys.orig_argv[1:]), "")
    return _word(Path(path)) if Path(path).name == SCRIPT else None


def python() -> str:
    """This Python as a word for a shell."""
    return _word(Path(sys.executable or "python"))


def _word(path: Path) -> str:
    """The name alone where PATH leads to this file; else its path, from here if it is below."""
    path, here = path.absolute(), Path.cwd()
    for name in (path.name, "python", "python3") if path.name.startswith("python") else [path.name]:
        # Links are not followed: those of two environments lead to the same Python.
        if (found := shutil.which(name)) and Path(found).absolute() == path:
            return name
    return str(path.relative_to(here) if path.is_relative_to(here) else path)
