"""Levels of every group with their descriptions, read from the files; no Hydra, no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from study.config.paths import conf_folder

STATEMENT = "statement:"  # a claim describes itself


def defaults() -> dict[str, Any]:
    """The main configuration, conf/config.yaml, as it is written."""
    return dict(yaml.safe_load((conf_folder() / "config.yaml").read_text(encoding="utf-8")))


def groups(folders: Sequence[str | Path] = ()) -> dict[str, dict[str, Path]]:
    """{group: {level: its file}}: those of `folders` (--config-dir) first, then those of conf/."""
    conf = conf_folder()
    names = sorted({path.parent.relative_to(conf).as_posix() for path in conf.rglob("*/*.yaml")})
    found: dict[str, dict[str, Path]] = {name: {} for name in names}
    for name, levels in found.items():
        for folder in (*folders, conf):
            for path in sorted((Path(folder) / name).glob("*.yaml")):
                levels.setdefault(path.stem, path)
    return found


def description(path: Path) -> str:
    """The first line of comment at the head of a level's file, or a claim's statement."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    for line in text.splitlines():
        if line.startswith(STATEMENT):
            return line.removeprefix(STATEMENT).strip()
        if line.strip() and not line.startswith("#"):
            return ""
        if line.startswith("#") and not line.startswith("# @package"):
            return line.lstrip("#").strip()
    return ""


def listed(found: Mapping[str, Mapping[str, Path]]) -> str:
    """One line per level below the name of its group."""
    lines = []
    for group, levels in found.items():
        width = max(map(len, levels), default=0)
        about = {name: description(path) for name, path in levels.items()}
        lines += ["", group, *(f"  {name:{width}}  {about[name]}".rstrip() for name in levels)]
    return "\n".join(lines[1:])
