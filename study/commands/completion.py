"""Tab completion by argcomplete: subcommands, options, levels, keys, folders of studies.

Levels and keys are read from the YAML files as they are: Hydra would take seconds.
"""

from __future__ import annotations

import argparse
import importlib
import os
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import argcomplete
import yaml
from argcomplete.completers import DirectoriesCompleter

from study.commands import main as commands
from study.commands import training
from study.config.levels import defaults, groups
from study.config.paths import config_dirs

SWEEPERS = ("study", "optuna", "confirm")
START = "_ARGCOMPLETE"  # in the environment: where the words of the parser start, from 1
UNCHOSEN = ("claim", "section")  # groups that are not chosen by an override
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
    else:
        return commands.parser()
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


class Overrides:
    """What can follow a prefix of an override, given the words typed so far."""

    def __init__(self, typed: Sequence[str]) -> None:
        self.folders = config_dirs(typed)
        self.groups = groups(self.folders)
        self.root = defaults()
        self.chosen = self._chosen(typed)

    def __call__(self, prefix: str, **_: Any) -> list[str]:
        sign = re.match(r"[+~]*", prefix)
        start, key = (sign[0] if sign else ""), prefix.lstrip("+~")
        if "=" not in key:
            names = [name for name in self.groups if name not in UNCHOSEN]
            names += [training.SWEEPER, *self.keys()]
            return [f"{start}{name}=" for name in names if name.startswith(key)]
        name, _equals, value = key.partition("=")
        before = re.sub(r"[^,\[]*$", "", value)
        return [
            f"{start}{name}={before}{level}"
            for level in self.values(name)
            if level.startswith(value[len(before) :]) and level not in before.strip("[").split(",")
        ]

    def values(self, name: str) -> list[str]:
        """Levels of a group; the two values of a switch."""
        if name == training.SWEEPER:
            return list(SWEEPERS)
        if name in self.groups:
            return list(self.groups[name])
        return ["true", "false"] if isinstance(self.keys().get(name), bool) else []

    def keys(self) -> dict[str, Any]:
        """{key: its value in the YAML} of the main configuration and of the chosen levels."""
        root = {key: value for key, value in self.root.items() if key not in ("defaults", "hydra")}
        found = _flat(root)
        for group, names in self.chosen.items():
            for name in names:
                found |= self._of_level(group, name)
        return {key: value for key, value in found.items() if not key.endswith("_")}

    def _of_level(self, group: str, name: str) -> dict[str, Any]:
        content, package = _read(self.groups.get(group, {}).get(name))
        inherited: dict[str, Any] = {}
        for entry in content.pop("defaults", []):
            if isinstance(entry, str) and entry not in ("_self_", name):
                inherited |= self._of_level(group, entry)
        content.pop("hydra", None)
        at = group.replace("/", ".") if package is None else package
        own = _flat(content if at == "_global_" else {at: content})
        return inherited | own

    def _chosen(self, typed: Sequence[str]) -> dict[str, list[str]]:
        """{group: levels} of the main configuration, the experiment and the words typed."""
        chosen = _levels(self.root.get("defaults", []))
        given = {
            key: [level for level in re.split(r"[\[\],]", value) if level]
            for key, equals, value in (word.lstrip("+").partition("=") for word in typed)
            if equals and key in self.groups
        }
        for name in given.get("experiment", []):
            content, _ = _read(self.groups["experiment"].get(name))
            chosen |= _levels(content.get("defaults", []))
        return {group: levels for group, levels in {**chosen, **given}.items() if levels}


def _levels(entries: Sequence[Any]) -> dict[str, list[str]]:
    """{group: levels} of a defaults list."""
    found = {}
    for entry in entries:
        for key, value in entry.items() if isinstance(entry, Mapping) else ():
            names = value if isinstance(value, list) else [value]
            found[key.removeprefix("override ").lstrip("/")] = [str(one) for one in names if one]
    return found


def _read(path: Path | None) -> tuple[dict[str, Any], str | None]:
    """The content of a level's file and its package, if it names one; {} if it has none."""
    try:
        text = path.read_text(encoding="utf-8") if path else ""
        content = yaml.safe_load(text)
    except (OSError, UnicodeError, yaml.YAMLError):
        return {}, None
    package = re.match(r"#\s*@package\s+(\S+)", text)
    return (dict(content) if isinstance(content, dict) else {}), package[1] if package else None


def _flat(content: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in content.items():
        if isinstance(value, Mapping) and value:
            found |= _flat(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = value
    return found


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
