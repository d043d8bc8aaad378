"""Overrides of a command line, read without Hydra, which would take seconds.

Levels and keys are those of the YAML files as they are written; nothing is composed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from study.config.levels import defaults, groups
from study.config.paths import config_dirs
from study.records import StudyError

SWEEPER = "hydra/sweeper"
SWEEPERS = ("study", "optuna", "confirm", "certain")
UNCHOSEN = ("claim", "section")  # groups that are not chosen by an override


class Overrides:
    """What can follow a prefix of an override, given the words typed so far."""

    def __init__(self, typed: Sequence[str]) -> None:
        self.folders = config_dirs(typed)
        self.groups = groups(self.folders)
        self.root = defaults()
        self.given = {
            key: value
            for key, equals, value in (word.lstrip("+").partition("=") for word in typed)
            if equals
        }
        self.chosen = self._chosen()

    def __call__(self, prefix: str, **_: Any) -> list[str]:
        sign = re.match(r"[+~]*", prefix)
        start, key = (sign[0] if sign else ""), prefix.lstrip("+~")
        if "=" not in key:
            names = [name for name in self.groups if name not in UNCHOSEN]
            names += [SWEEPER, *self.keys()]
            return [f"{start}{name}=" for name in names if name.startswith(key)]
        name, _equals, value = key.partition("=")
        before = re.sub(r"[^,\[]*$", "", value)
        return [
            f"{start}{name}={before}{level}"
            for level in self.values(name)
            if level.startswith(value[len(before) :]) and level not in before.strip("[").split(",")
        ]

    def folder(self) -> Path:
        """The folder of the study. Raises StudyError for a name that only Hydra can compose."""
        keys = {**self.keys(), **{key: value.strip("'\"") for key, value in self.given.items()}}
        name, parent = str(keys["name"]), str(keys["store.folder"])
        if "${" in name + parent:
            raise StudyError(
                "name and store.folder must be written out for the report to be found, got"
                f" {parent}/{name}; without --report the launch prints the command for it"
            )
        return Path(parent) / name

    def values(self, name: str) -> list[str]:
        """Levels of a group; the two values of a switch."""
        if name == SWEEPER:
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

    def _chosen(self) -> dict[str, list[str]]:
        """{group: levels} of the main configuration, the experiment and the words typed."""
        chosen = _levels(self.root.get("defaults", []))
        given = {
            key: [level for level in re.split(r"[\[\],]", value) if level]
            for key, value in self.given.items()
            if key in self.groups
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
