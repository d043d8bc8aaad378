"""Where the configuration lies (standard library only)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


def conf_folder() -> Path:
    """conf/ as it travels in the wheel (study/conf), else beside the package, as in a checkout or
    an editable install.
    """
    package = Path(__file__).parent.parent
    inside, beside = package / "conf", package.parent / "conf"
    return inside if inside.is_dir() else beside


def config_dirs(arguments: Sequence[str]) -> list[str]:
    """Folders given with --config-dir on a command line."""
    # of no arguments the second is longer
    pairs = zip(arguments, [*arguments[1:], ""], strict=False)
    given = [
        after if argument in ("--config-dir", "-cd") else argument.removeprefix("--config-dir=")
        for argument, after in pairs
        if _gives(argument)
    ]
    return [folder for folder in given if folder]


def _gives(argument: str) -> bool:
    return argument in ("--config-dir", "-cd") or argument.startswith("--config-dir=")
