"""Where configuration files are; imports the standard library only."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


def conf_folder() -> Path:
    """The folder conf/: inside the package when installed from a wheel, beside it in a checkout."""
    package = Path(__file__).parent.parent
    inside, beside = package / "conf", package.parent / "conf"
    return inside if inside.is_dir() else beside


def config_dirs(arguments: Sequence[str]) -> list[str]:
    """Folders given with --config-dir on a command line."""
    # strict=False: without arguments the second list is longer
    pairs = zip(arguments, [*arguments[1:], ""], strict=False)
    given = [
        after if argument in ("--config-dir", "-cd") else argument.removeprefix("--config-dir=")
        for argument, after in pairs
        if _is_config_dir(argument)
    ]
    return [folder for folder in given if folder]


def _is_config_dir(argument: str) -> bool:
    return argument in ("--config-dir", "-cd") or argument.startswith("--config-dir=")
