"""Tab completion by argcomplete: subcommands, options, levels, keys, folders of studies.

Levels and keys are read from the YAML files as they are: Hydra would take seconds.
"""

from __future__ import annotations

import argparse
import importlib
import os
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import argcomplete
from argcomplete.completers import DirectoriesCompleter

from study.commands import main as commands
from study.commands import training
from study.commands.overrides import Overrides
from study.config.levels import groups

START = "_ARGCOMPLETE"  # in the environment: where the words of the parser start, from 1
OF_STUDY = ("folder", "first", "second")  # arguments of commands that read a study


def complete() -> None:
    """Answer the shell, and end the process."""
    words = _words(os.environ["COMP_LINE"][: int(os.environ["COMP_POINT"])])
    words = words[int(os.environ[START]) - 1 :]
    name = words[1] if len(words) > 2 else ""
    parser = _parser(commands.ALIASES.get(name, name), words[2:])
    if name and name not in commands.REPORTS and name not in commands.ALIASES:
        os.environ[START] = str(int(os.environ[START]) + 1)  # the subcommand is its program
    argcomplete.autocomplete(parser, always_complete_options=False)


def _words(line: str) -> list[str]:
    """Words typed so far; the last one, which is being typed, is "" after a space."""
    try:
        words = shlex.split(line)
    except ValueError:  # an open quote
        words = line.split()
    return words if line[-1:].strip() else [*words, ""]


def _parser(name: str, typed: Sequence[str]) -> argparse.ArgumentParser:
    if name in training.TRAINING:
        made = training.parser(name)
        _by_dest(made)["overrides"].completer = Overrides(typed)
    elif name in commands.REPORTS:
        made = importlib.import_module("reports.__main__").parser()
    elif name in commands.MODULES:
        made = importlib.import_module(commands.MODULES[name][0]).parser()
    elif name in commands.LEVELS:
        made = commands.levels_parser()
        _by_dest(made)["group"].completer = lambda **_: list(groups())
    else:  # nothing follows an unknown word
        return argparse.ArgumentParser(add_help=False) if name else commands.parser()
    for parser in _with_subparsers(made):
        for dest, action in _by_dest(parser).items():
            if dest == "config_dir":
                action.completer = DirectoriesCompleter()
            elif dest in OF_STUDY and name not in ("index", "predict", "check-plugin"):
                action.completer = lambda prefix, **_: studies(prefix)
    return made


def _by_dest(parser: argparse.ArgumentParser) -> dict[str, Any]:
    return {action.dest: action for action in parser._actions}


def _with_subparsers(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            yield from action.choices.values()


def studies(prefix: str) -> list[str]:
    """Folders of studies at a prefix of a path, or else folders that may hold some."""
    parent = Path(os.path.dirname(prefix) or ".")  # noqa: PTH120 (a Path drops the last slash)
    folders = [path for path in sorted(_folders(parent)) if str(path).startswith(prefix)]
    found = [path for path in folders if (path / "study.json").exists()]
    nested = [
        path
        for folder in (folders if not found else [])
        for path in sorted(_folders(folder))
        if (path / "study.json").exists()
    ]
    return [str(path) for path in found or nested] or [f"{path}/" for path in folders]


def _folders(parent: Path) -> list[Path]:
    try:
        return [path for path in parent.iterdir() if path.is_dir() and path.name[:1] != "."]
    except OSError:
        return []
